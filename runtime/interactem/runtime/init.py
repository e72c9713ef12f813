"""A container's first process.

The kernel ignores signals for the first process of a container unless it handles them, so an operator there could be
ended neither by its time limit nor by a request, and its crashes would have no signal. So the operator is made a child
of a first process that does nothing but pass signals on, reap, and end as its child ends: with 128 and the signal's
number where there was one, as shells do, and with `OUT_OF_MEMORY` where the kernel killed it to get memory: not all
engines notice. As a script, `python -I -S init.py PID`: that process. Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys

SIGNALLED = 128
OUT_OF_MEMORY = 249
_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Where the kernel counts, of this container, the processes that it killed to get memory: cgroups of v2, and of v1."""
PASSED_ON = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}
)


def stand_behind_init() -> None:
    """Go on as a child of this process, which becomes the first one, if that is what it is; else do nothing."""
    if os.getpid() != 1:
        return
    # blocked signals wait: none is lost until the script takes them, which has the same mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    child = os.fork()
    if child:
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, str(child)])
    os.setpgid(0, 0)  # Ctrl-C in a terminal comes from the first process alone
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(child: int) -> int:
    """Until the child has ended; its exit code."""
    before = _memory_kills()
    while True:
        number = signal.sigwait({*PASSED_ON, signal.SIGCHLD})
        if number == signal.SIGCHLD:
            code = _reap(child)
            if code == SIGNALLED + signal.SIGKILL and _memory_kills() > before:
                return OUT_OF_MEMORY
            if code is not None:
                return code
        else:
            os.kill(child, number)


def _reap(child: int) -> int | None:
    """Take leave of all that have ended. The code of the child, if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return SIGNALLED + signal.SIGKILL  # it cannot come to this: the child was reaped by nobody else
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code
        if pid == 0:
            return None


def _memory_kills() -> int:
    for path in _COUNTERS:
        try:
            with open(path) as file:
                counts = dict(line.split() for line in file)
        except (OSError, ValueError):
            continue
        return int(counts.get("oom_kill", 0))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
