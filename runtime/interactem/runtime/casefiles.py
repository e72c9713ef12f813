"""Test cases as JSON files: what an operator is given, and what is expected of it. `docs/cli.md` describes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from interactem.runtime.errors import ArrayError
from interactem.runtime.messages import BytesMessage, MessageHeader
from interactem.spec import Problem, SpecError, read_json
from interactem.spec.models import SpecModel, null_is_empty
from interactem.spec.parsing import validate
from interactem.spec.wording import join_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "tests"


class CaseArray(SpecModel):
    dtype: str | None = None
    """A numpy dtype, such as `uint16`; where it is absent numpy chooses, and any dtype is as expected."""
    data: Any
    """Numbers in nested lists; null is NaN."""


class CaseContent(SpecModel):
    """Data in one of four forms, or none."""

    text: str | None = Field(default=None, alias="data")
    """The data as text."""
    base64: str | None = None
    """The data in base64."""
    file: str | None = None
    """A file beside the case; an `.npy` is an array."""
    array: CaseArray | None = None
    """An array."""


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class CaseInput(CaseContent):
    port: str | None = None
    """The input port; needed where there are several."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """The header's meta."""
    tags: Annotated[tuple[str, ...], null_is_empty(str)] = ()
    """The message's tags."""


class CaseFile(CaseContent):
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """By how much the values of an array may differ."""


class CaseMessage(CaseFile):
    port: str | None = None
    """The output port that the message is addressed to; absent, it is not looked at."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """Keys of the meta and their values; other keys are not looked at."""
    tags: Annotated[tuple[str, ...] | None, BeforeValidator(_as_tuple)] = None
    """The message's tags, in their order; absent, they are not looked at."""


class Case(SpecModel):
    """One case of an operator."""

    description: str = ""
    """What the case shows."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters by name; absent ones have their defaults."""
    mounts: dict[str, str] = Field(default_factory=dict)
    """Files or folders beside the case, by the name of their parameter."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which attempt the context says it is."""
    side_inputs: dict[str, Any] = Field(default_factory=dict)
    """Values of side inputs, by name."""
    inputs: Annotated[tuple[CaseInput, ...], null_is_empty(CaseInput)] = ()
    """The messages, one after the other; none for a source."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """After how many messages a source is stopped."""
    trigger: str | None = None
    """A trigger that is pulled after the inputs."""
    finish: bool = False
    """Whether the stream ends after the inputs."""
    expect: Annotated[tuple[CaseMessage, ...], null_is_empty(CaseMessage)] = ()
    """The messages that come out, in order; absent is none."""
    value: Any = None
    """The value that a side input gives; null is none."""
    error: str | None = None
    """A part of the error (`Type: message`) that is expected in place of messages."""
    outputs: dict[str, CaseFile] = Field(default_factory=dict)
    """Files that a sink writes, by their path in the outputs folder."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Data as a case expects it: an array, bytes, or None for anything at all."""

    array: NDArray[Any] | None = None
    data: bytes | None = None
    any_dtype: bool = False
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadyCase:
    """A case whose files are read: nothing in it is malformed."""

    name: str
    case: Case
    inputs: list[BytesMessage]
    expect: list[Expected]
    mounts: dict[str, Path]
    outputs: dict[str, Expected]


def read_cases(operator: Path) -> list[ReadyCase]:
    """The cases in an operator's `tests/*.json`, by file name; a file is one case or a list of them.

    Raises `SpecError` with every problem of all of them, and where there are none.
    """
    problems: list[Problem] = []
    cases: list[ReadyCase] = []
    for file in sorted((operator / FOLDER).glob("*.json")):
        for index, value in _listed(file, problems):
            name = f"{FOLDER}/{file.name}{index}"
            try:
                case = validate(Case, value, str(file), [])
            except SpecError as error:
                problems += [replace(one, path=one.path.replace("$", f"${index}", 1)) for one in error.problems]
                continue
            cases.append(_Reading(file, f"${index}", problems).ready(name, case))
    if not cases and not problems:
        problems.append(Problem(str(operator), "", "has no cases", f"write one, such as {FOLDER}/example.json"))
    if problems:
        raise SpecError(problems)
    return cases


def _listed(file: Path, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """The cases in a file, each with its index (`[0]`, or nothing where the file is one case)."""
    try:
        value = read_json(file.read_bytes(), str(file))
    except SpecError as error:
        problems += error.problems
        return
    if isinstance(value, list):
        yield from ((f"[{index}]", one) for index, one in enumerate(value))
    else:
        yield "", value


class _Reading:
    """Reads what one case refers to; what is wrong goes to `problems`."""

    def __init__(self, file: Path, root: str, problems: list[Problem]) -> None:
        self.file = file
        self.root = root
        self.problems = problems

    def ready(self, name: str, case: Case) -> ReadyCase:
        if case.error is not None and case.expect:
            self._wrong("error", "an expected error and expected messages exclude each other", "keep one of them")
        if case.error == "":
            self._wrong("error", "is empty", "give a part of the expected error's type or message")
        return ReadyCase(
            name=name,
            case=case,
            inputs=[self._message(given, "inputs", index) for index, given in enumerate(case.inputs)],
            expect=[self._expected(given, "expect", index) for index, given in enumerate(case.expect)],
            mounts={name: self._beside(path, "mounts", name) for name, path in case.mounts.items()},
            outputs={name: self._expected(given, "outputs", name) for name, given in case.outputs.items()},
        )

    def _message(self, given: CaseInput, *steps: str | int) -> BytesMessage:
        expected = self._expected(given, *steps)
        if expected.array is None:
            header, data = MessageHeader(meta=dict(given.meta)), expected.data or b""
            return BytesMessage(header, data, port=given.port, tags=given.tags)
        try:
            message = BytesMessage.from_array(expected.array, **given.meta)
        except ArrayError as error:
            self._wrong(steps, str(error))
            return BytesMessage()
        message.port, message.tags = given.port, given.tags
        return message

    def _expected(self, given: CaseContent, *steps: str | int) -> Expected:
        tolerance = given.tolerance if isinstance(given, CaseFile) else 0.0
        forms = given.model_fields_set & {"text", "base64", "file", "array"}
        if len(forms) > 1:
            self._wrong(steps, "has its data in several forms", "keep one of data, base64, file and array")
        elif given.text is not None:
            return Expected(data=given.text.encode())
        elif given.base64 is not None:
            return Expected(data=self._decoded(given.base64, *steps, "base64"))
        elif given.file is not None:
            return self._from_file(given.file, tolerance, *steps, "file")
        elif given.array is not None:
            array = self._array(given.array, *steps, "array")
            return Expected(array=array, any_dtype=given.array.dtype is None, tolerance=tolerance)
        return Expected()

    def _decoded(self, text: str, *steps: str | int) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            self._wrong(steps, f"is not base64: {error}")
            return b""

    def _array(self, given: CaseArray, *steps: str | int) -> NDArray[Any] | None:
        import numpy as np

        try:
            dtype = None if given.dtype is None else np.dtype(given.dtype)
            data = given.data if dtype is not None else _with_nan(given.data)
            array: NDArray[Any] = np.asarray(data, dtype=dtype)
        except (TypeError, ValueError, OverflowError, SyntaxError, LookupError) as error:  # numpy evaluates some dtypes
            self._wrong(steps, f"is not an array: {error!s:.200}", "give numbers in nested lists of equal lengths")
            return None
        if array.dtype.hasobject:
            self._wrong(steps, "is not an array of numbers, booleans or text")
            return None
        return array

    def _from_file(self, name: str, tolerance: float, *steps: str | int) -> Expected:
        path = self._beside(name, *steps)
        if not path.is_file():
            if path.exists():
                self._wrong(steps, f"{name} is not a file")
            return Expected()
        if path.suffix != ".npy":
            return Expected(data=path.read_bytes())
        import numpy as np

        try:
            return Expected(array=np.load(path, allow_pickle=False), tolerance=tolerance)
        except (ValueError, EOFError, OSError) as error:
            self._wrong(steps, f"{name} is not an .npy that can be read: {error}")
            return Expected()

    def _beside(self, name: str, *steps: str | int) -> Path:
        path = self.file.parent / name
        if not path.exists():
            self._wrong(steps, f"there is no file {name}", f"put it beside the case, in {self.file.parent}")
        return path

    def _wrong(self, steps: str | tuple[str | int, ...], message: str, hint: str = "") -> None:
        path = join_path(self.root, *((steps,) if isinstance(steps, str) else steps))
        self.problems.append(Problem(str(self.file), path, message, hint))


def _with_nan(value: Any) -> Any:
    """The nested lists of an array with NaN for null, so that numpy makes it one of numbers."""
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return float("nan") if value is None else value
