from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from interactem.engine.errors import LaunchError
from interactem.engine.guard import Guard
from interactem.engine.launchers import Exit, Launch, RecordingLauncher
from interactem.engine.processes import OutOfMemoryKills, ProcessLauncher, child_environment

WAIT = 60


class Replicas:
    """Starts small programs as replicas, and keeps their lines."""

    def __init__(self, folder: Path) -> None:
        self.launcher = ProcessLauncher()
        self.folder = folder
        self.lines: list[bytes] = []
        self.news = asyncio.Event()

    def log(self, line: bytes) -> None:
        self.lines.append(line)
        self.news.set()

    async def start(self, code: str, **environment: str):
        command = (sys.executable, "-S", "-c", textwrap.dedent(code))
        return await self.launcher.start(Launch("frames", 0, 0, command, environment, self.folder, self.log))

    async def line(self, number: int = 0) -> bytes:
        while len(self.lines) <= number:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), WAIT)
        return self.lines[number]


def run(folder: Path, test) -> None:
    async def main() -> None:
        replicas = Replicas(folder)
        try:
            await asyncio.wait_for(test(replicas), WAIT)
        finally:
            await replicas.launcher.close()

    asyncio.run(main())


async def gone(pid: int) -> None:
    """Wait for the end of a process that is not a child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), WAIT)
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


def test_working_folder_and_environment(tmp_path):
    async def test(replicas):
        code = "import os; print(os.getcwd()); print(os.environ['X'], os.environ['INTERACTEM_PARENT'])"
        handle = await replicas.start(code, X="given")
        await handle.wait()
        assert replicas.lines == [str(tmp_path).encode(), f"given {os.getpid()}".encode()]

    run(tmp_path, test)


@pytest.mark.parametrize(("command", "folder"), [("no-such-program", "."), (sys.executable, "no-such-folder")])
def test_what_cannot_be_started_is_said(tmp_path, command, folder):
    async def test(replicas):
        with pytest.raises(LaunchError, match=r"frames\.2 cannot be started: .*no-such.*: No such file"):
            launch = Launch("frames", 2, 0, (command,), {}, tmp_path / folder, replicas.log)
            await replicas.launcher.start(launch)

    run(tmp_path, test)


def test_the_environment_of_a_replica_is_free_of_our_own_python():
    pythons = {"PYTHONPATH": "/x", "PYTHONHOME": "/y", "PYTHONDONTWRITEBYTECODE": "1"}
    ours = {"PATH": "/bin", "INTERACTEM_X": "1", "OMP_NUM_THREADS": "2", **pythons}
    assert child_environment(ours, {"INTERACTEM_RUN": "r", "PATH": "/sbin"}) == {
        "PATH": "/sbin",
        "OMP_NUM_THREADS": "2",
        "INTERACTEM_RUN": "r",
        "PYTHONUNBUFFERED": "1",
    }


def test_each_out_of_memory_kill_explains_one_death(tmp_path):
    counter = tmp_path / "memory.events"
    counter.write_text("oom 7\noom_kill 3\noom_group_kill 9\n")
    kills = OutOfMemoryKills(counter)
    assert not kills.take()
    counter.write_text("oom 7\noom_kill 5\noom_group_kill 9\n")
    assert [kills.take() for _ in range(3)] == [True, True, False]


def test_without_a_counter_nothing_is_out_of_memory():
    assert not OutOfMemoryKills(None).take()


def test_a_kill_from_outside_is_not_out_of_memory(tmp_path):
    async def test(replicas):
        handle = await replicas.start("import signal; print('ready'); signal.pause()")
        await replicas.line()
        os.kill(handle.pid, signal.SIGKILL)
        assert await handle.wait() == Exit(signal=signal.SIGKILL)

    run(tmp_path, test)


def test_the_recording_launcher_lets_the_test_decide(tmp_path):
    async def main() -> None:
        launcher = RecordingLauncher()
        launch = Launch("frames", 1, 0, ("python",), {}, tmp_path, lambda line: None)
        launcher.failure = LaunchError("frames", 1, "no")
        with pytest.raises(LaunchError):
            await launcher.start(launch)
        first, second = await launcher.start(launch), await launcher.start(launch)
        assert await launcher.started() is first
        first.end(Exit(code=4))
        assert await first.wait() == Exit(code=4)
        second.terminate()
        assert await second.wait() == Exit(code=0)
        third = await launcher.start(launch)
        await launcher.close()
        assert await third.wait() == Exit(signal=signal.SIGKILL)
        assert launcher.launches == [launch] * 3

    asyncio.run(main())


SUPERVISOR = r"""
    import asyncio, sys
    from pathlib import Path
    from interactem.engine.launchers import Launch
    from interactem.engine.processes import ProcessLauncher

    async def main():
        launcher = ProcessLauncher()
        code = "import os, signal; os.fork() or signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        code += "os.write(1, b'%d\\n' % os.getpid()); signal.pause()"
        say = lambda line: print(line.decode(), flush=True)
        command = (sys.executable, "-S", "-c", code)
        await launcher.start(Launch("one", 0, 0, command, {}, Path("/"), say))
        await launcher.start(Launch("two", 0, 0, command, {}, Path("/"), say))
        await asyncio.Event().wait()

    asyncio.run(main())
"""


def test_nothing_is_left_of_a_supervisor_that_was_killed(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(SUPERVISOR)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        try:
            pids = [int(supervisor.stdout.readline()) for _ in range(4)]
        finally:
            supervisor.kill()

    async def all_gone() -> None:
        await asyncio.gather(*map(gone, pids))

    asyncio.run(all_gone())


def test_a_guard_that_was_killed_is_replaced():
    guard = Guard()
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as first:
        guard.add(first.pid)
        os.kill(guard.pid, signal.SIGKILL)
        os.waitid(os.P_PID, guard.pid, os.WEXITED | os.WNOWAIT)
        with subprocess.Popen(["sleep", "1000"], start_new_session=True) as second:
            guard.add(second.pid)
            guard.close()
            assert second.wait(WAIT) == -signal.SIGKILL
        assert first.wait(WAIT) == -signal.SIGKILL


def test_a_guard_leaves_alone_what_it_was_told_to_forget():
    guard = Guard()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as process:
        guard.add(process.pid)
        guard.remove(process.pid)
        guard.close()
        process.stdin.close()
        assert process.wait(WAIT) == 0
