"""What all launchers do alike: each test runs on all three."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interactem.engine.containers.connecting import connect
from interactem.engine.containers.launcher import ContainerLauncher
from interactem.engine.errors import LaunchError
from interactem.engine.launchers import Exit, Launch, Launcher, Place
from interactem.engine.lines import LINE_BYTES
from interactem.engine.processes import ProcessLauncher

WAIT = 60
CONTAINERS = [pytest.param(name, marks=pytest.mark.containers) for name in ("podman", "docker")]
KILLED = Exit(signal=signal.SIGKILL)
BEHIND_INIT = "from interactem.runtime.init import stand_behind_init; stand_behind_init()\n"
"""What an operator does first: signals are else ignored in a container's first process."""


@pytest.fixture(params=["process", *CONTAINERS])
def kind(request) -> str:
    if request.param != "process":
        request.getfixturevalue("base_images")[request.param]
    return request.param


class Replicas:
    """Starts small programs as replicas, and keeps their lines."""

    def __init__(self, launcher: Launcher, kind: str, folder: Path, run: str = "test") -> None:
        self.launcher = launcher
        self.kind = kind
        self.folder = folder
        self.run = run
        self.lines: list[bytes] = []
        self.news = asyncio.Event()
        self.started = 0

    def log(self, line: bytes) -> None:
        self.lines.append(line)
        self.news.set()

    def place(self, name: str, *, writable: bool = False) -> Place:
        return Place(self.folder / name, f"/places/{name}", writable=writable, owned=True)

    def command(self, code: str) -> tuple[str, ...]:
        code = textwrap.dedent(code)
        return (sys.executable, "-S", "-c", code) if self.kind == "process" else ("python", "-c", BEHIND_INIT + code)

    async def start(self, code: str, *, places: dict[str, Place] | None = None, **environment: str):
        self.started += 1
        launch = Launch(
            "frames",
            self.started,
            0,
            self.command(code),
            environment,
            self.folder,
            self.log,
            run=self.run,
            image=IMAGE,
            places=places or {},
        )
        return await self.launcher.start(launch)

    async def line(self, number: int = 0) -> bytes:
        while len(self.lines) <= number:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), WAIT)
        return self.lines[number]


IMAGE = "ghcr.io/nersc/interactem/operator"


@asynccontextmanager
async def replicas(kind: str, folder: Path) -> AsyncIterator[Replicas]:
    launcher: Launcher
    launcher = ProcessLauncher() if kind == "process" else ContainerLauncher(await asyncio.to_thread(connect, kind))
    try:
        # no two runs share an id: the tests of several machines' users may share an engine
        yield Replicas(launcher, kind, folder, run=f"test-{os.getpid()}-{folder.name}"[:60])
    finally:
        await launcher.close()


def run(kind: str, folder: Path, test) -> None:
    async def main() -> None:
        async with replicas(kind, folder) as made:
            await asyncio.wait_for(test(made), WAIT)

    asyncio.run(main())


def test_output_and_exit_code(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
        assert await handle.wait() == Exit(code=3)
        assert await handle.wait() == Exit(code=3), "any number of times"
        assert sorted(replicas.lines) == [b"one", b"two"]

    run(kind, tmp_path, test)


def test_any_bytes_and_a_last_line_without_an_end(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start(r"import os; os.write(1, b'\xff\x00\r\n\n\x1b[0m end')")
        await handle.wait()
        assert replicas.lines == [b"\xff\x00", b"", b"\x1b[0m end"]

    run(kind, tmp_path, test)


def test_very_long_lines_come_in_pieces(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start("print('x' * 1_000_000); print('short')")
        await handle.wait()
        assert max(map(len, replicas.lines)) <= LINE_BYTES
        assert b"".join(replicas.lines) == b"x" * 1_000_000 + b"short"
        assert replicas.lines[-1] == b"short"

    run(kind, tmp_path, test)


def test_nothing_of_much_output_is_lost(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start("for number in range(100_000): print(number, 'x' * 40)")
        assert await handle.wait() == Exit(code=0)
        assert [int(line.split()[0]) for line in replicas.lines] == list(range(100_000))

    run(kind, tmp_path, test)


def test_heavy_output_of_one_does_not_keep_another_waiting(kind, tmp_path):
    async def test(replicas):
        endless = await replicas.start("while True: print('y' * 70)")
        await replicas.line(1000)
        other = await replicas.start("print('other')")
        assert await other.wait() == Exit(code=0)
        endless.kill()
        assert await endless.wait() == KILLED
        assert b"other" in replicas.lines

    run(kind, tmp_path, test)


def test_terminate_is_a_request(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start(
            """
            import signal, sys
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
            print("ready", flush=True)
            signal.pause()
            """
        )
        await replicas.line()
        handle.terminate()
        assert await handle.wait() == Exit(code=5)
        handle.terminate()
        handle.kill()

    run(kind, tmp_path, test)


def test_terminate_ends_what_does_not_listen_yet(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start("import signal; print('ready', flush=True); signal.pause()")
        await replicas.line()
        handle.terminate()
        assert await handle.wait() == Exit(signal=signal.SIGTERM)

    run(kind, tmp_path, test)


LOCKED = """
    import fcntl, os, signal
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        lock = open(os.environ["LOCK"], "r+")
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("locked", flush=True)
        signal.pause()
"""


def lock_of(replicas) -> dict[str, Place]:
    (replicas.folder / "lock").touch()
    return {"LOCK": replicas.place("lock", writable=True)}


async def unlocked(folder: Path) -> None:
    """Once whoever has the lock is gone."""

    def take() -> None:
        with (folder / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    await asyncio.wait_for(asyncio.to_thread(take), WAIT)


@pytest.mark.parametrize("then", ["signal.pause()", "os.read(os.pipe()[0], 1)"])
def test_kill_takes_what_the_replica_started(kind, tmp_path, then):
    async def test(replicas):
        handle = await replicas.start(textwrap.dedent(LOCKED) + then, places=lock_of(replicas))
        await replicas.line()
        handle.kill()
        assert await handle.wait() == KILLED
        await unlocked(tmp_path)

    run(kind, tmp_path, test)


def test_what_a_replica_left_behind_goes_with_it(kind, tmp_path):
    async def test(replicas):
        wait = "import time\nwhile not os.path.getsize(os.environ['LOCK']): time.sleep(0.01)"
        handle = await replicas.start(textwrap.dedent(LOCKED) + wait, places=lock_of(replicas))
        await replicas.line()
        (tmp_path / "lock").write_text("go")
        assert await handle.wait() == Exit(code=0), "although somebody else holds its output open"
        await unlocked(tmp_path)

    run(kind, tmp_path, test)


def test_close_kills_what_runs(kind, tmp_path):
    async def test(replicas):
        handles = [await replicas.start("import signal; signal.pause()") for _ in range(3)]
        await replicas.launcher.close()
        for handle in handles:
            assert await handle.wait() == KILLED

    run(kind, tmp_path, test)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGALRM])
def test_a_crash_names_its_signal(kind, tmp_path, number):
    async def test(replicas):
        handle = await replicas.start(f"import os; os.kill(os.getpid(), {int(number)})")
        ended = await handle.wait()
        assert ended == Exit(signal=number)
        assert str(ended) == f"killed by {number.name}"
        assert not ended.ok

    run(kind, tmp_path, test)


def test_environment_and_places(kind, tmp_path):
    async def test(replicas):
        (tmp_path / "given").write_text("read me")
        (tmp_path / "outputs").mkdir()
        places = {"GIVEN": replicas.place("given"), "OUTPUTS": replicas.place("outputs", writable=True)}
        code = """
            import os
            from pathlib import Path
            print(os.environ["X"], Path(os.environ["GIVEN"]).read_text())
            Path(os.environ["OUTPUTS"], "result").write_text("written")
        """
        handle = await replicas.start(code, places=places, X="told")
        assert await handle.wait() == Exit(code=0), replicas.lines
        assert replicas.lines == [b"told read me"]
        assert (tmp_path / "outputs" / "result").read_text() == "written"

    run(kind, tmp_path, test)


def test_a_mapped_file_is_seen_after_a_kill(kind, tmp_path):
    """The crash slot: what the replica wrote last into shared memory outlasts it."""

    async def test(replicas):
        (tmp_path / "slot").touch()
        code = """
            import mmap, os, signal
            with open(os.environ["SLOT"], "r+b") as file:
                file.truncate(4096)
                memory = mmap.mmap(file.fileno(), 4096)
            memory[:4] = b"last"
            print("ready", flush=True)
            signal.pause()
        """
        handle = await replicas.start(code, places={"SLOT": replicas.place("slot", writable=True)})
        await replicas.line()
        handle.kill()
        await handle.wait()
        assert (tmp_path / "slot").read_bytes()[:4] == b"last"

    run(kind, tmp_path, test)


def test_what_cannot_be_started_is_said(kind, tmp_path):
    async def test(replicas):
        launch = Launch("frames", 2, 0, ("no-such-program",), {}, tmp_path, replicas.log, run=replicas.run, image=IMAGE)
        with pytest.raises(LaunchError, match=r"frames\.2 cannot be started: .*no-such-program"):
            await replicas.launcher.start(launch)

    run(kind, tmp_path, test)


def test_a_kill_from_outside_is_nobodys_fault(kind, tmp_path):
    async def test(replicas):
        handle = await replicas.start("import signal; print('ready', flush=True); signal.pause()")
        await replicas.line()
        if kind == "process":
            os.kill(int(handle.id), signal.SIGKILL)
        else:
            killing = await asyncio.create_subprocess_exec(kind, "kill", handle.id, stdout=subprocess.DEVNULL)
            assert await killing.wait() == 0
        assert await handle.wait() == KILLED

    run(kind, tmp_path, test)


SUPERVISOR = """
    import asyncio, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    import test_launchers as suite
    suite.IMAGE = {image!r}

    async def main():
        async with suite.replicas({kind!r}, Path({folder!r})) as replicas:
            for name in ("one", "two"):
                (replicas.folder / name).mkdir()
                replicas.folder = replicas.folder / name
                await replicas.start(suite.textwrap.dedent(suite.LOCKED) + "os.wait()", places=suite.lock_of(replicas))
                replicas.folder = replicas.folder.parent
            await replicas.line(1)
            print("ready", flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


def test_nothing_is_left_of_a_supervisor_that_was_killed(kind, tmp_path):
    code = textwrap.dedent(SUPERVISOR).format(
        here=str(Path(__file__).parent), kind=kind, folder=str(tmp_path), image=IMAGE
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as supervisor:
        try:
            assert supervisor.stdout.readline() == b"ready\n"
        finally:
            supervisor.kill()

    async def gone() -> None:
        await asyncio.gather(unlocked(tmp_path / "one"), unlocked(tmp_path / "two"))

    asyncio.run(gone())
