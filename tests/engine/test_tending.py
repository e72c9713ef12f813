"""What is counted of a replica's deaths."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

from interactem.engine.decisions import DEATHS_WITHOUT_PROGRESS, KILLS_PER_ATTEMPT
from interactem.engine.launchers import Adopted, Exit, Launch, RecordedHandle
from interactem.engine.plan import PlannedOperator
from interactem.engine.progress import Tally
from interactem.engine.tending import TendedReplica
from interactem.runtime.assignment import Assignment
from interactem.runtime.slot import Call
from interactem.runtime.statistics import Counts, Statistics

KILLED = Exit(signal=signal.SIGKILL)


def replica():
    return TendedReplica(PlannedOperator("sink", "sink", "/", Assignment("r", 1, "sink", replicas=2)), 1)


def test_names():
    assert (replica().name, replica().key) == ("sink.1", (1, 1))


def test_kills_are_counted_for_each_message():
    dying = replica()
    first, second = Call(0, "source.1", 1), Call(0, "source.2", 1)
    attempts = []
    for _ in range(KILLS_PER_ATTEMPT):
        attempts += [dying.bury(KILLED, call).attempt for call in (first, second, None)]
    assert [at for at, attempt in enumerate(attempts) if attempt] == [len(attempts) - 3, len(attempts) - 2]


def test_a_message_on_another_edge_is_another():
    dying = replica()
    for _ in range(KILLS_PER_ATTEMPT - 1):
        assert not dying.bury(KILLED, Call(0, "source.1", 1)).attempt
    assert not dying.bury(KILLED, Call(1, "source.1", 1)).attempt


def test_deaths_of_its_own_outside_of_a_call_end_with_giving_up():
    dying = replica()
    deaths = [dying.bury(Exit(code=1), None).restart for _ in range(DEATHS_WITHOUT_PROGRESS + 1)]
    assert deaths == [True] * DEATHS_WITHOUT_PROGRESS + [False]


def test_a_crash_in_a_call_is_an_attempt_at_once_and_no_reason_to_give_up():
    dying = replica()
    deaths = [dying.bury(Exit(signal=signal.SIGSEGV), Call(0, "source.1", 1)) for _ in range(20)]
    assert all(death.attempt and death.restart for death in deaths)


def test_another_supervisor_goes_on_counting():
    asyncio.run(_goes_on_counting())


async def _goes_on_counting():
    first, tally = replica(), Tally()
    tally.hear(1, Statistics.from_value(Counts(received=5, retried=2).to_value()))
    tally.close(1)
    for _ in range(KILLS_PER_ATTEMPT - 1):
        first.bury(KILLED, Call(0, "source.1", 1))
    note = json.loads(json.dumps(first.note(tally)))
    handle = RecordedHandle(Launch("sink", 1, 3, (), {}, Path(), bytes), "17")
    second, next_tally = replica(), Tally()
    second.adopt(Adopted(handle, 3, note, 4.0), next_tally)
    assert (second.incarnation, second.deaths, second.handle) == (3, KILLS_PER_ATTEMPT - 1, handle)
    assert second.begun < time.monotonic() - 3.0
    assert (next_tally.total("received"), next_tally.total("retried")) == (5, 2)
    assert second.bury(KILLED, Call(0, "source.1", 1)).attempt, "one kill more is an attempt"
