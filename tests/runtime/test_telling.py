from __future__ import annotations

import threading

import numpy as np
import pytest

from interactem.runtime.telling import MOST_NAMES, STATUS_LENGTH, Telling


def test_counters_add_up_and_gauges_are_set():
    telling = Telling()
    telling.count("spots", 2)
    telling.count("spots", np.int64(3))
    telling.set("mean", np.float32(0.5))
    telling.set("mean", 0.25)
    telling.come_to(40)
    telling.say("aligning")
    value = {"counters": {"spots": 5}, "gauges": {"mean": 0.25}, "progress": 40, "status": "aligning"}
    assert telling.to_value() == value


def test_progress_stays_between_0_and_100_and_a_status_short():
    telling = Telling()
    telling.come_to(250)
    telling.say("x" * 10_000)
    assert telling.progress == 100
    assert len(telling.status) == STATUS_LENGTH
    telling.come_to(-3)
    assert telling.progress == 0


def test_threads_lose_no_counts():
    telling = Telling()

    def work():
        for _ in range(2000):
            telling.count("n", 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert telling.counters == {"n": 8000}


@pytest.mark.parametrize("name", ["", "2d", "a b", "ü", "a" * 64, 'x"}', 5])
def test_wrong_names_are_refused(name):
    with pytest.raises(ValueError, match="is no name"):
        Telling().count(name, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1])
def test_wrong_amounts_are_refused(value):
    with pytest.raises(ValueError, match=r"finite|only grow"):
        Telling().count("n", value)


@pytest.mark.parametrize("value", ["1", None, []])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError):
        Telling().set("n", value)


def test_there_is_a_bound_to_names():
    telling = Telling()
    for number in range(MOST_NAMES):
        telling.set(f"g{number}", number)
    with pytest.raises(ValueError, match="one too many"):
        telling.set("another", 1)
    telling.set("g0", 7)
    assert telling.gauges["g0"] == 7
