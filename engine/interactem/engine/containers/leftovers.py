"""Containers that nobody looks after: those of supervisors that were killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from interactem.engine.containers.arguments import RUN_LABEL, SUPERVISOR_LABEL, USER_LABEL
from interactem.engine.containers.connecting import connect, with_files
from interactem.engine.containers.engines import ENGINES, Engine, Found
from interactem.engine.containers.errors import NoEngineError
from interactem.engine.index import ProcessIdentity


def remove_of_run(engine: Engine, run: str) -> list[str]:
    """Remove the containers of a run, which nobody may be running; their names."""
    return _remove(engine, engine.containers({RUN_LABEL: run}))


def find_leftovers(engine: Engine) -> list[Found]:
    """The containers of our own user whose supervisor is gone."""
    ours = engine.containers({RUN_LABEL: None, USER_LABEL: str(os.getuid())})
    return [container for container in ours if not _looked_after(container.labels.get(SUPERVISOR_LABEL, ""))]


def remove_leftovers(engine: Engine) -> list[str]:
    """Remove them; their names."""
    return _remove(engine, find_leftovers(engine))


@contextmanager
def engines_that_run() -> Iterator[list[Engine]]:
    """The engines that can be used without starting any."""
    with ExitStack() as stack:
        found: list[Engine] = []
        for name in ENGINES:
            try:
                engine = connect(name, with_files(os.environ, [Path.cwd()]), start=False)
            except NoEngineError:
                continue  # what does not run has no containers that run
            stack.callback(engine.close)
            found.append(engine)
        yield found


def _looked_after(supervisor: str) -> bool:
    pid, _, rest = supervisor.partition(":")
    started, _, machine = rest.partition(":")
    return pid.isdecimal() and ProcessIdentity(int(pid), started, machine).alive


def _remove(engine: Engine, found: list[Found]) -> list[str]:
    for container in found:
        engine.remove(container.id)
    return [container.name for container in found]
