"""One call of an operator, as `interactem operator run` makes it, in the operator's environment.

`python -m interactem.runtime.single` reads one JSON document from standard input and prints one. Asked for:
`operator` (its folder or `run.py`), `data` (a file, or null for none; an `.npy` is an array), `meta`, `port`,
`parameters`, `limit`, `finish`, `outputs` (the folder that a sink writes to) and `results` (a folder for the data of
what comes out). Answered: `messages`, each with `port`, `meta` and `file`. Exit code 1 where the kernel raises, 2 where
the operator does not load or what it is given does not fit; then there is `error`, or `problems`.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from interactem.runtime.errors import KernelError, ParameterError, SetUpError
from interactem.runtime.kinds.updating import plain_value
from interactem.runtime.loading import user_traceback
from interactem.runtime.messages import BytesMessage, MessageHeader
from interactem.runtime.standard_output import reserved_output
from interactem.runtime.testing import InputError, Operator
from interactem.spec import SpecError

__all__ = ["main"]


def main() -> int:
    with reserved_output() as output:
        code, answer = _answer(json.load(sys.stdin))
        output.write(json.dumps(answer, default=_plain) + "\n")
    return code


def _answer(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    try:
        operator = Operator(asked["operator"], asked["parameters"], outputs=Path(asked["outputs"]))
        with operator as started:
            try:
                return 0, {"messages": _call(started, asked)}
            except (InputError, KernelError):
                raise
            except Exception as error:
                return 1, {"error": user_traceback(error), "problems": []}
    except SpecError as error:
        return 2, {"error": "", "problems": [str(problem) for problem in error.problems]}
    except SetUpError as error:
        return 1, {"error": f"{error}\n{user_traceback(error.error)}", "problems": []}
    except (InputError, KernelError, ParameterError) as error:
        return 2, {"error": str(error), "problems": []}


def _call(operator: Operator, asked: dict[str, Any]) -> list[dict[str, Any]]:
    limit: int | None = asked["limit"]
    if operator.kernel.updates:
        made = [_value(operator, asked)]
    elif not operator.source:
        made = operator.handle(_message(asked), limit)
    elif asked["data"] is None:
        made = operator.produce(limit)
    else:
        raise InputError("a source takes no message: leave --data out")
    if asked["finish"]:
        made += operator.finish()
    folder = Path(asked["results"])
    return [_store(message, folder / str(index)) for index, message in enumerate(made)]


def _value(operator: Operator, asked: dict[str, Any]) -> BytesMessage:
    """What a side input gives, as JSON."""
    if asked["data"] is not None:
        raise InputError("a side input takes no message: leave --data out")
    return BytesMessage(data=json.dumps(plain_value(operator.update()), default=_plain).encode())


def _message(asked: dict[str, Any]) -> BytesMessage:
    meta: dict[str, Any] = asked["meta"]
    if asked["data"] is None:
        return BytesMessage(MessageHeader(meta=meta), port=asked["port"])
    path = Path(asked["data"])
    if path.suffix != ".npy":
        return BytesMessage(MessageHeader(meta=meta), path.read_bytes(), port=asked["port"])
    import numpy as np

    try:
        message = BytesMessage.from_array(np.load(path, allow_pickle=False), **meta)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is not an .npy that can be read: {error}") from None
    message.port = asked["port"]
    return message


def _store(message: BytesMessage, file: Path) -> dict[str, Any]:
    file.write_bytes(message.data)
    return {"port": message.target, "meta": message.header.meta, "file": str(file)}


def _plain(value: object) -> dict[str, str]:
    """JSON has no bytes; a meta may hold some, or be some."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"a meta holds a {type(value).__name__}, which JSON does not know")


if __name__ == "__main__":
    sys.exit(main())
