"""What a replica logs says what it is about."""

from __future__ import annotations

import io
import logging

from interactem.runtime import BytesMessage, Context
from interactem.runtime.logs import carry, log_alone
from interactem.runtime.secrets import Mask


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


def test_outside_of_runs_no_secret_is_logged(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log_alone(Mask(["hunter2"]))
    try:
        raise ValueError("cannot use hunter2")
    except ValueError:
        logging.getLogger("any").exception("with %s", {"password": "hunter2"})
    told = capsys.readouterr().err
    assert told.startswith("ERROR with {'password': '***'}\nTraceback")
    assert told.endswith("ValueError: cannot use ***\n")
