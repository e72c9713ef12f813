"""The call that this thread, or this coroutine, is: set where several calls of one kernel go on at once."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interactem.runtime.context import Context

current: ContextVar[Context | None] = ContextVar("current", default=None)
"""The call's own context; None where there is one call at a time, which has the replica's."""
