"""The deterministic ids of messages.

A source's message is `<source>.<position>`: `frames.17`; the source is the operator's name, with `~<replica>` from
the second replica on and `~<replica>~<epoch>` after a restart of a source that cannot be run again. What a kernel
makes from a message has its id and, behind a slash, the edge that the message came in on and the index of the result:
`frames.17/2.0`. The same message computed twice therefore has the same id twice, and two messages on one edge never
share one.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple


class Root(NamedTuple):
    """Where a message began, and the rest of its way."""

    source: str
    position: int
    tail: str


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
    source, position, tail = split(message_id)
    return f"{source.partition('!')[0]}!{times}.{position}{tail}"


def split(message_id: str) -> Root:
    """The parts of an id. Raises `ValueError` where it is not one."""
    head, slash, rest = message_id.partition("/")
    source, dot, position = head.rpartition(".")
    if not dot or not source:
        raise ValueError(f"{message_id!r} is not the id of a message")
    return Root(source, int(position), slash + rest)


def partition(message_id: str, partitions: int) -> int:
    """Which of `partitions` a message belongs to: the same for everything made from one message of a source."""
    if partitions == 1:
        return 0
    return zlib.crc32(message_id.partition("/")[0].encode()) % partitions
