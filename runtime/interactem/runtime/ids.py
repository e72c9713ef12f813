"""The deterministic ids of messages.

A source's message is `<source>.<position>`: `frames.17`; the source is the operator's name, with `~<replica>` from
the second replica on and `~<replica>~<epoch>` after a restart of a source that cannot be run again. A second message
of one position has its index behind a slash: `frames.17/1`. What a kernel makes from a message has its id and, behind a
slash, the edge that the message came in on and the index of the result: `frames.17/2.0`. The same message computed
twice therefore has the same id twice, and two messages on one edge never share one.

In a stream one number of an id counts up, the largest one, be it a source's position or the index of what was made from
one message. Ids that are alike but for it are a series, and consecutive ones a run: whole batches are handled as runs,
without making the text of an id that nobody reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

_NONE = -1
"""The number of text that is not an id: the text is then the prefix of a series of its own."""


MOST = 10**18
"""Numbers are below it; what looks like a larger one is text."""


class Series(NamedTuple):
    """Ids that differ only in their largest number: what stands before and behind it. Made by `series_of`."""

    prefix: str
    suffix: str
    weight: int
    """Bytes that one of them takes on the wire, at most."""


class Filed(NamedTuple):
    """An id, by its series and its number there."""

    series: Series
    number: int


class Run(NamedTuple):
    """`length` ids, each with the next number of the one before."""

    series: Series
    first: int
    length: int

    def ids(self) -> list[tuple[Series, int]]:
        series = self.series
        return [(series, number) for number in range(self.first, self.first + self.length)]


def series_of(prefix: str, suffix: str) -> Series:
    return Series(prefix, suffix, len(prefix.encode("utf-8", "replace")) + len(suffix.encode("utf-8", "replace")) + 32)


NO_SERIES = series_of("", "")


def text(series: Series, number: int) -> str:
    return series.prefix if number == _NONE else f"{series.prefix}{number}{series.suffix}"


def source_name(operator: str, replica: int, epoch: int = 0) -> str:
    if epoch:
        return f"{operator}~{replica}~{epoch}"
    return f"{operator}~{replica}" if replica else operator


def finish_name(operator: str, replica: int) -> str:
    """The source of what a finish function sends; its position counts the ends of the stream."""
    return f"{operator}~{replica}~end"


def windows_name(operator: str, replica: int) -> str:
    """The source of what a reducer makes of its windows; its position counts the messages."""
    return f"{operator}~{replica}~windows"


def trigger_name(operator: str, replica: int, poke: str) -> str:
    """The source of what a trigger makes; its position counts the calls of one poke."""
    return f"{operator}~{replica}~{poke}"


def source_id(source: str, position: int, index: int = 0) -> Filed:
    if not index:
        return Filed(series_of(f"{source}.", ""), position)
    if index > position:
        return Filed(series_of(f"{source}.{position}/", ""), index)
    return Filed(series_of(f"{source}.", f"/{index}"), position)


def output_id(of: Series, number: int, edge: int, index: int) -> Filed:
    """The id of the result `index` of a call with the message `number` of the series `of`, which came in on `edge`."""
    if number == _NONE:
        return Filed(series_of(f"{of.prefix}/{edge}.{index}", ""), _NONE)
    if index > number:
        return Filed(series_of(f"{of.prefix}{number}{of.suffix}/{edge}.", ""), index)
    return Filed(series_of(of.prefix, f"{of.suffix}/{edge}.{index}"), number)


def redriven_id(message_id: str, times: int) -> str:
    """The id of a dead letter that is sent once more: `frames!1.17/2.0`.

    Whoever has an effect must not take it, nor what is made from it, for something that it has seen or, below the low
    watermark, cannot come any more.
    """
    root, slash, rest = message_id.partition("/")
    source, _, position = root.rpartition(".")
    return f"{source.partition('!')[0]}!{times}.{position}{slash}{rest}"


def file(message_id: str) -> Filed:
    """Where an id belongs: the first of its numbers that none is larger than counts up."""
    parts = message_id.split("/")
    largest, at = -1, 0
    for index, part in enumerate(parts):
        digits = part.rpartition(".")[2]
        if not _is_number(digits) or (not index and part == digits):
            return Filed(series_of(message_id, ""), _NONE)
        if int(digits) > largest:
            largest, at = int(digits), index
    part = parts[at]
    stem = part[: len(part) - len(part.rpartition(".")[2])]
    return Filed(series_of("/".join([*parts[:at], stem]), "/".join(["", *parts[at + 1 :]])), largest)


def _is_number(digits: str) -> bool:
    return digits.isdecimal() and len(digits) < len(str(MOST)) and str(int(digits)) == digits


def runs_of(series: Sequence[Series], numbers: Sequence[int]) -> list[Run]:
    """The ids of these series and numbers as runs, in their order."""
    if not series:
        return []
    start, length = numbers[0], len(numbers)
    if start > _NONE and series.count(series[0]) == length and tuple(numbers) == tuple(range(start, start + length)):
        return [Run(series[0], start, length)]
    runs: list[Run] = []
    for one, number in zip(series, numbers, strict=True):
        last = runs[-1] if runs else None
        if last is not None and number == last.first + last.length and number > 0 and one == last.series:
            runs[-1] = Run(one, last.first, last.length + 1)
        else:
            runs.append(Run(one, number, 1))
    return runs


def origin(series: Series) -> tuple[str, int | None]:
    """The source in which messages of a series began, and their position there: None where that is their number.

    The position is -1 where the text is not an id.
    """
    head, slash, _ = series.prefix.partition("/")
    if not slash and head.endswith("."):
        return head[:-1], None
    source, _, position = head.rpartition(".")
    return (source, int(position)) if source and _is_number(position) else (head, -1)


def partition(series: Series, number: int, partitions: int) -> int:
    """Which of `partitions` a message belongs to, always the same.

    Of as many consecutive numbers, each partition gets exactly one, in an order that looks random: so a partition's
    own messages, counted in such groups, have no gaps, and no rhythm of the numbers fills one partition alone.
    """
    if partitions == 1:
        return 0
    number = max(0, number)
    group = number // partitions
    return (number + zlib.crc32(f"{series.prefix}{group}{series.suffix}".encode("utf-8", "replace"))) % partitions
