"""What a command prints, as lines of text; it need be neither."""

from __future__ import annotations

from collections.abc import Callable

LINE_BYTES = 65_536
"""A longer line is cut into several: nobody has to keep all that a command prints without an end of line."""


class Lines:
    """Takes bytes as they come and gives lines: ended by LF, CR or both, and without what is not UTF-8."""

    def __init__(self, take: Callable[[str], object]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.replace(b"\r", b"\n")).split(b"\n")
        while len(self._rest) > LINE_BYTES:
            lines.append(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]
        for line in lines:
            if line:
                self._take(line.decode("utf-8", "replace"))

    def close(self) -> None:
        """What stands behind the last end of a line."""
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest.decode("utf-8", "replace"))
