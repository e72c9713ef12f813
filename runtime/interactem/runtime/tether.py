"""A process that dies with its parent, also when that is killed with `kill -9`.

As a script, `python -I -S tether.py PARENT COMMAND...` becomes COMMAND, tied to the process PARENT that started it.
Standard library only, and little of it: this stands before every start of a server. On Linux the kernel does the
killing. Elsewhere the parent holds the other end of the standard input, and its end is the sign.
"""

from __future__ import annotations

import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Tie this process to `parent`, the id of the process that started it; if that is gone already, die now.

    The tie is to the *thread* of the parent that started this process, so start from one that lives. Elsewhere than on
    Linux the standard input must be a pipe that only the parent can write to, and nobody else may read it.
    """
    if sys.platform == "linux":
        _die_by_signal()
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        _die_by_pipe()


def main(arguments: list[str]) -> None:
    """Become the command. Exits with 2 for wrong usage, 127 where there is no such command."""
    if len(arguments) < 2 or not arguments[0].isdigit():
        sys.stderr.write("usage: tether.py PARENT COMMAND...\n")
        sys.exit(2)
    parent, command = int(arguments[0]), arguments[1:]
    try:
        if sys.platform == "linux":
            die_with_parent(parent)
            os.execv(command[0], command)
        else:
            sys.exit(_guard(command))
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(127)


def _die_by_signal() -> None:
    import ctypes  # imported here: half of this script's start-up time, and other systems do not need it

    set_parent_death_signal = 1
    if ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _die_by_pipe() -> None:
    from threading import Thread

    Thread(target=_end_with_input, name="tether", daemon=True).start()


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():  # a group of our own: what we started goes with us
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _guard(command: list[str]) -> int:
    """Run the command as a child, pass signals on to it, and end it together with ourselves when the parent ends."""
    import subprocess
    from threading import Thread

    early: list[int] = []
    passed_on = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    for number in passed_on:
        signal.signal(number, lambda number, _: early.append(number))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    for number in passed_on:
        signal.signal(number, lambda number, _: child.send_signal(number))
    for came in early:
        child.send_signal(came)

    def end_with_input() -> None:
        while os.read(0, 4096):
            pass
        child.kill()
        os.kill(os.getpid(), signal.SIGKILL)

    Thread(target=end_with_input, daemon=True).start()
    code = child.wait()
    if code < 0:  # end in the same way, so that whoever waits for us sees it
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    main(sys.argv[1:])
