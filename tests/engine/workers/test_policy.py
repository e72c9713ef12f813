"""What is decided about workers, without any."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.engine.workers import Policy, parse_restart, worker_environment
from interactem.engine.workers.policy import (
    SETTLED_SECONDS,
    Next,
    Record,
    after_end,
    describe,
    exit_code,
    exit_status,
    prefix,
)


def ends(policy, *codes, seconds=0.0, ending=False, worker=None):
    """What follows each of these ends of one worker."""
    worker = worker or Record(0)
    found = []
    for code in codes:
        worker.incarnation += 1
        found.append(after_end(policy, worker, code, seconds, ending=ending))
    return found


def actions(*arguments, **options):
    return [what.action for what in ends(*arguments, **options)]


@pytest.mark.parametrize(("text", "restarts"), [("never", 0), ("always", None), ("0", 0), ("12", 12)])
def test_restart_policies(text, restarts):
    assert parse_restart(text) == restarts


@pytest.mark.parametrize("text", ["", "-1", "1.5", "Always", "sometimes", "²", "१"])
def test_what_is_no_restart_policy(text):
    with pytest.raises(ValueError, match="give never, always or a number of times"):
        parse_restart(text)


def test_by_default_each_worker_has_one_life():
    assert actions(Policy(), 1) == actions(Policy(), 0) == actions(Policy(), -9) == ["done"]


def test_a_worker_that_succeeds_is_not_started_again():
    assert actions(Policy(restarts=None), 0) == ["done"]
    assert actions(Policy(restarts=None, success="shutdown"), 0) == ["shutdown"]


def test_each_worker_has_so_many_restarts():
    assert actions(Policy(restarts=2), 1, -9, 1) == ["restart", "restart", "done"]
    assert actions(Policy(restarts=2, failure="shutdown"), 1, 1, 1) == ["restart", "restart", "shutdown"]
    assert set(actions(Policy(restarts=None, failure="shutdown"), *[1] * 50)) == {"restart"}


def test_restarts_wait_longer_each_time_and_less_again_after_a_long_life():
    worker = Record(0)
    policy = Policy(restarts=None)
    delays = [what.delay for what in ends(policy, *[1] * 12, worker=worker)]
    assert delays == sorted(delays)
    assert (delays[0], delays[1], delays[-1]) == (0.05, 0.1, 10.0)
    assert ends(policy, 1, seconds=SETTLED_SECONDS, worker=worker) == [Next("restart", 0.05)]


def test_nobody_is_started_again_when_all_are_to_end():
    assert actions(Policy(restarts=None, success="shutdown", failure="shutdown"), 1, 0, ending=True) == ["done", "done"]


def test_a_worker_that_a_hang_up_killed_was_to_end():
    assert actions(Policy(restarts=None, failure="shutdown"), -signal.SIGHUP) == ["done"]


def test_the_last_code_counts():
    worker = Record(0)
    ends(Policy(restarts=5), 3, 4, 0, worker=worker)
    assert worker.code == 0


@pytest.mark.parametrize(
    ("codes", "decisive", "expected"),
    [
        ([0, 0], None, 0),
        ([1, 2, None], None, 3),
        ([64, 64, 64, 64], None, 255),  # and not 0
        ([-9], None, 137),
        ([-15, -15], None, 255),
        ([1, 2], 0, 0),
        ([1, 2], 2, 2),
        ([-15, -9], -9, 137),
        ([], None, 0),
    ],
)
def test_exit_codes(codes, decisive, expected):
    assert exit_code(codes, decisive) == expected


@given(st.lists(st.integers(-64, 255), min_size=1))
def test_a_failure_never_looks_like_success(codes):
    code = exit_code(codes, None)
    assert 0 <= code <= 255
    assert (code == 0) == (set(codes) == {0})


def test_codes_in_words():
    assert (exit_status(3), exit_status(-2)) == (3, 130)
    assert describe(3) == "ended with exit code 3"
    assert describe(-9) == "was killed by SIGKILL"
    assert describe(-40) == "was killed by signal 40"


def test_workers_start_one_after_the_other():
    assert [Policy(stagger=0.5).starts_at(rank) for rank in range(3)] == [0.0, 0.5, 1.0]


def test_a_worker_knows_which_one_it_is_and_so_do_its_lines():
    assert worker_environment(2, 4) == {
        "SDRUN_MODE": "true",
        "SDRUN_WORLD_SIZE": "4",
        "SDRUN_RANK": "2",
        "SDRUN_LOCAL_RANK": "2",
    }
    assert prefix(Record(2, incarnation=1), "stdout") == b"[worker-2#1][stdout] "
