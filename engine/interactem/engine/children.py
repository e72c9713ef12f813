"""What is heard of a child process: its exit code, and the lines that it prints."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Thread
from typing import IO

from interactem.engine.lines import LINE_BYTES, LineCutter

Take = Callable[[list[bytes]], Awaitable[None]]
"""Takes lines that came together."""


def exit_code(process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """The exit code once there is one, negative for a signal. A thread waits for it, which works everywhere."""
    loop = asyncio.get_running_loop()
    code: asyncio.Future[int] = loop.create_future()

    def tell(value: int) -> None:
        if not code.done():
            code.set_result(value)

    def wait() -> None:
        value = process.wait()
        with suppress(RuntimeError):  # the loop ended before the process
            loop.call_soon_threadsafe(tell, value)

    Thread(target=wait, name=f"wait for {process.pid}", daemon=True).start()
    return code


async def read_lines(output: IO[bytes], take: Take) -> None:
    """Give all lines to `take`, until nobody holds the output open any more."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, output)
    cutter = LineCutter()
    try:
        while chunk := await reader.read(LINE_BYTES):
            await take(cutter.feed(chunk))
            # there may always be more: whoever prints without end must not keep the others waiting
            await asyncio.sleep(0)
        await take(cutter.end())
    finally:
        transport.close()
