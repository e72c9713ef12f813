"""What can go wrong while a pipeline is run.

EngineError                the base; says what is wrong, where, and what to do
├── BrokerError            the broker does not start, or went and does not come back
├── LaunchError            a replica's process cannot be started
├── ReplicaError           a replica died and is not started again
├── DependencyError        an operator's dependencies cannot be installed
├── OperatorError          operators' code does not load
├── CommandNotFoundError   there is no such program
├── MetricsError           metrics cannot be served there
├── RefusedError           a kernel does not take the parameters that it was to have
├── RunFolderError         the run folder cannot be used for this run
└── UnknownRunError        no run, or more than one, is meant by what was given
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class EngineError(Exception):
    """The base of all errors of this package."""


class BrokerError(EngineError, ConnectionError):
    """The broker does not start, or went and does not come back. `log` is the file that has its own words."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        super().__init__(f"{reason}; the server's log: {log}" if log else reason)
        self.reason = reason
        self.log = log


class LaunchError(EngineError, OSError):
    """A replica's process cannot be started."""

    def __init__(self, operator: str, replica: int, reason: str) -> None:
        super().__init__(f"{operator}.{replica} cannot be started: {reason}")
        self.operator = operator
        self.replica = replica
        self.reason = reason


class ReplicaError(EngineError):
    """A replica died and is not started again. `output` has the last lines that it printed."""

    def __init__(self, replica: str, reason: str, output: Sequence[str] = ()) -> None:
        super().__init__("\n    ".join([f"{replica}: {reason}", *output]))
        self.replica = replica
        self.reason = reason
        self.output = tuple(output)


class RefusedError(EngineError, ValueError):
    """A kernel does not take the parameters that it was to have."""

    def __init__(self, operator: str, reason: str) -> None:
        super().__init__(f"{operator} refuses them, and keeps those that it had: {reason}")
        self.operator = operator
        self.reason = reason


class DependencyError(EngineError):
    """An operator's dependencies cannot be installed. `output` has the last lines of what was tried."""

    def __init__(self, operator: str, reason: str, advice: str, output: Sequence[str] = ()) -> None:
        lines = [f"{operator}: {reason}", *(f"    {line}" for line in output), advice]
        super().__init__("\n".join(line for line in lines if line))
        self.operator = operator
        self.reason = reason
        self.advice = advice
        self.output = tuple(output)


class OperatorError(EngineError, ValueError):
    """Operators whose code does not load. `problems` has each one's own words."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class CommandNotFoundError(EngineError, ValueError):
    """There is no such program, or, for the `reason` given, it cannot be run."""

    def __init__(self, command: str, reason: str = "") -> None:
        super().__init__(f"{command}: {reason or 'there is no such command'}")
        self.command = command


class MetricsError(EngineError, OSError):
    """Metrics cannot be served at this host and port."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"metrics cannot be served at {host}:{port}: {reason.lower()}; give another --metrics-port, or 0 for any"
        )
        self.host = host
        self.port = port
        self.reason = reason


class RunFolderError(EngineError, ValueError):
    """The folder cannot be used for this run."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder}: {reason}")
        self.folder = folder
        self.reason = reason


class UnknownRunError(EngineError, LookupError):
    """No run, or more than one, is meant by what was given. `candidates` are the ids that come near."""

    def __init__(self, given: str, reason: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(f"{reason}: {', '.join(candidates)}" if candidates else reason)
        self.given = given
        self.candidates = tuple(candidates)
