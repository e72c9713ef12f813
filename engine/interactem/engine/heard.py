"""What replicas say of themselves, as it comes from the broker: written by an operator's code, so read with suspicion.

What is not as it should be is None, or left out: no operator can end a run by what it says.
"""

from __future__ import annotations

import json
from typing import Any

import msgpack

from interactem.runtime.reports import EVENT_DETAILS, EVENT_KINDS
from interactem.runtime.statistics import Statistics


def read_counts(payload: bytes) -> Statistics | None:
    """The numbers in a replica's report."""
    return checked_counts(_unpacked(payload))


def checked_counts(value: object) -> Statistics | None:
    """A replica's numbers, if that is what they are."""
    try:
        return Statistics.from_value(value)
    except ValueError:
        return None


def read_events(payload: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The events in a replica's report, each with its kind: those alone that a replica may tell of."""
    value = _unpacked(payload)
    events = value.get("events") if isinstance(value, dict) else None
    if not isinstance(events, list):
        return []
    return [
        (event["kind"], {name: event[name] for name in EVENT_DETAILS if isinstance(event.get(name), str | int)})
        for event in events
        if isinstance(event, dict) and isinstance(event.get("kind"), str) and event["kind"] in EVENT_KINDS
    ]


def read_finished(record: bytes) -> tuple[bool, Statistics | None] | None:
    """Whether a replica that is done was only drained, and its last numbers, where they can be read."""
    try:
        value = json.loads(record)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("drained"), bool):
        return None
    return value["drained"], checked_counts(value.get("counts"))


def _unpacked(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError):
        return None
