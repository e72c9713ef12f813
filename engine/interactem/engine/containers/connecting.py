"""A container engine that can be used, found by what the environment and `.env` files say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from interactem.engine.containers.engines import Engine, EngineName
from interactem.engine.containers.sockets import VARIABLES, find_socket
from interactem.engine.errors import EngineError

FILE = ".env"


def connect(engine: EngineName, environment: Mapping[str, str] = os.environ, *, start: bool = True) -> Engine:
    """The engine, which answers; with `start`, podman is started if need be. Blocks.

    Raises `NoEngineError` that says what to do.
    """
    path = find_socket(engine, environment, start=start)
    made: Engine
    if engine == "podman":
        from interactem.engine.containers.podman import PodmanEngine

        made = PodmanEngine(path)
    else:
        from interactem.engine.containers.docker import DockerEngine

        made = DockerEngine(path)
    made.abilities()  # it answers, and is what it is taken for
    return made


def with_files(environment: Mapping[str, str], folders: Iterable[Path]) -> dict[str, str]:
    """The environment, and of the `.env` files in these folders what it does not have; the first one counts."""
    names = {name for each in VARIABLES.values() for name in each}
    found: dict[str, str] = {}
    for folder in dict.fromkeys(each.absolute() for each in folders):
        found = {**read_file(folder / FILE, names), **found}
    return {**found, **environment}


def read_file(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The variables of these names in a file of `NAME=value` lines; empty where there is no file.

    A value may stand in quotes, and `export` before the name. Raises `EngineError` where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{path} cannot be read: {error}") from None
    wanted = set(names)
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.strip() in wanted:
            found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.partition(" #")[0].strip()
