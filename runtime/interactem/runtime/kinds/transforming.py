"""Source transforms: what a source sends gets its event time and keys, or is left out, in the source's own process.

A position counts whether its messages are left out or not, so ids and places are the same after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interactem.runtime.calls import Caller
from interactem.runtime.errors import ReturnTypeError
from interactem.runtime.messages import BytesMessage


def transforming(caller: Caller) -> Caller | None:
    """What calls the transform of a source, beside what calls the source; None where there is no transform."""
    transform = caller.kernel.transform
    return None if transform is None else Caller(transform, caller.context, caller.ports)


def transformed(messages: Iterable[BytesMessage], transform: Caller, parameters: Any) -> list[BytesMessage]:
    """What is sent of what a source has made. Raises what the transform does, and `ReturnTypeError`."""
    found: list[BytesMessage] = []
    for message in messages:
        result = transform.invoke(message, parameters)
        if result is None:
            continue
        if not isinstance(result, BytesMessage):
            raise ReturnTypeError(result)
        found += transform.checked(result)
    return found
