"""Sends messages at a steady rate that begin with the time at which they were made."""

import struct
import time
from collections.abc import Iterator
from typing import Any

from interactem.runtime import BytesMessage, operator

TIME = struct.Struct("<d")


@operator
def send(parameters: dict[str, Any]) -> Iterator[BytesMessage]:
    rest = bytes(parameters["size"] - TIME.size)
    started = time.monotonic()
    for index in range(parameters["count"]):
        time.sleep(max(0.0, started + index / parameters["rate"] - time.monotonic()))
        yield BytesMessage(data=TIME.pack(time.monotonic()) + rest)
