"""What sources of frames share: which frames go into which message."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from distiller_streaming.errors import SettingError

MESSAGE_BYTES = 512 * 1024
"""A message of frames is kept at about this size, unless the operator is told otherwise."""


def frames_that_fit(frame_bytes: int) -> int:
    """How many frames make a message of about `MESSAGE_BYTES`; at least one."""
    return max(1, MESSAGE_BYTES // max(1, frame_bytes))


def frames_per_message(parameters: dict[str, Any], state: dict[str, Any], default: int) -> int:
    """How many frames travel in one message, for the whole run.

    A source resumes by counting messages, so what was decided at its start is kept in its state, and a change of the
    parameter does not move the frames from message to message.
    """
    wanted = int(parameters.get("frames_per_message") or default)
    if wanted < 1:
        raise SettingError(f"frames_per_message is at least 1, not {wanted}")
    return int(state.setdefault("frames_per_message", wanted))


def message_positions(scan_shape: tuple[int, int], per_message: int, first: int) -> Iterator[range]:
    """The scan positions of each message, from message number `first` on."""
    total = math.prod(scan_shape)
    for start in range(first * per_message, total, per_message):
        yield range(start, min(start + per_message, total))
