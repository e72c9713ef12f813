"""Replicas that are started again by a fork of a process that has done their imports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap

import pytest

from interactem.engine.launchers import Exit, Launch
from interactem.engine.processes import ProcessLauncher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")

WAIT = 60
SETTINGS = {"INTERACTEM_RUN": "r", "INTERACTEM_OPERATOR": "0", "INTERACTEM_BROKER": "nats://127.0.0.1:1"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TELL = """
    def tell(**more):
        parent = open(f"/proc/{os.getppid()}/stat").read().split()[3]
        ours = {name: value for name, value in os.environ.items() if name.startswith("INTERACTEM_")}
        more |= {"pid": os.getpid(), "parents": [os.getppid(), int(parent)], "session": os.getsid(0)}
        print(json.dumps({**more, "environment": ours, "folder": os.getcwd()}))
"""


class Restarts:
    """Starts a program again and again as one replica; each tells first what it is."""

    def __init__(self, folder):
        self.launcher = ProcessLauncher()
        self.folder = folder
        self.program = folder / "operator" / "run.py"
        self.program.parent.mkdir()
        self.incarnation = 0

    def write(self, head, body):
        text = "import json\nimport os\nimport signal\nimport sys\n" + textwrap.dedent(head)
        self.program.write_text(text + textwrap.dedent(TELL) + textwrap.dedent(body))
        # whatever the clock's steps are
        os.utime(self.program, ns=(self.incarnation, self.incarnation))

    async def start(self, replica=0, **environment):
        self.incarnation += 1
        lines = asyncio.Queue()
        command = (sys.executable, "-u", "-m", "interactem.runtime", str(self.program))
        given = {**SETTINGS, **ONE_THREAD, "INTERACTEM_REPLICA": str(replica), **environment}
        launch = Launch("frames", replica, self.incarnation, command, given, self.folder, lines.put_nowait)
        handle = await self.launcher.start(launch)
        return handle, json.loads(await lines.get())


def scenario(function):
    """A test that is a coroutine."""

    def test(tmp_path):
        async def run():
            restarts = Restarts(tmp_path)
            try:
                await asyncio.wait_for(function(restarts), WAIT)
            finally:
                await restarts.launcher.close()

        asyncio.run(run())

    test.__name__ = function.__name__
    return test


WAITS = "tell()\nsignal.pause()"


async def readable(descriptor):
    """Once the process of a descriptor has ended, which is closed then."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


@scenario
async def test_it_is_like_one_that_was_started_by_itself(restarts):
    restarts.write("import numpy", "tell(random=numpy.random.random())\nos._exit(7)")
    first, told = await restarts.start(3)
    second, other = await restarts.start(4, INTERACTEM_OUTPUTS="elsewhere")
    assert [await first.wait(), await second.wait()] == [Exit(code=7), Exit(code=7)]
    assert told["parents"] == other["parents"]
    assert told["parents"][1] == os.getpid()
    assert told["session"] == told["pid"] == first.pid
    assert told["folder"] == str(restarts.folder)
    standby = str(told["parents"][0])
    assert told["environment"] == {**SETTINGS, "INTERACTEM_REPLICA": "3", "INTERACTEM_PARENT": standby}
    assert other["environment"]["INTERACTEM_OUTPUTS"] == "elsewhere"
    assert told["random"] != other["random"]


@scenario
async def test_signals_are_seen(restarts):
    restarts.write("", WAITS)
    for end, number in ((lambda h: h.terminate(), signal.SIGTERM), (lambda h: h.kill(), signal.SIGKILL)):
        handle, _ = await restarts.start()
        end(handle)
        assert await handle.wait() == Exit(signal=number)
    handle, told = await restarts.start()
    os.kill(told["pid"], signal.SIGSEGV)
    assert await handle.wait() == Exit(signal=signal.SIGSEGV)
    handle.terminate()
    handle.kill()


@scenario
async def test_what_it_started_goes_with_it(restarts):
    restarts.write("", "child = os.fork()\nif child:\n    tell(child=child)\nsignal.pause()")
    handle, told = await restarts.start()
    descriptor = os.pidfd_open(told["child"])
    os.kill(told["pid"], signal.SIGKILL)
    assert await handle.wait() == Exit(signal=signal.SIGKILL)
    await readable(descriptor)


@scenario
async def test_run_py_is_always_new(restarts):
    restarts.write("", "tell(version=1)\nsignal.pause()")
    old, told = await restarts.start()
    restarts.write("import decimal", "tell(version=2)\nos._exit(0)")
    new, other = await restarts.start()
    assert await new.wait() == Exit(code=0)
    assert (told["version"], other["version"]) == (1, 2)
    assert not old.ended.done(), "the others go on"
    standby = os.pidfd_open(told["parents"][0])
    old.terminate()
    await old.wait()
    await readable(standby)  # nobody needs it any more


UNFIT = {
    "starts_a_thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "opens_a_file": "import os\nkept = os.open(__file__, os.O_RDONLY)",
    "ends": "import os, sys\nif 'INTERACTEM_STANDBY' in os.environ:\n    sys.exit(5)",
}


@pytest.mark.parametrize("module", UNFIT)
def test_where_a_fork_would_not_do(tmp_path, module):
    @scenario
    async def test(restarts):
        (restarts.folder / f"{module}.py").write_text(UNFIT[module])
        restarts.write(f"import {module}", WAITS)
        for _ in range(2):
            handle, told = await restarts.start()
            assert told["parents"][0] == os.getpid()
            handle.kill()
            await handle.wait()

    test(tmp_path)


@scenario
async def test_what_does_not_import_says_so(restarts):
    restarts.write("print('{}')\nimport no_such_module", WAITS)
    handle, _ = await restarts.start()
    assert await handle.wait() == Exit(code=3)


@scenario
async def test_a_standby_that_is_killed_takes_its_replicas_along_and_is_replaced(restarts):
    restarts.write("", WAITS)
    handles = [await restarts.start(replica) for replica in range(2)]
    standby = handles[0][1]["parents"][0]
    os.kill(standby, signal.SIGKILL)
    for handle, _ in handles:
        assert await handle.wait() == Exit(signal=signal.SIGKILL)
    handle, told = await restarts.start()
    assert standby not in told["parents"]
    assert os.getpid() == told["parents"][1], "another standby"
