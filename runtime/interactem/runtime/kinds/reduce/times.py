"""Event times: when what a message is about has happened."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from interactem.runtime.errors import EventTimeError, KernelError
from interactem.runtime.kinds.reduce.keys import Extract, MissingKeyError, by_path
from interactem.runtime.messages import BytesMessage

MOST = 2.0**43
"""Seconds; windows of a millisecond can still be told apart there."""


def event_time(where: str | Extract) -> Callable[[BytesMessage], float]:
    """What gives a message's event time in seconds. Calling it raises `EventTimeError`."""
    if not isinstance(where, str) and not callable(where):
        raise KernelError(
            f'reduce: event_time is a path such as "meta.time", or a function of a message; not {where!r}'
        )
    find = by_path(where, "event_time") if isinstance(where, str) else where
    name = where if isinstance(where, str) else getattr(where, "__name__", "event_time")

    def time_of(message: BytesMessage) -> float:
        try:
            value = find(message)
        except MissingKeyError:
            raise EventTimeError(f"there is no {name} in the message's meta") from None
        return value if type(value) is float and -MOST < value < MOST else _checked(value, name)

    return time_of


def _checked(value: Any, name: str) -> float:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -MOST < value < MOST:
        hint = " (a datetime without a time zone)" if isinstance(value, datetime) else ""
        raise EventTimeError(f"{name} is {value!r:.80}{hint}")
    return float(value)


def check_seconds(name: str, value: float | None) -> None:
    """Raises `KernelError` for what is no number of seconds from 0."""
    if value is not None and (type(value) not in (int, float) or not 0 <= value < math.inf):
        raise KernelError(f"reduce: {name} is a number of seconds from 0, not {value!r}")
