"""Hears when a file changes, or another one takes its name: at once on Linux, by looking often elsewhere."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.25
"""How often to look where changes are heard: other machines' writes to a network's file system are not."""
OFTEN_SECONDS = 0.002

_MODIFY, _MOVED_TO, _CREATE, _DELETE, _ATTRIBUTES = 0x2, 0x80, 0x100, 0x200, 0x4
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, 0o2000000


class Watch:
    """`descriptor` becomes readable when something has changed; None where nothing can be heard."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor: int | None = None
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):
                self._begin()

    @property
    def patience(self) -> float:
        """Seconds after which to look anyway."""
        return LOOK_SECONDS if self.descriptor is not None else OFTEN_SECONDS

    def heard(self) -> None:
        """Take note of what has come, and listen to the file that has the name now."""
        if self.descriptor is None:
            return
        with suppress(BlockingIOError):
            os.read(self.descriptor, 65536)
        self._add(self._path, _MODIFY | _ATTRIBUTES)

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _begin(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        descriptor = self._libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self.descriptor = descriptor
        self._add(self._path.parent, _MOVED_TO | _CREATE | _DELETE)
        self._add(self._path, _MODIFY | _ATTRIBUTES)

    def _add(self, path: Path, mask: int) -> None:
        # a name that is there already is no second watch
        self._libc.inotify_add_watch(self.descriptor, os.fsencode(path), mask)
