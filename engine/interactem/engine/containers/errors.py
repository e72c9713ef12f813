"""What can go wrong with container engines.

ContainerError             the base; says what is wrong, and what to do
├── NoEngineError          the engine does not run, is not installed, or does not let us in
│   └── NotServedError     there is no socket where one usually is
├── EngineRefusal          the engine answers, but does not do what it was asked for
└── MissingImageError      an operator's image is neither there nor can it be pulled
"""

from __future__ import annotations

from collections.abc import Sequence

from interactem.engine.errors import EngineError


class ContainerError(EngineError):
    """The base of this package's errors."""


class NoEngineError(ContainerError, ConnectionError):
    """The engine cannot be used. `advice` says what to do."""

    def __init__(self, engine: str, reason: str, advice: str) -> None:
        super().__init__(f"{engine}: {reason}; {advice}")
        self.engine = engine
        self.reason = reason
        self.advice = advice


class NotServedError(NoEngineError):
    """There is no socket where one usually is: nobody has started the engine."""


class EngineRefusal(ContainerError):
    """The engine does not do it; `reason` is its own word, `missing` says that what it is about is not there."""

    def __init__(self, engine: str, reason: str, *, missing: bool = False) -> None:
        super().__init__(f"{engine}: {reason}")
        self.engine = engine
        self.reason = reason
        self.missing = missing


class MissingImageError(ContainerError, LookupError):
    """Images that are neither there nor can be pulled. `problems` has one for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
