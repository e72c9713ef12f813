"""What becomes of a message that failed: when it is tried again, and what is kept of its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from interactem.runtime.loading import user_traceback

BACKOFF_FIRST = 0.1
BACKOFF_MOST = 30.0
ERROR_BYTES = 3_072
TRACEBACK_BYTES = 8_192


RAISED = (Exception, SystemExit, KeyboardInterrupt)
"""What a kernel may raise for a failed attempt. A signal raises none of it in a replica."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed. `attempts` counts it."""

    attempts: int
    error: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException, attempts: int, hide: Callable[[str], str] = str) -> Self:
        """`hide` takes out of a text what must not be read by others."""
        try:
            text = str(error)
        except Exception as second:  # an author's __str__ may itself be wrong
            text = f"its text cannot be read: {type(second).__name__}"
        summary = f"{type(error).__name__}: {text}" if text else type(error).__name__
        traceback = _plain(hide(user_traceback(error)))[-TRACEBACK_BYTES:]
        summary_bytes = _plain(hide(summary))[:ERROR_BYTES]
        return cls(attempts, summary_bytes.decode(errors="ignore"), traceback.decode(errors="ignore"))

    def shared(self, max_attempts: int) -> Failure:
        """Several messages have failed as one, any of which may be to blame: an attempt of each, but never its last."""
        return replace(self, attempts=min(self.attempts, max_attempts - 1)) if max_attempts else self

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> Self:
        return cls(int(value["attempts"]), str(value["error"]), str(value.get("traceback", "")))

    def to_value(self) -> dict[str, Any]:
        return {"attempts": self.attempts, "error": self.error, "traceback": self.traceback}


def _plain(text: str) -> bytes:
    """Text as it can be stored: an error may quote what is not valid Unicode."""
    return text.encode("utf-8", "backslashreplace")


def is_last(attempts: int, max_attempts: int) -> bool:
    """Whether a message that failed this often is a dead letter. 0 is: never."""
    return 0 < max_attempts <= attempts


def backoff(attempts: int) -> float:
    """Seconds to wait after so many failed attempts."""
    return float(min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(attempts - 1, 20)))
