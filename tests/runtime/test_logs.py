"""What a replica logs says what it is about."""

from __future__ import annotations

import io
import logging

from interactem.runtime import BytesMessage, Context
from interactem.runtime.logs import carry


def test_records_carry_operator_replica_and_message(monkeypatch):
    handler = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    seen: list[logging.LogRecord] = []
    context = Context(operator="sort", replica=2)
    carry(context)
    handler.addFilter(lambda record: seen.append(record) or True)
    log = logging.getLogger("interactem.operator")
    log.warning("before")
    context._message = BytesMessage(id="numbers.0.7")
    log.warning("read %d", 3)
    log.warning("message numbers.0.7 failed")
    assert handler.stream.getvalue().splitlines() == [
        "WARNING before",
        "WARNING [numbers.0.7] read 3",
        "WARNING message numbers.0.7 failed",
    ]
    assert [(record.operator, record.replica, record.message_id) for record in seen[1:2]] == [
        ("sort", 2, "numbers.0.7")
    ]
