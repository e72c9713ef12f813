"""What can go wrong with frames.

DistillerStreamingError
├── FrameFormatError   a message or an array does not hold the frames (or the result) that it should
├── SettingError       an operator's settings do not go together
└── ScanFileError      a file does not hold a scan that we can read
"""

from __future__ import annotations

from pathlib import Path


class DistillerStreamingError(Exception):
    """The base of all errors of this library."""


class FrameFormatError(DistillerStreamingError, ValueError):
    """A message or an array does not hold the frames (or the result) that it should."""


class SettingError(DistillerStreamingError, ValueError):
    """An operator's settings do not go together."""


class ScanFileError(DistillerStreamingError, ValueError):
    """A file does not hold a scan that we can read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
