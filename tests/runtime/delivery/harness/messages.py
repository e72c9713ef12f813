"""Messages, what sends them and what keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime import operator as under_operator

WAIT = 60.0


def message(data: bytes = b"", **meta: Any) -> BytesMessage:
    return BytesMessage(MessageHeader(meta=meta), data)


def numbers(count: int) -> Callable[..., Any]:
    """A source of the messages 0 to `count` - 1."""

    @under_operator
    def source(inputs, parameters):
        for number in range(count):
            yield message(str(number).encode())

    return source


class Collected:
    """A sink that keeps what it was given: (data, id), in the order of arrival, and lets a test wait for more."""

    def __init__(self) -> None:
        self.messages: list[BytesMessage] = []
        self.changed = threading.Condition()

        @under_operator
        def sink(inputs, parameters, context):
            self.keep(inputs)

        self.kernel = sink

    def keep(self, received: BytesMessage) -> None:
        with self.changed:
            received.data = bytes(received.data)
            self.messages.append(received)
            self.changed.notify_all()

    def wait(self, count: int, wanted: Callable[[BytesMessage], bool] = lambda message: True) -> None:
        """Until so many messages that are `wanted` have come."""
        with self.changed:
            if not self.changed.wait_for(lambda: sum(map(wanted, self.messages)) >= count, WAIT):
                raise TimeoutError(f"of {len(self.messages)} messages that came {count} should have been wanted")

    @property
    def data(self) -> list[bytes]:
        return [m.data for m in self.messages]

    @property
    def ids(self) -> list[str | None]:
        return [m.id for m in self.messages]

    @property
    def ints(self) -> list[int]:
        return [int(m.data) for m in self.messages]
