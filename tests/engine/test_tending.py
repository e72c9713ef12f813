"""What is counted of a replica's deaths."""

from __future__ import annotations

import signal

from interactem.engine.decisions import DEATHS_WITHOUT_PROGRESS, KILLS_PER_ATTEMPT
from interactem.engine.launchers import Exit
from interactem.engine.plan import PlannedOperator
from interactem.engine.tending import TendedReplica
from interactem.runtime.assignment import Assignment
from interactem.runtime.slot import Call

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
