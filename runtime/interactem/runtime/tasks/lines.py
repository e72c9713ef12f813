"""The lines of the two files: a task as it is read, and a result as it is written. `docs/files.md` describes them."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from interactem.runtime.messages import BytesMessage
from interactem.runtime.sessions import plain
from interactem.spec.wording import suggest

SUCCESS, FAILED, CANCELLED = "success", "failed", "cancelled"
STATUSES = (SUCCESS, FAILED, CANCELLED)
LONGEST = 2**30
"""Bytes of a line at most."""
TOO_LONG = b"\0too long"
"""Stands for a line that is longer."""
KEYS = frozenset({"id", "options", "data", "data_base64", "file", "meta", "deadline"})
SIMPLE = frozenset({"id", "data"})
FORMS = ("data", "data_base64", "file")


class TaskError(ValueError):
    """A line is not a task. `id` is the task's, where it could be read."""

    def __init__(self, message: str, id: object = None) -> None:
        super().__init__(message)
        self.id = id


@dataclass(slots=True)
class Task:
    """`deadline` is in seconds since 1970; `file` is read when its turn comes."""

    id: Any = None
    options: dict[str, Any] | None = None
    data: bytes = b""
    file: str | None = None
    meta: dict[str, Any] | None = None
    deadline: float | None = None


def parse_task(line: bytes) -> Task:
    """Raises `TaskError`."""
    if line == TOO_LONG:
        raise TaskError(f"the line is longer than {LONGEST:,} bytes; give its data in a file")
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise TaskError(f"the line is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise TaskError("the line is nested too deeply") from None
    except ValueError as error:
        raise TaskError(f"the line is not JSON: {error}") from None
    if type(value) is not dict:
        raise TaskError(f"the line is a {type(value).__name__}, not an object; write {{…}}")
    return _task(value)


def _task(value: dict[str, Any]) -> Task:
    name = value.get("id")
    if type(name) in (dict, list, bool):
        raise TaskError("its id is neither text nor a number")
    if not value.keys() <= KEYS:
        unknown = next(key for key in value if key not in KEYS)
        raise TaskError(f"unknown key {unknown!r}: {suggest(unknown, sorted(KEYS), 'keys')}", name)
    task = Task(name)
    if (text := value.get("data")) is not None:
        task.data = _encoded(text, name)
    if not value.keys() <= SIMPLE:
        _fill(task, value)
    return task


def _fill(task: Task, value: dict[str, Any]) -> None:
    """The rarer parts of a task."""
    name = task.id
    given = [form for form in FORMS if value.get(form) is not None]
    if len(given) > 1:
        raise TaskError(f"it has {' and '.join(given)}: keep one of them", name)
    if (encoded := value.get("data_base64")) is not None:
        task.data = _decoded(encoded, name)
    task.file = _of(value, "file", str, "a path", name)
    task.meta = _of(value, "meta", dict, "an object", name)
    task.options = _of(value, "options", dict, "an object", name)
    if (deadline := value.get("deadline")) is not None:
        task.deadline = _seconds(deadline, name)


def _of(value: dict[str, Any], key: str, kind: type[Any], words: str, name: object) -> Any:
    given = value.get(key)
    if given is not None and type(given) is not kind:
        raise TaskError(f"its {key} is a {type(given).__name__}, not {words}", name)
    return given


def _encoded(text: object, name: object) -> bytes:
    if type(text) is not str:
        raise TaskError(f"its data is a {type(text).__name__}, not text; use data_base64 for bytes", name)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise TaskError("its data holds half of a surrogate pair; use data_base64 for bytes", name) from None


def _decoded(text: object, name: object) -> bytes:
    try:
        if type(text) is str:
            return base64.b64decode(text, validate=True)
        raise ValueError(f"it is a {type(text).__name__}")
    except (binascii.Error, ValueError) as error:
        raise TaskError(f"its data_base64 is not base64: {error}", name) from None


def _seconds(deadline: object, name: object) -> float:
    """A deadline is a number of seconds since 1970, or a time in ISO 8601 with its zone."""
    try:
        if type(deadline) in (int, float) and math.isfinite(deadline):  # type: ignore[arg-type]
            return float(deadline)  # type: ignore[arg-type]
        time = datetime.fromisoformat(str(deadline))
        if time.tzinfo is not None and type(deadline) is str:
            return time.timestamp()
    except (ValueError, OverflowError):
        pass
    form = "seconds since 1970, or a time with its zone, such as 2026-01-31T12:00:00Z"
    raise TaskError(f"its deadline is {deadline!r}: give {form}", name)


def content(task: Task, folder: Path) -> BytesMessage:
    """A message with the task's data; an `.npy` file is an array. Raises `TaskError` where its file cannot be read."""
    meta = {} if task.meta is None else task.meta
    if task.file is None:
        message = BytesMessage(data=task.data)
        message.header.meta = meta
        return message
    path = folder / task.file
    try:
        if path.suffix == ".npy":
            import numpy as np

            return BytesMessage.from_array(np.load(path, allow_pickle=False), **meta)
        message = BytesMessage(data=path.read_bytes())
    except OSError as error:
        raise TaskError(f"{path}: {(error.strerror or str(error)).lower()}", task.id) from None
    except (ValueError, EOFError) as error:
        raise TaskError(f"{path}: {error}", task.id) from None
    message.header.meta = meta
    return message


# results

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain).encode
_encode_any = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=plain).encode


def result_line(name: object, number: int, status: str, more: dict[str, Any]) -> bytes:
    """A line of the results. Raises `TypeError` where a meta holds what JSON cannot.

    Numbers that are not finite are null, as JSON has no word for them.
    """
    value = {"id": name, "line": number, "status": status, **more}
    try:
        return _encode(value).encode() + b"\n"
    except ValueError:  # not finite, or text that UTF-8 does not know
        return _encode_any(_finite(value)).encode() + b"\n"


def message_value(message: BytesMessage) -> dict[str, Any]:
    """What a result says of a message that the kernel has made."""
    data = message.data if type(message.data) is bytes else bytes(message.data)
    value: dict[str, Any] = {}
    try:
        value["data"] = data.decode()
    except UnicodeDecodeError:
        value["data_base64"] = base64.b64encode(data).decode()
    if message.header.meta:
        value["meta"] = message.header.meta
    if message.target is not None:
        value["port"] = message.target
    return value


def error_value(type: str, message: str, traceback: str = "") -> dict[str, Any]:
    return {"error": {"type": type, "message": message, "traceback": traceback}}


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
