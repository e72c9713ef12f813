"""What a replica prints, cut into lines."""

from __future__ import annotations

LINE_BYTES = 64 * 1024
"""The longest line that is logged in one piece."""


class LineCutter:
    """Cuts what comes in chunks into lines, without their ends; one that is too long comes in several pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are whole with this chunk."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        lines = [
            line[start : start + LINE_BYTES].removesuffix(b"\r")
            for line in whole
            for start in range(0, max(len(line), 1), LINE_BYTES)
        ]
        while len(rest) >= LINE_BYTES:
            lines.append(rest[:LINE_BYTES])
            rest = rest[LINE_BYTES:]
        self._rest = rest
        return lines

    def end(self) -> list[bytes]:
        """What is left: a last line without an end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []
