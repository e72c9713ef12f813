from __future__ import annotations

import pytest

from interactem.runtime.sampling import EVERY_SECONDS, Sampler
from interactem.runtime.statistics import Counts


def test_every_call_of_a_slow_kernel_is_timed():
    sampler = Sampler(Counts(kernel=EVERY_SECONDS))
    assert sampler.first(range(5, 9)) == 5
    assert [sampler.after(index) for index in range(5, 9)] == [6, 7, 8, 9]


def test_of_a_quick_kernel_one_in_a_while_is_timed():
    sampler = Sampler(Counts(kernel=EVERY_SECONDS / 50))
    sampler.first(range(1))
    index, chosen = -1, []
    while index < 100_000:
        index = sampler.after(index)
        chosen.append(index)
    assert len(set(chosen)) == len(chosen)
    assert 100_000 / len(chosen) == pytest.approx(50, rel=0.15)


def test_of_few_messages_now_and_then_one_is_timed_whatever_it_takes(monkeypatch):
    now = [1.0]
    monkeypatch.setattr("interactem.runtime.sampling.perf_counter", lambda: now[0])
    sampler = Sampler(Counts(kernel=EVERY_SECONDS / 1e6))
    for start in range(100):
        assert sampler.first(range(start, start + 1)) == start
        sampler.time(int)
        assert sampler.first(range(start, start + 1)) > start, "it has just been done"
        now[0] += 1.0


def test_a_machine_that_is_busy_for_a_moment_changes_little():
    counts = Counts(kernel=EVERY_SECONDS / 1000)
    sampler = Sampler(counts)
    sampler.first(range(1))
    counts.kernel = EVERY_SECONDS
    sampler.first(range(1))
    assert sampler._calls > 900
    for _ in range(100):
        sampler.first(range(1))
    assert sampler._calls == 1, "it is slow for good"


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
