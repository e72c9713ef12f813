"""On which line of a JSON text each of its values stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]  # undocumented, and there since Python 2

from interactem.spec.wording import join_path

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = JSONDecoder()


def line_numbers(text: str) -> dict[str, int]:
    """The line, from 1, on which each value's key stands (the value itself in a list), by its JSON path.

    The text is valid JSON: read it with `read_json` first.
    """
    text = text.removeprefix("\ufeff")
    found: dict[str, int] = {}
    line, counted = 1, 0
    for path, position in _Positions(text).value("$", _Positions.skip(text, 0)):
        line += text.count("\n", counted, position)
        counted = position
        found[path] = line
    return found


class _Positions:
    """Walks through the text and finds where values begin; `end` is where the last one ended."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.end = 0

    @staticmethod
    def skip(text: str, at: int) -> int:
        match = _SPACE.match(text, at)
        return at if match is None else match.end()

    def value(self, path: str, at: int, shown: int | None = None) -> Iterator[tuple[str, int]]:
        yield path, at if shown is None else shown
        if self._text[at] == "{":
            yield from self._members(path, at)
        elif self._text[at] == "[":
            yield from self._items(path, at)
        else:
            _, self.end = _DECODER.raw_decode(self._text, at)

    def _members(self, path: str, at: int) -> Iterator[tuple[str, int]]:
        at = self.skip(self._text, at + 1)
        while self._text[at] == '"':
            name, colon = scanstring(self._text, at + 1, True)
            begin = self.skip(self._text, self.skip(self._text, colon) + 1)
            yield from self.value(join_path(path, name), begin, at)
            at = self._next()
        self.end = at + 1

    def _items(self, path: str, at: int) -> Iterator[tuple[str, int]]:
        at, index = self.skip(self._text, at + 1), 0
        while self._text[at] != "]":
            yield from self.value(join_path(path, index), at)
            at, index = self._next(), index + 1
        self.end = at + 1

    def _next(self) -> int:
        """Behind the comma, or at the bracket that closes."""
        at = self.skip(self._text, self.end)
        return self.skip(self._text, at + 1) if self._text[at] == "," else at
