"""With packages that the tests make themselves: nothing comes over the network."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import select
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from interactem.engine import environments
from interactem.engine.environments import cache_folder, prepare, prepare_all, prune
from interactem.engine.errors import DependencyError
from interactem.engine.wheels import OwnPackage

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "lib-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("lib.py")
        wheel.writestr("lib-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: lib\\nVersion: 1\\n")
        wheel.writestr("lib-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("lib-1.dist-info/RECORD", "")
    return name
"""


def package(name: str, version: str = "1", needs: str = "", module: str | None = None) -> OwnPackage:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{module or name}/__init__.py": f"version = {version!r}\n".encode(),
        f"{info}/METADATA": METADATA.format(name=name, version=version, needs=needs).encode(),
        f"{info}/WHEEL": WHEEL.encode(),
    }
    return OwnPackage(f"{name}-{version}-py3-none-any.whl", files)


OWN = package("interactem", needs="Requires-Dist: msgpack\nRequires-Dist: tiny<3\n", module="interactem/runtime")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of environments, with an index of a few tiny packages, and something tiny in place of our own."""
    links = tmp_path / "links"
    links.mkdir()
    tiny = [package("tiny", version) for version in ("1", "2", "3")]
    made_by_us = [package(name) for name in ("msgpack", "nats", "numpy", "pydantic")]
    for made in [*tiny, package("numpy", "2"), *made_by_us]:
        (links / made.file_name).write_bytes(made.wheel())
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    lock = tmp_path / "locked.txt"
    lock.write_text("".join(locked(made) for made in made_by_us))
    monkeypatch.setattr(environments, "LOCK", lock)
    monkeypatch.setattr(environments, "own_package", lambda: OWN)
    monkeypatch.setattr(environments, "current_uv_environment", lambda: uv_environment(tmp_path))
    return tmp_path / "environments"


def locked(package: OwnPackage) -> str:
    name, version, _ = package.file_name.split("-", 2)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(package.wheel()).hexdigest()}\n"


def uv_environment(tmp_path: Path) -> dict[str, str]:
    names = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(tmp_path / "links"), "UV_CACHE_DIR": str(tmp_path / "uv")}
    return {**os.environ, **names, "UV_NO_CONFIG": "1", "UV_OFFLINE": "1"}


def operator(tmp_path: Path, name: str, text: str | None) -> Path:
    folder = tmp_path / "operators" / name
    folder.mkdir(parents=True, exist_ok=True)
    if text is not None:
        (folder / "requirements.txt").write_text(text)
    return folder


def version_of_tiny(python: Path) -> str:
    code = "import tiny, interactem.runtime; print(tiny.version)"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_operators_with_conflicting_dependencies_run_side_by_side(tmp_path, cache):
    folders = [operator(tmp_path, "old", "tiny<2\n"), operator(tmp_path, "new", "tiny>=2\n")]
    old, new = asyncio.run(prepare_all(folders, cache=cache))
    assert (version_of_tiny(old.python), version_of_tiny(new.python)) == ("1", "2")


def test_an_environment_is_made_once(tmp_path, cache):
    told: list[tuple[str, str]] = []
    texts = {"one": None, "two": "# nothing\n", "three": ""}
    folders = [operator(tmp_path, name, text) for name, text in texts.items()]
    first = asyncio.run(prepare_all(folders, cache=cache, progress=lambda *words: told.append(words)))
    assert len({environment.key for environment in first}) == 1
    assert first[0].created
    assert ("one", "installing its dependencies") in told
    assert {name for name, _ in told} == {"one"}
    again = asyncio.run(prepare(folders[2], cache=cache))
    assert again.key == first[0].key
    assert not again.created


def test_a_conflict_with_the_runtime_is_said(tmp_path, cache):
    folder = operator(tmp_path, "newest", "tiny>=3\n")
    with pytest.raises(DependencyError, match="newest: its dependencies cannot be installed") as caught:
        asyncio.run(prepare(folder, cache=cache))
    said = " ".join(caught.value.output)
    assert "tiny" in said
    assert "interactem" in said
    assert str(folder / "requirements.txt") in caught.value.advice
    (folder / "requirements.txt").write_text("tiny<3\n")
    assert version_of_tiny(asyncio.run(prepare(folder, cache=cache)).python) == "2"


def test_a_package_that_nobody_has_is_said(tmp_path, cache):
    with pytest.raises(DependencyError) as caught:
        asyncio.run(prepare(operator(tmp_path, "count", "no-such-thing-1x\n"), cache=cache))
    assert any("no-such-thing-1x" in line for line in caught.value.output)


@pytest.mark.parametrize("project", ['[project]\nname = "lib"\nversion = "1"\n', ""])
def test_a_changed_folder_is_built_again(tmp_path, cache, project):
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "backend.py").write_text(BACKEND)
    (lib / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n' + project
    )
    folder = operator(tmp_path, "count", "../../lib\n")
    seen = []
    for value in ("1", "2"):
        (lib / "lib.py").write_text(f"value = {value}\n")
        made = asyncio.run(prepare(folder, cache=cache))
        out = subprocess.run([made.python, "-c", "import lib; print(lib.value)"], capture_output=True, text=True)
        seen.append((out.stdout.strip(), made.created))
    assert seen == [("1", True), ("2", True)]


def test_half_an_environment_is_made_again(tmp_path, cache):
    folder = operator(tmp_path, "count", "tiny\n")
    made = asyncio.run(prepare(folder, cache=cache))
    (cache / made.key / "complete.json").unlink()
    (cache / made.key / "venv" / "pyvenv.cfg").unlink()
    again = asyncio.run(prepare(folder, cache=cache))
    assert again.created
    assert version_of_tiny(again.python) == "2"


def test_an_environment_whose_interpreter_is_gone_is_made_again(tmp_path, cache):
    folder = operator(tmp_path, "count", "tiny\n")
    made = asyncio.run(prepare(folder, cache=cache))
    made.python.unlink()
    made.python.symlink_to(tmp_path / "uninstalled")
    assert asyncio.run(prepare(folder, cache=cache)).created


def test_two_runs_at_once_make_it_once(tmp_path, cache):
    folder = operator(tmp_path, "count", "tiny\n")

    async def both():
        return await asyncio.gather(prepare(folder, cache=cache), prepare(folder, cache=cache))

    assert sorted(environment.created for environment in asyncio.run(both())) == [False, True]


def test_what_was_killed_in_the_middle_is_done_again(tmp_path, cache):
    """The other process is killed with -9 in the moment in which it has the lock and uv is to run."""
    folder = operator(tmp_path, "count", "tiny\n")
    code = """
        import asyncio, sys
        from pathlib import Path
        from interactem.engine import environments

        async def stop(self, requirements, *command):
            print(flush=True)
            await asyncio.sleep(1000)

        environments.EnvironmentStore._run = stop
        asyncio.run(environments.prepare(Path(sys.argv[1]), cache=Path(sys.argv[2])))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert prune(cache, days=0, now=time.time() + 10) == [], "what is being made stays"
        other.kill()
    assert asyncio.run(prepare(folder, cache=cache)).created


def test_what_is_not_used_any_more_is_removed(tmp_path, cache):
    folders = [operator(tmp_path, "old", "tiny<2\n"), operator(tmp_path, "new", "tiny>=2\n")]
    old, new = asyncio.run(prepare_all(folders, cache=cache))
    days = 24 * 3600
    os.utime(cache / old.key / "complete.json", (0, time.time() - 31 * days))
    (cache / "half").mkdir()
    assert prune(cache) == sorted([old.key, "half"])
    assert not asyncio.run(prepare(folders[1], cache=cache)).created
    os.utime(cache / new.key / "complete.json", (0, time.time() - 31 * days))
    asyncio.run(prepare(folders[1], cache=cache))
    assert prune(cache) == [], "it was used just now"
    assert prune(tmp_path / "nowhere") == []


def test_an_environment_that_exists_is_found_without_starting_anything(tmp_path, cache, monkeypatch):
    folder = operator(tmp_path, "count", "tiny\n")
    asyncio.run(prepare(folder, cache=cache))
    monkeypatch.setattr(environments, "uv_program", lambda: pytest.fail("uv was looked for"))
    assert not asyncio.run(prepare(folder, cache=cache)).created


def test_the_marker_says_what_it_is_for(tmp_path, cache):
    made = asyncio.run(prepare(operator(tmp_path, "count", "tiny<2 # old\n"), cache=cache))
    marker = json.loads((cache / made.key / "complete.json").read_text())
    assert marker == {"operator": "count", "requirements": ["tiny<2"]}


def test_where_the_cache_is(tmp_path):
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/interactem")
    assert cache_folder({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == Path("/c/interactem")


def test_giving_up_ends_what_was_started(tmp_path, cache, monkeypatch):
    folder = operator(tmp_path, "count", "tiny\n")
    program = tmp_path / "uv-that-hangs"
    program.write_text("#!/bin/sh\nsleep 1000 &\necho $$ $! >&2\nwait\n")
    program.chmod(0o755)
    monkeypatch.setattr(environments, "uv_program", lambda: program)

    async def give_up() -> list[str]:
        lines: asyncio.Queue[str] = asyncio.Queue()
        task = asyncio.create_task(prepare(folder, cache=cache, progress=lambda _, text: lines.put_nowait(text)))
        assert await lines.get() == "installing its dependencies"
        pids = (await lines.get()).split()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pids

    for pid in asyncio.run(give_up()):
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(int(pid))
            assert select.select([descriptor], [], [], 60)[0], "it still runs"
            os.close(descriptor)


def version_of_numpy(python: Path) -> str:
    code = "import numpy; print(numpy.version)"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(("text", "version"), [(None, "1"), ("numpy\n", "1"), ("numpy>1\n", "2")])
def test_the_locked_version_is_taken_unless_the_operator_asks_for_another(tmp_path, cache, text, version):
    made = asyncio.run(prepare(operator(tmp_path, "count", text), cache=cache))
    assert version_of_numpy(made.python) == version


def test_a_folder_that_does_not_say_its_name_leaves_the_lock_alone(tmp_path, cache):
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "backend.py").write_text(BACKEND)
    (lib / "lib.py").write_text("value = 1\n")
    (lib / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    made = asyncio.run(prepare(operator(tmp_path, "count", "../../lib\nnumpy\n"), cache=cache))
    assert version_of_numpy(made.python) == "1"


def test_another_lock_is_another_environment(tmp_path, cache):
    folder = operator(tmp_path, "count", None)
    before = asyncio.run(prepare(folder, cache=cache))
    lock = tmp_path / "locked.txt"
    lock.write_text(lock.read_text().replace(locked(package("numpy")), locked(package("numpy", "2"))))
    after = asyncio.run(prepare(folder, cache=cache))
    assert after.key != before.key
    assert version_of_numpy(after.python) == "2"


def test_what_is_not_as_it_was_locked_is_refused(tmp_path, cache):
    lock = tmp_path / "locked.txt"
    lock.write_text(lock.read_text().replace(locked(package("numpy")), "numpy==1 --hash=sha256:" + "0" * 64 + "\n"))
    with pytest.raises(DependencyError, match="numpy") as caught:
        asyncio.run(prepare(operator(tmp_path, "count", "tiny\n"), cache=cache))
    assert "fixed versions" in caught.value.advice
    assert "requirements.txt" not in caught.value.advice
