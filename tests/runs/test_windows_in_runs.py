"""Windows through the real command line: `kill -9` of whoever is at it changes nothing of what they come to."""

from __future__ import annotations

import itertools

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 240


def test_windows_come_to_the_same_under_kill_9(project):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": COUNT, "rate": 30.0}},
        "sums": {"operator": "window-sums"},
        "keep": {"operator": "keep"},
    }
    turn = itertools.count()

    def next_one(run):
        """The reducer every other time."""
        alive = run.replicas()
        names = [("sums", 0), sorted(alive)[next(turn) % len(alive)]] if alive else []
        name = names[next(turn) % 2] if names else None
        return [(name, alive[name])] if name in alive else []

    run = project.start(project.pipeline(operators, "numbers.out -> sums.in", "sums.out -> keep.in"))
    with run.killing(next_one, 0.7) as assassin:
        done = run.end(250)
    assert done.code == 0, done
    assert [name for name, _ in assassin.victims].count("sums") >= 3
    assert done.json["dead"] == 0
    assert project.kept() == [[*place, 0, 1] for place in expected()]


def expected():
    """Of each window that begins at a tenth number and each remainder, its place and sum: by hand."""
    for start in range(-10, COUNT, 10):
        for key in range(3):
            numbers = [number for number in range(max(0, start), min(COUNT, start + 20)) if number % 3 == key]
            if numbers:
                yield [10 * (start + 10) + key, sum(numbers)]
