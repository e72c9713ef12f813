"""What a run should have done, what it has done, and the difference. Pure functions over values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint8]
"""How often each message came, by its number."""
Lane = tuple[str, str]
"""A sink, and the way on which messages come to it."""
Letter = tuple[str, str, int]
"""A dead letter: the operator where it failed, the source that sent it, its number there."""

EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came to the sinks, and which letters are dead. `wrong` are messages whose content was another's."""

    lanes: Mapping[Lane, Counts] = field(default_factory=dict)
    dead: Mapping[Letter, int] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()

    @property
    def messages(self) -> int:
        """Messages that came to sinks, summed over all sinks, and dead letters."""
        return sum(int(counts.sum()) for counts in self.lanes.values()) + sum(self.dead.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """`messages` is how many should have come; `lost` did not, `doubled` came once more, or never should."""

    messages: int
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    examples: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


def compare(expected: Outcome, found: Outcome) -> Verdict:
    """The difference. A message whose content is wrong counts as lost, by its absence."""
    lost = doubled = 0
    examples: list[str] = []
    for lane in sorted({*expected.lanes, *found.lanes}):
        less, more = _difference(expected.lanes.get(lane), found.lanes.get(lane))
        lost += int(less.sum())
        doubled += int(more.sum())
        examples += _named("lost", lane, less) + _named("doubled", lane, more)
    missing, surplus = Counter(expected.dead), Counter(found.dead)
    missing.subtract(found.dead)
    surplus.subtract(expected.dead)
    for word, letters in (("no dead letter", +missing), ("unexpected dead letter", +surplus)):
        examples += [f"{word} of {source}.{number} at {place}" for place, source, number in sorted(letters)][:EXAMPLES]
    lost += (+missing).total()
    doubled += (+surplus).total()
    examples += [f"wrong content: {message}" for message in found.wrong[:EXAMPLES]]
    return Verdict(expected.messages, lost, doubled, len(found.wrong), tuple(examples))


def _difference(expected: Counts | None, found: Counts | None) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """How much less and how much more was found, by number."""
    length = max(0 if counts is None else len(counts) for counts in (expected, found))
    wide = [np.zeros(length, np.int16) for _ in range(2)]
    for place, counts in zip(wide, (expected, found), strict=True):
        if counts is not None:
            place[: len(counts)] = counts
    difference = wide[1] - wide[0]
    return np.maximum(-difference, 0), np.maximum(difference, 0)


def _named(word: str, lane: Lane, by: NDArray[np.int16]) -> list[str]:
    numbers = np.flatnonzero(by)
    if not len(numbers):
        return []
    first = ", ".join(map(str, numbers[:EXAMPLES]))
    return [f"{word} at {lane[0]} from {lane[1]}: {len(numbers)} messages: {first}{', …' * (len(numbers) > EXAMPLES)}"]


def letters(listed: Iterable[Mapping[str, Any]]) -> Counter[Letter]:
    """The dead letters that `pipeline dead ls --json` lists."""
    return Counter((str(letter["operator"]), *origin(str(letter["id"]))) for letter in listed)


def origin(message_id: str) -> tuple[str, int]:
    """The source that a message comes from and its number there: `frames.17/2.0` is number 17 of `frames`."""
    source, _, number = message_id.partition("/")[0].rpartition(".")
    return source, int(number)
