"""Secrets that a replica is given: its connections' values, which must not come into texts that others read.

The file is JSON: `connections`, the values by the parameter's name, and `secrets`, the texts to hide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interactem.runtime.errors import SettingsError

HIDDEN = "***"
SHORT = 4
"""Shorter texts are not hidden: they stand in too many words by chance."""


class Mask:
    """Hides secrets in texts, the longest first, so that nothing is left of one that holds another."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        every = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= SHORT}
        # as it is, and as it stands in repr() and JSON
        forms = {form for secret in every for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1])}
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
