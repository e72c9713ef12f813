"""What a replica and its worker processes say to each other: pickled, and large data beside it, without a copy."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any

from interactem.runtime.errors import ReturnTypeError
from interactem.runtime.kinds.sinks import Failed
from interactem.runtime.messages import VIEW_FROM, BytesMessage

__all__ = ["Pipe", "message_of", "result_of", "value_of_message", "value_of_result"]

_HEAD = struct.Struct("<IQ")  # how many pieces of data there are beside; bytes of the pickle
_SIZE = struct.Struct("<Q")


class Pipe:
    """One end. `receive` raises `EOFError` where the other end is gone, `TimeoutError` after the socket's time."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, value: object) -> None:
        """Raises `OSError` where the other end is gone, and what pickling raises."""
        beside: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=beside.append)
        views = [buffer.raw() for buffer in beside]
        sizes = b"".join([_SIZE.pack(view.nbytes) for view in views])
        self.socket.sendall(_HEAD.pack(len(views), len(pickled)) + sizes + pickled)
        for view in views:
            self.socket.sendall(view)

    def receive(self) -> Any:
        count, length = _HEAD.unpack(self._read(_HEAD.size))
        sizes = [size for (size,) in _SIZE.iter_unpack(self._read(count * _SIZE.size))]
        pickled = self._read(length)
        return pickle.loads(pickled, buffers=[self._read(size) for size in sizes])

    def tell(self, yes: bool) -> None:
        """One bit."""
        self.socket.sendall(b"\1" if yes else b"\0")

    def told(self) -> bool:
        return bool(self._read(1)[0])

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            got = self.socket.recv_into(view[done:])
            if not got:
                raise EOFError
            done += got
        return data

    def close(self) -> None:
        self.socket.close()


def value_of_message(message: BytesMessage) -> tuple[Any, ...]:
    """As it is sent. Its header is not looked into where it has not been unpacked."""
    data: Any = message.data
    if not isinstance(data, bytes) or len(data) >= VIEW_FROM:
        view = memoryview(data)
        data = pickle.PickleBuffer(view if view.c_contiguous else view.tobytes())
    return message._header, data, message.port, message.target, message._id


def message_of(value: tuple[Any, ...]) -> BytesMessage:
    header, data, port, target, name = value
    if not isinstance(data, bytes):
        view = memoryview(data)
        data = view.toreadonly() if view.nbytes >= VIEW_FROM else bytes(view)
    message = BytesMessage(None, data, port=port, target=target, id=name)
    message._header = header
    return message


def value_of_result(result: Any) -> Any:
    """What a kernel has returned for one message, as it is sent. Raises `ReturnTypeError` for what cannot be."""
    if result is None:
        return None
    if isinstance(result, BytesMessage):
        return ("message", value_of_message(result))
    if isinstance(result, Failed):
        return ("failed", result.why)
    if isinstance(result, list | tuple):
        return ("list", [value_of_result(part) for part in result])
    raise ReturnTypeError(result)


def result_of(value: Any) -> Any:
    if value is None:
        return None
    kind, content = value
    if kind == "message":
        return message_of(content)
    return Failed(content) if kind == "failed" else _results(content)


def _results(values: Sequence[Any]) -> list[Any]:
    return [result_of(value) for value in values]
