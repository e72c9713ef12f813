"""Secrets that a replica is given: its connections' values, which must not come into texts that others read.

The file is JSON: `connections`, the values by the parameter's name, and `secrets`, the texts to hide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from interactem.runtime.errors import SettingsError

HIDDEN = "***"
SHORT = 4
"""Shorter texts are not hidden: they stand in too many words by chance."""


class Mask:
    """Hides secrets in texts, the longest first, so that nothing is left of one that holds another."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        every = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= SHORT}
        forms = {form for secret in every for form in _forms(secret)}
        self._texts = sorted(forms, key=len, reverse=True)
        self._bytes = [text.encode("utf-8", "surrogateescape") for text in self._texts]

    def text(self, text: str) -> str:
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        return text

    def line(self, line: bytes) -> bytes:
        for secret in self._bytes:
            line = line.replace(secret, HIDDEN.encode())
        return line


def _forms(secret: str) -> Iterator[str]:
    """As it is, and as it stands in repr(), in JSON and in a URL."""
    yield secret
    yield repr(secret)[1:-1]
    for ascii_only in (True, False):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    for safe in ("", "/"):
        yield quote(secret, safe=safe, errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class Secrets:
    connections: dict[str, Any] = field(default_factory=dict)
    mask: Mask = field(default_factory=Mask)

    @classmethod
    def read(cls, file: Path | None) -> Secrets:
        """None are none. Raises `SettingsError`, which quotes nothing of the file."""
        if file is None:
            return cls()
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
            return cls(dict(value["connections"]), Mask(map(str, value["secrets"])))
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not what the engine has written"
            raise SettingsError(f"{file}: no connections can be read from it: {reason}") from None
