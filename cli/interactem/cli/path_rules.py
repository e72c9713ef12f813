"""`--path-mapping-rules`: where files lie on this machine that were named on another one."""

from __future__ import annotations

import os
from pathlib import Path

from interactem.cli.failures import InvalidError, counted
from interactem.runtime.errors import PathMappingError
from interactem.runtime.path_mapping import VARIABLE, PathRule, parse_rules, rules_text

_FILE = "file://"


def read_path_rules(given: str | None) -> tuple[PathRule, ...]:
    """The rules of a command line: JSON, or `file://` and the path of a file with it. Raises `InvalidError`."""
    if given is None:
        return ()
    text = _read(given.removeprefix(_FILE)) if given.startswith(_FILE) else given
    try:
        return parse_rules(text)
    except PathMappingError as error:
        problems = [f"--path-mapping-rules: {problem}" for problem in error.problems]
        raise InvalidError(counted(problems), problems) from None


def hand_on(given: str | None) -> None:
    """Have the operators that this command starts know the rules. Raises `InvalidError`."""
    if rules := read_path_rules(given):
        os.environ[VARIABLE] = rules_text(rules)


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidError(f"--path-mapping-rules: {path} cannot be read: {reason}") from None
