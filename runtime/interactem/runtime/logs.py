"""A replica's log: each record carries the operator, the replica, and the message that the kernel has.

That of an operator outside of runs is simpler.
"""

from __future__ import annotations

import logging
import sys

from interactem.runtime.context import Context
from interactem.runtime.current import current
from interactem.runtime.secrets import Mask

FORMAT = "%(levelname)s %(about)s%(message)s"


class Carrying(logging.Filter):
    """Adds `operator`, `replica`, `message_id` and `about`, the message's id in brackets where the text has it not."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def filter(self, record: logging.LogRecord) -> bool:
        context = current.get() or self._context
        record.operator, record.replica = context.operator, context.replica
        record.message_id = name = context.message_id
        record.about = f"[{name}] " if name is not None and name not in record.getMessage() else ""
        return True


def carry(context: Context) -> None:
    """From now on, all that is logged carries what the context says."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Carrying(context))
        handler.setFormatter(logging.Formatter(FORMAT))


class Hiding(logging.Formatter):
    """Hides secrets in what is logged, tracebacks too."""

    def __init__(self, mask: Mask) -> None:
        super().__init__("%(levelname)s %(message)s")
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask.text(super().format(record))


def log_alone(mask: Mask) -> None:
    """The log of an operator that is called outside of runs: to standard error, without secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Hiding(mask))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
