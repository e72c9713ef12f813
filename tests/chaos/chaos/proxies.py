"""A TCP proxy before the broker, whose connections can be cut and stalled."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import Self

CHUNK = 256 * 1024
MOST_HELD = 64 * 2**20
_RESET = struct.pack("ii", 1, 0)


class Link:
    """One connection through the proxy. While `open` is not set nothing passes, but what is sent is taken."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.name = ""
        """What the client calls itself, once it has."""
        self.open = asyncio.Event()
        self.open.set()
        self._ends = client, server

    def cut(self) -> None:
        """Reset both ends: what was on its way is gone, be it half a message."""
        for end in self._ends:
            with suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Proxy:
    """Passes connections to a port of this machine on; lives in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._links: list[Link] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def names(self) -> list[str]:
        """The clients that are connected, by the names that they give themselves."""
        return sorted(link.name for link in self._links if link.name)

    def cut(self, name: str | None = None) -> None:
        """Cut the connections of one client, or all."""

        def cut() -> None:
            for link in self._of(name):
                link.cut()

        self._loop.call_soon_threadsafe(cut)

    def stall(self, seconds: float, name: str | None = None) -> None:
        """For a while nothing passes of what one client or all send and are sent. It comes later."""

        def stall() -> None:
            for link in self._of(name):
                link.open.clear()
                self._loop.call_later(seconds, link.open.set)

        self._loop.call_soon_threadsafe(stall)

    def _of(self, name: str | None) -> list[Link]:
        return [link for link in self._links if name is None or link.name == name]

    # the proxy's thread

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for link in list(self._links):
            link.cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()  # the broker is away
            return
        link = Link(writer, back)
        self._links.append(link)
        try:
            await asyncio.gather(self._pass(reader, back, link, listen=True), self._pass(there, writer, link))
        finally:
            self._links.remove(link)
            for end in (writer, back):
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link, *, listen: bool = False
    ) -> None:
        """Until the one end closes; what it sent before still comes to the other."""
        held: deque[bytes] = deque()
        more = asyncio.Event()
        sending = asyncio.ensure_future(_send(held, more, writer, link))
        try:
            while data := await reader.read(CHUNK):
                if listen and not link.name:
                    link.name = _client_name(data)
                held.append(data)
                more.set()
                if sum(map(len, held)) > MOST_HELD:
                    await link.open.wait()
        except OSError:
            pass  # cut at that end
        finally:
            held.append(b"")
            more.set()
            await sending


async def _send(held: deque[bytes], more: asyncio.Event, writer: asyncio.StreamWriter, link: Link) -> None:
    with suppress(OSError):
        while True:
            await more.wait()
            more.clear()
            while held:
                await link.open.wait()
                if not (data := held.popleft()):
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()


def _client_name(data: bytes) -> str:
    """From the CONNECT with which a client introduces itself."""
    start = data.find(b"CONNECT {")
    if start < 0:
        return ""
    with suppress(ValueError):
        return str(json.loads(data[start + 8 : data.index(b"\r\n", start)]).get("name", ""))
    return ""
