"""Whether a program can be started, and what is said where it cannot."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from interactem.runtime.errors import CommandError


def program_problem(program: str, path: str | None) -> str | None:
    """What keeps a program from being started, and what to do about it; None where nothing does.

    `path` is the variable PATH. A name with a slash in it is a file.
    """
    if "/" not in program:
        if shutil.which(program, path=path) is not None:
            return None
        if found := _unfit(program, path):
            return f"{found} is not executable; use: chmod +x"
        where = "in a container, its Containerfile has to install it"
        return f"there is no program {program!r} on the PATH; install it ({where}), or give its path"
    file = Path(program)
    if file.is_dir():
        return f"{program} is a folder, not a program"
    if not file.exists():
        return f"there is no program {program}"
    return None if os.access(file, os.X_OK) else f"{program} is not executable; use: chmod +x"


def _unfit(program: str, path: str | None) -> str | None:
    folders = (os.defpath if path is None else path).split(os.pathsep)
    return next((str(Path(folder, program)) for folder in folders if Path(folder, program).is_file()), None)


def not_started(arguments: Sequence[str], environment: Mapping[str, str], error: OSError) -> CommandError:
    """Why a command could not be started."""
    if not arguments or not arguments[0]:
        return CommandError("the command has no program: its first argument is empty")
    program = arguments[0]
    if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
        problem = program_problem(program, environment.get("PATH"))
        if problem is None:  # the file is there: what is not is what its first line names
            problem = f"{program} cannot be started; is there what its first line, #!, names?"
        return CommandError(problem)
    if error.errno == errno.E2BIG:
        advice = 'they may hold some 100 kB; give what is large as a file, "input": "file:…"'
        return CommandError(f"{program}: its arguments and variables are too long: {advice}")
    if error.errno == errno.ENOEXEC:
        return CommandError(f"{program} is no program of this machine; a script begins with #! and its interpreter")
    return CommandError(f"{program} cannot be started: {error.strerror or error}")
