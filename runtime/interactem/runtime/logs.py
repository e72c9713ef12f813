"""A replica's log: each record carries the operator, the replica, and the message that the kernel has."""

from __future__ import annotations

import logging

from interactem.runtime.context import Context
from interactem.runtime.current import current

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
