"""What lines of a command's output mean: progress, status, failure, and what the author has a function for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from interactem.runtime.errors import CommandError

if TYPE_CHECKING:
    from interactem.runtime.context import Context
    from interactem.spec.commands import CommandPatterns

PROGRESS, STATUS, FAILURE = (rf"^openjd_{name}:\s*(.*)" for name in ("progress", "status", "fail"))
"""The lines of Open Job Description, which every command may print."""

Callback = Callable[[re.Match[str]], object]


class Meanings:
    """The expressions of one command. `callbacks` has the author's functions by their names."""

    def __init__(self, patterns: CommandPatterns) -> None:
        self._progress = _compiled(PROGRESS, *patterns.progress)
        self._status = _compiled(STATUS, *patterns.status)
        self._failure = _compiled(FAILURE, *patterns.failure)
        self._callbacks = [(name, re.compile(pattern)) for name, pattern in patterns.callbacks.items()]

    def understand(self, line: str, context: Context, callbacks: Mapping[str, Callback]) -> bool:
        """Act on a line; False where it means nothing.

        Raises `CommandError` for one that says that the command has failed, and whatever the author's function raises.
        """
        for name, pattern in self._callbacks:
            if found := pattern.search(line):
                callbacks[name](found)
        if (value := _value(self._failure, line)) is not None:
            raise CommandError(f"the command says that it has failed: {value}" if value else "the command has failed")
        if (value := _value(self._status, line)) is not None:
            context.status(value)
            return True
        if (value := _value(self._progress, line)) is None:
            return any(pattern.search(line) for _, pattern in self._callbacks)
        try:
            context.progress(float(value.strip().removesuffix("%")))
        except ValueError:
            context.logger.warning("%r is no percentage", value)
        return True


def _compiled(*patterns: str) -> list[re.Pattern[str]]:
    return [re.compile(pattern) for pattern in patterns]


def _value(patterns: list[re.Pattern[str]], line: str) -> str | None:
    """The first group of the first expression that is found, or all of what is found; None where none is."""
    for pattern in patterns:
        if found := pattern.search(line):
            return (found[1] if pattern.groups else found[0]) or ""
    return None
