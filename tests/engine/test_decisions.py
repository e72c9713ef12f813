from __future__ import annotations

import signal

import pytest

from interactem.engine.decisions import (
    DEATHS_WITHOUT_PROGRESS,
    KILLS_PER_ATTEMPT,
    KILLS_WITHOUT_PROGRESS,
    about_to_end,
    after_death,
    has_ended,
    is_drained,
    is_kill,
    restart_delay,
)
from interactem.engine.launchers import Exit
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime import __main__ as program
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.errors import StateTooLargeError

KILLED = Exit(signal=signal.SIGKILL)
NO_MEMORY = Exit(signal=signal.SIGKILL, out_of_memory=True)
SEGFAULT = Exit(signal=signal.SIGSEGV)


def death(exit, *, in_call=False, kills=0, deaths=0, timeout=None, attempts=3, asked=False):
    return after_death(
        exit, in_call=in_call, kills=kills, deaths=deaths, timeout=timeout, attempts=attempts, asked=asked
    )


@pytest.mark.parametrize(("code", "words"), [(2, "settings"), (3, "does not load"), (5, "for the last time")])
def test_what_a_restart_would_not_mend_fails_the_run(code, words):
    found = death(Exit(code=code))
    assert (found.restart, found.attempt) == (False, False)
    assert words in found.reason


@pytest.mark.parametrize(
    ("exit", "kills", "blamed"),
    [
        (SEGFAULT, 0, True),
        (Exit(code=1), 0, True),
        (Exit(code=0), 0, True),  # a kernel that calls sys.exit()
        *[(Exit(code=code), 0, True) for code in range(2, 7)],  # they mean something outside of a call alone
        (Exit(signal=signal.SIGALRM), 0, True),
        (NO_MEMORY, 0, True),
        (KILLED, 1, False),
        (KILLED, KILLS_PER_ATTEMPT - 1, False),
        (KILLED, KILLS_PER_ATTEMPT, True),
        (Exit(signal=signal.SIGTERM), 1, False),
    ],
)
def test_who_is_to_blame_for_a_death_during_a_message(exit, kills, blamed):
    found = death(exit, in_call=True, kills=kills, deaths=1000)
    assert found.restart  # its attempts are bounded, the restarts are not
    assert found.attempt is blamed
    assert found.delay <= 1


def test_one_that_is_asked_to_end_again_and_again_in_a_message_makes_it_an_attempt():
    before, then = (death(Exit(code=0), in_call=True, kills=kills, asked=True) for kills in (9, KILLS_PER_ATTEMPT))
    assert (before.attempt, then.attempt) == (False, True)
    assert then.error == "its process was asked to end, 10 times while the kernel had this message"


def test_the_error_of_a_message_says_what_has_happened():
    assert death(SEGFAULT, in_call=True).error == "the kernel ended its process (killed by SIGSEGV)"
    assert death(NO_MEMORY, in_call=True).error == "the kernel ended its process (killed: out of memory)"
    late = death(Exit(signal=signal.SIGALRM), in_call=True, timeout=2.5)
    assert late.error == "TimeoutError: the kernel took longer than its limit of 2.5 s; its process was ended"


def test_deaths_outside_of_a_message_are_bounded():
    assert death(Exit(code=1), deaths=DEATHS_WITHOUT_PROGRESS - 1).restart
    last = death(Exit(code=1), deaths=DEATHS_WITHOUT_PROGRESS)
    assert not last.restart
    assert last.reason == "it died 5 times in a row without any progress, the last time with exit code 1"


def test_kills_from_outside_are_no_fault_of_the_replica():
    assert death(KILLED, deaths=KILLS_WITHOUT_PROGRESS - 1).restart
    assert death(KILLED, deaths=50).delay <= 0.05
    assert not death(KILLED, deaths=KILLS_WITHOUT_PROGRESS).restart
    assert not death(NO_MEMORY, deaths=DEATHS_WITHOUT_PROGRESS).restart


def test_whom_somebody_else_has_ended():
    assert [is_kill(Exit(signal=number)) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)] == [True] * 3
    assert not any(map(is_kill, (NO_MEMORY, SEGFAULT, Exit(code=0), Exit(code=9))))


def test_restarts_come_later_and_later():
    delays = [restart_delay(deaths) for deaths in range(12)]
    assert delays[:4] == [0.0, 0.05, 0.1, 0.2]
    assert delays == sorted(delays)
    assert delays[-1] == 10
    assert restart_delay(10_000) == 10


# the end of the stream: source 0 → 1 and 2 → 3, over the streams and edges of the same numbers


def planned(index, inputs, stream=None, readers=(), replicas=1):
    outputs = () if stream is None else (Output("out", stream, 1, tuple(readers), tuple(readers)),)
    entries = tuple(Input(edge, "in", source) for edge, source in inputs)
    assignment = Assignment("run", index, f"o{index}", replicas, entries, outputs)
    return PlannedOperator(f"o{index}", "x", "/x", assignment)


PLAN = Plan(
    "run",
    "diamond",
    "power",
    (
        planned(0, [], 0, [1, 2]),
        planned(1, [(1, 0)], 1, [3], replicas=2),
        planned(2, [(2, 0)], 2, [3]),
        planned(3, [(3, 1), (4, 2)]),
    ),
    {},
)


def names(operators):
    return [operator.key for operator in operators]


@pytest.mark.parametrize(
    ("finished", "told", "expected"),
    [
        (set(), set(), []),
        ({(0, 0)}, set(), ["o1", "o2"]),
        ({(0, 0)}, {1}, ["o2"]),
        ({(0, 0), (1, 0), (2, 0)}, {1, 2}, []),  # o1 has a second replica
        ({(0, 0), (1, 0), (1, 1)}, {1, 2}, []),
        ({(0, 0), (1, 0), (1, 1), (2, 0)}, {1, 2}, ["o3"]),
    ],
)
def test_the_end_goes_down_the_graph(finished, told, expected):
    assert names(about_to_end(PLAN, finished, told)) == expected


def test_an_operator_has_ended_when_all_its_replicas_have():
    assert not has_ended(PLAN.operators[1], {(1, 0)})
    assert has_ended(PLAN.operators[1], {(1, 0), (1, 1)})


def test_drained_is_known_to_be_nothing():
    last = PLAN.operators[3]
    assert is_drained({3: 0, 4: 0}, last)
    assert not is_drained({3: 0, 4: 1}, last)
    assert not is_drained({3: 0}, last)  # nobody has counted the other edge yet


@pytest.mark.parametrize(("deaths", "attempts", "restart"), [(0, 3, True), (1, 3, True), (2, 3, False), (99, 0, True)])
def test_a_source_or_an_end_over_its_time_limit_has_as_many_attempts_as_a_message(deaths, attempts, restart):
    found = death(Exit(signal=signal.SIGALRM), deaths=deaths, timeout=1.5, attempts=attempts)
    assert (found.restart, found.attempt) == (restart, False)
    assert "it took longer than its limit of 1.5 s" in found.reason


def test_a_replica_that_keeps_too_much_is_not_started_again(monkeypatch, caplog):
    def run(*_):
        raise StateTooLargeError(2, 1)

    monkeypatch.setattr(program, "_run", run)
    monkeypatch.setattr(program.Settings, "read", lambda environment: None)
    exit = Exit(program.main(["run.py"], {}))
    assert not after_death(exit, in_call=False, kills=0, deaths=0, timeout=None).restart
    assert "what this operator keeps takes 2 bytes, over its bound of 1" in caplog.text
