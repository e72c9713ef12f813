from __future__ import annotations

import msgpack
import pytest

from interactem.runtime import reports
from interactem.runtime.reports import REPORT_SECONDS, Reporter
from interactem.runtime.statistics import Counts


class Listening:
    def __init__(self):
        self.told = []

    def report(self, subject, payload):
        self.told.append((subject, msgpack.unpackb(payload)))


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(reports.time, "monotonic", lambda: now[0])
    return now


def test_numbers_are_told_during_a_call_that_takes_long(clock):
    transport, counts = Listening(), Counts()
    reporter = Reporter(transport, "numbers", "events", counts)
    reporter.event("dead", {"id": "s.1"})
    reporter.report()
    del transport.told[:]
    reporter.event("dead", {"id": "s.2"})
    clock[0] += REPORT_SECONDS
    reporter.beat()
    assert transport.told == [], "the replica's own thread is about to tell them"
    clock[0] += REPORT_SECONDS * 1.1
    counts.telling.come_to(40)
    reporter.beat()
    [(subject, told)] = transport.told
    assert (subject, told["author"]["progress"]) == ("numbers", 40), "what went wrong is told by its own thread alone"
    reporter.report()
    assert [subject for subject, _ in transport.told] == ["numbers", "events", "numbers"]


def test_what_others_count_is_looked_at_before(clock):
    transport, counts = Listening(), Counts()
    reporter = Reporter(transport, "numbers", "events", counts)
    reporter.look = lambda: setattr(counts, "in_flight", 7)
    reporter.report()
    assert transport.told[0][1]["in_flight"] == 7
