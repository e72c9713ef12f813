"""Sends on what it receives, as a reducer: ten thousand keys, two messages of each in a window."""

from collections.abc import Iterator

from interactem.runtime import BytesMessage, Fixed, operator

KEYS = 10_000


def key(message: BytesMessage) -> int:
    return int(message.meta["index"]) % KEYS


@operator.reduce(window=Fixed(2 * KEYS), key=key, event_time="meta.index")
def pass_on(key: int, messages: Iterator[BytesMessage]) -> list[BytesMessage]:
    return list(messages)
