"""The cached virtual environments that operators run in: one for each set of dependencies.

Each has a folder named by its key, which says all that went into it. A lock keeps two runs from making it at once,
and a file that is written last says that it is whole: whatever is killed in between, the next one starts over.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from interactem.engine.errors import DependencyError, EngineError
from interactem.engine.files import write_json
from interactem.engine.indexes import current_uv_environment
from interactem.engine.locks import LOCK, lock_fingerprint
from interactem.engine.requirements import Requirements, read_requirements
from interactem.engine.tether import tethered
from interactem.engine.wheels import OwnPackage, own_package

LAYOUT = 2
"""Part of every key: environments made in another way than now are not used."""

FIRST_IMPORT = "import interactem.runtime, msgpack, nats, numpy, pydantic"

KEEP_DAYS = 30
SIDE_BY_SIDE = 2

Progress = Callable[[str, str], None]
"""Is told what is done, with the operator's name and a line of text."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is ready. `created` says whether it was made now."""

    python: Path
    key: str
    created: bool


def environments_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the environments are kept."""
    return cache_folder(environment) / "environments"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Our folder in the user's cache. What is in it can be made again."""
    home = Path(environment.get("HOME") or Path.home())
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "interactem"


async def prepare(operator_folder: Path, *, progress: Progress | None = None, cache: Path | None = None) -> Environment:
    """The environment of an operator, made if there is none yet for its dependencies.

    Raises `DependencyError` where they cannot be installed, with what uv says about it.
    """
    return (await prepare_all([operator_folder], progress=progress, cache=cache))[0]


async def prepare_all(
    operator_folders: Iterable[Path],
    *,
    progress: Progress | None = None,
    cache: Path | None = None,
    extras: tuple[str, ...] = (),
) -> list[Environment]:
    """The environments of several operators, in their order; equal ones are made once, different ones side by side.

    `extras` are those of our own package that they get.

    Raises `DependencyError` for the first that fails; the others are given up.
    """
    own = own_package()
    needs = [read_requirements(folder) for folder in operator_folders]
    wanted: dict[str, Requirements] = {}
    for each in needs:
        wanted.setdefault(environment_key(each, own, extras), each)
    makers = asyncio.Semaphore(SIDE_BY_SIDE)
    tell = progress or (lambda operator, text: None)
    store = EnvironmentStore(cache or environments_folder(), own, tell, extras)

    async def prepared(key: str, requirements: Requirements) -> Environment:
        if ready := store.find(key):
            return ready
        async with makers:
            return await store.make(key, requirements)

    tasks = {key: asyncio.create_task(prepared(key, requirements)) for key, requirements in wanted.items()}
    try:
        await asyncio.gather(*tasks.values())
    except BaseException:
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        raise
    return [await tasks[environment_key(each, own, extras)] for each in needs]


def environment_key(requirements: Requirements, own: OwnPackage, extras: tuple[str, ...] = ()) -> str:
    """A name for all that the environment depends on: equal only where all of it is."""
    parts = [LAYOUT, sorted(requirements.lines), own.fingerprint(), lock_fingerprint(LOCK), *interpreter(), *extras]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=10).hexdigest()


def interpreter() -> tuple[str, ...]:
    """What an environment depends on of the Python that it is made of."""
    program = os.path.realpath(sys.executable)
    return (program, sys.version, sys.implementation.name, sysconfig.get_platform(), platform.libc_ver()[0])


class EnvironmentStore:
    """The folder of environments."""

    def __init__(self, folder: Path, own: OwnPackage, progress: Progress, extras: tuple[str, ...] = ()) -> None:
        self._extras = extras
        self._folder = folder
        self._own = own
        self._progress = progress

    def find(self, key: str) -> Environment | None:
        """The environment, if it is there and whole. Marks it as used."""
        with suppress(FileNotFoundError):
            os.utime(self._marker(key))
            python = self._folder / key / "venv" / "bin" / "python"
            if python.exists():  # and the interpreter that it points to is still installed
                return Environment(python, key, created=False)
        return None

    async def make(self, key: str, requirements: Requirements) -> Environment:
        """Make the environment, or wait for another process that does."""
        self._folder.mkdir(parents=True, exist_ok=True)
        async with _locked(self._folder / f"{key}.lock"):
            if ready := self.find(key):
                return ready
            folder = self._folder / key
            await asyncio.to_thread(_remove, folder)
            folder.mkdir()
            await self._install(folder, requirements)
            write_json(self._marker(key), {"operator": requirements.operator, "requirements": requirements.lines})
        return Environment(folder / "venv" / "bin" / "python", key, created=True)

    def _marker(self, key: str) -> Path:
        return self._folder / key / "complete.json"

    async def _install(self, folder: Path, requirements: Requirements) -> None:
        wheel = folder / self._own.file_name
        wheel.write_bytes(self._own.wheel())
        self._progress(requirements.operator, "installing its dependencies")
        python = folder / "venv" / "bin" / "python"
        uv = str(uv_program())
        venv = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder / "venv")]
        await self._run(requirements, *venv)
        await self._run(requirements, uv, *lock_arguments(python, LOCK), advice=_LOCK_ADVICE)
        await self._run(requirements, uv, *install_arguments(python, wheel, LOCK, requirements, self._extras))
        # byte-compiles what every replica imports, and shows that it can be imported, before any replica needs it;
        # to compile all that is installed would take several times as long as to install it
        await self._run(requirements, str(python), "-c", FIRST_IMPORT)

    async def _run(self, requirements: Requirements, *command: str, advice: str = "") -> None:
        process = await asyncio.create_subprocess_exec(
            *tethered(command),
            cwd=requirements.file.parent if requirements.file else self._folder,
            env={name: value for name, value in current_uv_environment().items() if name != "PYTHONDONTWRITEBYTECODE"},
            stdin=subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        lines: list[str] = []
        try:
            if process.stderr is not None:
                async for line in process.stderr:
                    lines.append(line.decode(errors="replace").rstrip())
                    if not lines[-1].startswith(" + "):
                        self._progress(requirements.operator, lines[-1])
            code = await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what uv started to build a package too
                await process.wait()
        if code:
            raise _failure(requirements, lines, advice)


def lock_arguments(python: Path, lock: Path) -> list[str]:
    """uv's command line that installs what is locked, as it was when it was locked."""
    return ["pip", "install", "--python", str(python), "--no-deps", "--require-hashes", "-r", str(lock)]


def install_arguments(
    python: Path, wheel: Path, lock: Path, requirements: Requirements, extras: tuple[str, ...] = ()
) -> list[str]:
    """uv's command line after that. Our wheel and the operator's requirements are resolved together.

    What is installed stays, unless the operator asks for another version: as with `RUN pip install` on top of an image.
    """
    own = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    arguments = ["pip", "install", "--python", str(python), own]
    if requirements.lines:
        arguments += ["-r", str(requirements.file)]
    # uv knows a folder that it built before by its pyproject.toml alone, not by the rest of what is in it; to refresh
    # what it knows is refused offline, to install it again is not
    for package in requirements.packages:
        arguments += ["--reinstall-package", package]
    if len(requirements.packages) < len(requirements.folders):
        arguments += ["--reinstall", "-c", str(lock)]  # which would take any version again
    return arguments


def uv_program() -> Path:
    """The program of the package uv. Raises `EngineError` where it is missing."""
    try:
        import uv

        return Path(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        raise EngineError("uv, which makes operators' environments, is missing: pip install uv") from None


def prune(cache: Path | None = None, *, days: float = KEEP_DAYS, now: float | None = None) -> list[str]:
    """Remove the environments that were not used for so many days, and those that are not whole; their keys.

    One that is being made is left alone.
    """
    folder = cache or environments_folder()
    oldest = (time.time() if now is None else now) - days * 24 * 3600
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path.name for path in paths if path.is_dir() and _remove_unused(path, oldest)]


def _remove_unused(folder: Path, oldest: float) -> bool:
    with folder.with_name(f"{folder.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        marker = folder / "complete.json"
        if marker.is_file() and marker.stat().st_mtime >= oldest:
            return False
        _remove(folder)
        return True


def _remove(folder: Path) -> None:
    """Remove an environment, its marker first, so that half of one is never taken for whole."""
    (folder / "complete.json").unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock of this name. It is let go when the process ends, however that comes about."""
    with path.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.05)
        yield


_NETWORK = ("network", "connect", "dns error", "timed out", "certificate", "fetch", "offline")


_LOCK_ADVICE = "interactem's own dependencies come in fixed versions, which the package index has to have"


def _failure(requirements: Requirements, lines: list[str], advice: str) -> DependencyError:
    said = [line for line in lines if line.strip() and not line.startswith("Using Python")][-15:]
    file = requirements.file or "interactem's own dependencies"
    if any(word in line.lower() for line in said for word in _NETWORK):
        advice = "check the network, HTTPS_PROXY, and the package index (UV_DEFAULT_INDEX or pip's configuration)"
    elif not advice:
        advice = f"correct {file}; what interactem needs itself is resolved together with it"
    return DependencyError(requirements.operator, "its dependencies cannot be installed", advice, said)
