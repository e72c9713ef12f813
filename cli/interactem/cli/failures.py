"""What a command reports in place of its result: errors of all parts as message, problems and exit code.

CommandError            raised by commands themselves
├── InvalidError        exit code 2: what was given is not valid
└── FailedError         exit code 1: what was asked for was tried, and failed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

FAILED, INVALID, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True, slots=True)
class Failure:
    """`details` are further keys of the JSON document."""

    exit_code: int
    message: str
    problems: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class CommandError(Exception):
    """Ends a command. `problems` are all things that are wrong, one line each, where there can be several."""

    exit_code: ClassVar[int] = FAILED

    def __init__(
        self, message: str, problems: Iterable[object] = (), *, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(map(str, problems))
        self.details = details or {}


class FailedError(CommandError):
    exit_code = FAILED


class InvalidError(CommandError, ValueError):
    exit_code = INVALID


def counted(problems: Sequence[object]) -> str:
    return "there is a problem" if len(problems) == 1 else f"there are {len(problems)} problems"


def translate(error: Exception) -> Failure | None:
    """The failure to report for an error that a user can cause or mend; None for an error of ours."""
    if isinstance(error, CommandError):
        return Failure(error.exit_code, error.message, error.problems, error.details)
    return _specs(error) or _runtime(error) or _engine(error) or _system(error)


def _specs(error: Exception) -> Failure | None:
    from interactem.spec import SpecError

    if not isinstance(error, SpecError):
        return None
    return Failure(INVALID, counted(error.problems), tuple(map(str, error.problems)))


def _runtime(error: Exception) -> Failure | None:
    from interactem.runtime.errors import InteractemRuntimeError, KernelError, ParameterError, SettingsError

    if not isinstance(error, InteractemRuntimeError):
        return None
    invalid = isinstance(error, KernelError | ParameterError | SettingsError)
    return Failure(INVALID if invalid else FAILED, str(error))


def _engine(error: Exception) -> Failure | None:
    from interactem.engine.errors import (
        CommandNotFoundError,
        EngineError,
        MetricsError,
        OperatorError,
        RunFolderError,
        UnknownRunError,
    )

    if not isinstance(error, EngineError):
        return None
    if isinstance(error, OperatorError):
        return Failure(INVALID, counted(error.problems), error.problems)
    invalid = isinstance(error, CommandNotFoundError | MetricsError | RunFolderError | UnknownRunError)
    return Failure(INVALID if invalid else FAILED, str(error))


def _system(error: Exception) -> Failure | None:
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError | FileExistsError)
    where = f"{error.filename}: " if error.filename else ""
    return Failure(INVALID if missing else FAILED, f"{where}{error.strerror.lower()}")
