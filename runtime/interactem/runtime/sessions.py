"""One operator, started with init data and run with one dict of run data after the other: outside of pipelines."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from interactem.runtime.errors import KernelError, ParameterError, ParametersError, SetUpError
from interactem.runtime.loading import user_traceback
from interactem.runtime.messages import BytesMessage
from interactem.runtime.secrets import Mask
from interactem.runtime.targets import spec_of
from interactem.runtime.testing import InputError, Operator
from interactem.spec import SpecError

__all__ = ["FAILED", "INTERRUPTED", "INVALID", "Outcome", "Request", "Session", "outcome_of", "plain"]

FAILED, INVALID, INTERRUPTED = 1, 2, 130

Send = Callable[[BytesMessage], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be started. `parameters` come before what `init_data` says of those that the spec declares."""

    operator: Path
    init_data: dict[str, Any]
    parameters: dict[str, Any]
    outputs: Path
    port: str | None
    mask: Mask
    own_folder: Path | None = None
    """A folder that is removed at the end; without one, the session makes one."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """As the command line has written it."""
        return cls(
            operator=Path(value["operator"]),
            init_data=value["init_data"],
            parameters=value["parameters"],
            outputs=Path(value["outputs"]),
            port=value["port"],
            mask=Mask(value["secrets"]),
            own_folder=Path(value["own_folder"]) if value.get("own_folder") else None,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step went: its exit code, and what is to be said where it failed."""

    code: int = 0
    error: str | None = None


class Session:
    """Its steps raise what the operator raises, and end by `KeyboardInterrupt` when they are cancelled."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._operator: Operator | None = None
        self._runs = 0

    def start(self) -> None:
        """Load the operator and set it up. Where that fails, what was set up is torn down."""
        asked = self._request
        spec = spec_of(asked.operator)
        declared = asked.init_data if spec is None else {parameter.name for parameter in spec.parameters}
        given = {name: value for name, value in asked.init_data.items() if name in declared}
        self._operator = Operator(
            asked.operator,
            {**given, **asked.parameters},
            outputs=asked.outputs,
            init_data=asked.init_data,
            own_folder=asked.own_folder,
        )
        try:
            self._operator.__enter__()
        except SystemExit as error:
            raise RuntimeError(f"the operator ended itself while it started, by sys.exit({error.code!r})") from error

    def run(self, run_data: dict[str, Any], send: Send) -> None:
        """Call the kernel with a message whose meta is the run data; `send` gets what it makes, as it makes it."""
        operator = self.operator
        self._runs += 1
        message = None
        if not operator.source:
            message = BytesMessage(port=operator.input_port(BytesMessage(port=self._request.port)))
        elif "run_data" in operator.kernel.takes:
            message = BytesMessage()
        if message is not None:
            message.header.meta, message.id = run_data, f"run.{self._runs}"
        for made in operator.give(message):
            send(made)

    def cancel(self) -> None:
        """For a signal handler: tell the operator that what goes on is to end."""
        if self._operator is not None:
            self._operator.cancel()

    def stop(self) -> Outcome:
        """The rest of the lifecycle. What it raises is in the log."""
        if self._operator is None:
            return Outcome()
        operator, self._operator = self._operator, None
        failures = operator.tear_down()
        operator.__exit__(None, None, None)
        return Outcome(FAILED, "the operator did not stop and clean up as it should") if failures else Outcome()

    @property
    def operator(self) -> Operator:
        """It is there once it has started."""
        if self._operator is None:
            raise InputError("the operator is not started")
        return self._operator


def outcome_of(error: BaseException, mask: Mask) -> Outcome:
    """What is said of a step that raised."""
    code, text = _said(error)
    return Outcome(code, None if text is None else mask.text(text))


def _said(error: BaseException) -> tuple[int, str | None]:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "cancelled"
    if isinstance(error, SystemExit):
        return _exit_code(error)
    if isinstance(error, SpecError):
        return INVALID, "\n".join(str(problem) for problem in error.problems)
    if isinstance(error, SetUpError):
        return FAILED, f"{error}\n{user_traceback(error.error)}"
    if isinstance(error, InputError | KernelError | ParameterError | ParametersError):
        return INVALID, str(error)
    return FAILED, user_traceback(error)


def _exit_code(error: SystemExit) -> tuple[int, str | None]:
    """A kernel may say by `sys.exit` how the program that it wraps has ended."""
    if error.code is None or isinstance(error.code, int):
        code = int(error.code or 0)
        return (code if 0 <= code <= 255 else FAILED), None
    return FAILED, str(error.code)


def plain(value: object) -> Any:
    """JSON has no bytes; a meta may hold some, or be some. For `json.dumps(default=…)`."""
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"a meta holds a {type(value).__name__}, which JSON does not know")


def print_message(message: BytesMessage) -> None:
    """The data goes to standard output, and the meta to standard error as a line of JSON."""
    size = memoryview(message.data).nbytes
    about = {"port": message.target, "meta": message.header.meta, "bytes": size}
    sys.stdout.flush()
    sys.stdout.buffer.write(message.data)
    sys.stdout.buffer.flush()
    sys.stderr.write(json.dumps(about, ensure_ascii=False, default=plain) + "\n")
