"""The deterministic ids of messages.

A source's message is `<source>.<position>`: `frames.17`; the source is the operator's name, with `~<replica>` from
the second replica on and `~<replica>~<epoch>` after a restart of a source that cannot be run again. A second message
of one position has its index behind a slash: `frames.17/1`. What a kernel makes from a message has its id and, behind a
slash, the edge that the message came in on and the index of the result: `frames.17/2.0`. The same message computed
twice therefore has the same id twice, and two messages on one edge never share one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple


class Filed(NamedTuple):
    """An id as prefix, its largest number, and suffix.

    In a stream the largest number is the one that counts up, be it a source's position or the index of what was made
    from one message. Ids that are alike but for it make up few intervals.
    """

    prefix: str
    number: int
    suffix: str


class Run(NamedTuple):
    """`length` ids, each with the next number of the one before."""

    first: Filed
    length: int


def source_name(operator: str, replica: int, epoch: int = 0) -> str:
    if epoch:
        return f"{operator}~{replica}~{epoch}"
    return f"{operator}~{replica}" if replica else operator


def finish_name(operator: str, replica: int) -> str:
    """The source of what a finish function sends; its position counts the ends of the stream."""
    return f"{operator}~{replica}~end"


def source_id(source: str, position: int, index: int = 0) -> str:
    return f"{source}.{position}/{index}" if index else f"{source}.{position}"


def output_id(input_id: str, edge: int, index: int) -> str:
    return f"{input_id}/{edge}.{index}"


def redriven_id(message_id: str, times: int) -> str:
    """The id of a dead letter that is sent once more: `frames!1.17/2.0`.

    Whoever has an effect must not take it, nor what is made from it, for something that it has seen or, below the low
    watermark, cannot come any more.
    """
    root, slash, rest = message_id.partition("/")
    source, _, position = root.rpartition(".")
    return f"{source.partition('!')[0]}!{times}.{position}{slash}{rest}"


def file(message_id: str) -> Filed:
    """Where an id belongs. Text that is not one of our ids is a prefix of its own."""
    parts = message_id.split("/")
    largest, at = -1, 0
    for index, part in enumerate(parts):
        digits = part.rpartition(".")[2]
        if not digits.isdecimal() or str(int(digits)) != digits or (not index and part == digits):
            return Filed(message_id, 0, "")
        if int(digits) > largest:
            largest, at = int(digits), index
    part = parts[at]
    stem = part[: len(part) - len(part.rpartition(".")[2])]
    return Filed("/".join([*parts[:at], stem]), largest, "/".join(["", *parts[at + 1 :]]))


def run_of(message_ids: Sequence[str]) -> Run | None:
    """These ids as one run, or None where they are not."""
    if not message_ids:
        return None
    first = file(message_ids[0])
    prefix, number, suffix = first
    if len(message_ids) > 1:
        expected = [f"{prefix}{n}{suffix}" for n in range(number, number + len(message_ids))]
        if expected != message_ids:
            return None
    return Run(first, len(message_ids))


def origin(message_id: str) -> tuple[str, int]:
    """The source in which a message began, and its position there (-1 where the text is not an id)."""
    source, _, position = message_id.partition("/")[0].rpartition(".")
    return (source, int(position)) if source and position.isdecimal() else (message_id, -1)


def partition(message_id: str, partitions: int) -> int:
    """Which of `partitions` a message belongs to, always the same.

    Of as many consecutive numbers, each partition gets exactly one, in an order that looks random: so a partition's
    own messages, counted in such groups, have no gaps, and no rhythm of the numbers fills one partition alone.
    """
    if partitions == 1:
        return 0
    prefix, number, suffix = file(message_id)
    group = number // partitions
    return (number + zlib.crc32(f"{prefix}{group}{suffix}".encode("utf-8", "replace"))) % partitions
