from __future__ import annotations

import pytest

from interactem.runtime.sampling import EVERY_SECONDS, Sampler
from interactem.runtime.statistics import Counts


def test_every_call_of_a_slow_kernel_is_timed():
    sampler = Sampler(Counts(kernel=EVERY_SECONDS))
    assert [sampler.after(index) for index in range(-1, 4)] == [0, 1, 2, 3, 4]


def test_of_a_quick_kernel_one_in_a_while_is_timed():
    sampler = Sampler(Counts(kernel=EVERY_SECONDS / 50))
    index, chosen = -1, []
    while index < 100_000:
        index = sampler.after(index)
        chosen.append(index)
    assert len(set(chosen)) == len(chosen)
    assert 100_000 / len(chosen) == pytest.approx(50, rel=0.15)


def test_a_call_that_was_timed_does_what_it_does():
    counts = Counts()
    assert Sampler(counts).time(lambda a, b: a + b, 2, 3) == 5
    with pytest.raises(KeyError):
        Sampler(counts).time({}.__getitem__, "a")
    assert counts.kernel_times.count == 2


def test_of_a_generator_its_own_time_counts(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr("interactem.runtime.sampling.perf_counter", lambda: float(next(now)))
    counts = Counts()

    def kernel():
        for number in range(3):
            yield number
            if number == 1:
                return

    parts = Sampler(counts).time(kernel)
    assert counts.kernel_times.count == 0, "it has not ended"
    for _ in parts:
        next(now)  # whoever takes what it yields takes time too
    assert counts.kernel_times.sum == 4.0, "the call and three parts, a second each"


def test_a_generator_that_is_left_is_measured_up_to_there():
    counts = Counts()
    parts = Sampler(counts).time(lambda: (n for n in range(5)))
    next(parts)
    parts.close()
    assert counts.kernel_times.count == 1
