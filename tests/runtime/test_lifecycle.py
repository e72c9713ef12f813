"""The order of an operator's lifecycle, as it is decided."""

from __future__ import annotations

import pytest

from interactem.runtime.errors import LifecycleError
from interactem.runtime.lifecycle import State, begin, end


def walk(*steps, state=State.NEW):
    for step, failed in steps:
        state = end(begin(state, step), failed=failed)
    return state


def test_the_whole_way():
    state = walk(("start", False), ("run", False), ("run", True), ("run", False))
    assert state is State.STARTED
    assert walk(("stop", False), ("cleanup", False), state=state) is State.ENDED


def test_cleanup_follows_a_failed_start_and_a_failed_stop():
    assert walk(("start", True), ("cleanup", False)) is State.ENDED
    assert walk(("start", False), ("stop", True), ("cleanup", True)) is State.ENDED


def test_a_cancel_changes_nothing_while_something_goes_on():
    assert end(begin(begin(State.NEW, "start"), "cancel")) is State.STARTED
    assert begin(State.STARTED, "cancel") is State.STARTED


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (State.NEW, "run"),
        (State.NEW, "stop"),
        (State.NEW, "cleanup"),
        (State.NEW, "cancel"),
        (State.STARTED, "start"),
        (State.STARTED, "cleanup"),
        (State.STOPPED, "run"),
        (State.STOPPED, "stop"),
        (State.FAILED, "run"),
        (State.FAILED, "stop"),
        (State.ENDED, "start"),
        (State.ENDED, "cleanup"),
    ],
)
def test_another_order_is_an_error(state, step):
    with pytest.raises(LifecycleError) as raised:
        begin(state, step)
    assert (raised.value.step, raised.value.state) == (step, state)
    assert f"{step} is not possible: the operator is {state}, and should be" in str(raised.value)
