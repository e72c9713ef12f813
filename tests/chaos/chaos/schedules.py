"""Which faults a run is to see, and when: decided by the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

LONG = (5.5, 7.5)
"""Seconds of a stop that is longer than the acknowledgement time."""
SHORT = (0.1, 1.0)

PACE = 0.25
"""Seconds between two faults, in the mean."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `seconds` is how long it lasts. One that stalls everything is rare in each run."""

    name: str
    weight: int
    seconds: tuple[float, float] = (0.0, 0.0)
    stalls: bool = False
    proxied: bool | None = None
    """Whether it needs the broker to be behind a proxy (True) or to be the run's own (False)."""


KINDS = (
    Kind("kill replica", 8),
    Kind("kill all replicas", 1),
    Kind("kill broker", 3),
    Kind("kill broker twice", 1, proxied=False),  # again while it is started
    Kind("kill supervisor", 2),
    Kind("stop replica", 3, SHORT),
    Kind("stop replica for long", 3, LONG),
    Kind("stop broker", 2, SHORT),
    Kind("stop broker for long", 1, LONG, stalls=True),
    Kind("stop supervisor", 1, SHORT),
    Kind("stop supervisor for long", 1, LONG),
    Kind("fill store", 3, (0.2, 1.5)),
    Kind("cut one connection", 4, proxied=True),
    Kind("cut all connections", 2, proxied=True),
    Kind("stall one connection", 3, (0.2, 3.0), proxied=True),
    Kind("stall all connections", 1, SHORT, proxied=True),
    Kind("kill replica, its messages late", 3, (0.5, 2.0), proxied=True),
)
MOST_STALLS = 1
"""So many faults of a run stall everything."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` is seconds after the one before; `pick`, from 0 to 1, chooses among what there is then."""

    kind: str
    at: float
    seconds: float
    pick: float


def schedule(seed: str, faults: int, *, proxied: bool) -> list[Fault]:
    """So many faults, the same for the same seed."""
    chance = random.Random(seed)
    kinds = [kind for kind in KINDS if kind.proxied in (None, proxied)]
    names = _dealt(kinds, chance)
    stalls = 0
    found: list[Fault] = []
    while len(found) < faults:
        kind = next(names)
        if kind.stalls:
            stalls += 1
            if stalls > max(MOST_STALLS, faults // 40):
                continue
        fault = Fault(kind.name, chance.expovariate(1 / PACE), chance.uniform(*kind.seconds), chance.random())
        found.append(fault)
    return found


def _dealt(kinds: list[Kind], chance: random.Random) -> Iterator[Kind]:
    """Like cards: a short run sees few kinds twice, and many runs see each as often as its weight says."""
    while True:
        deck = [kind for kind in kinds for _ in range(kind.weight)]
        chance.shuffle(deck)
        yield from deck
