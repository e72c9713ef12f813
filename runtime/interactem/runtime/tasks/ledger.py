"""Which lines have their result: kept beside the output, so that each has one, however often we are killed.

The file begins with a line that says what it is; a record follows for each result: what the task's line was (a hash),
how long the result's line is, and its status. A record is written before its result: one whose result is not whole in
the output, after a `kill -9`, is dropped, and the output cut to the last whole result.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct

from interactem.runtime.errors import InteractemRuntimeError

RECORD = Struct("<8sQB")
BLOCK = RECORD.size * 10_000
SUFFIX = ".ledger"

Record = tuple[bytes, int, int]
"""The digest of the task's line, the length of the result's line, and its status, as an index."""


class OutputError(InteractemRuntimeError, ValueError):
    """The output, or the ledger beside it, is not what this program can go on with."""


def digest_of(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=8).digest()


def ledger_of(output: Path) -> Path:
    return output.with_name(output.name + SUFFIX)


class Ledger:
    """The output and its ledger, of this process alone. `counts` are the results in the output, by status.

    Raises `OutputError` where another process writes there, or the two files do not belong together.
    """

    def __init__(self, output: Path, *, rank: int = 0, world: int = 1) -> None:
        self.output = output
        self.counts: Counter[int] = Counter()
        self._head = f"interactem ledger 1: worker {rank} of {world}\n".encode()
        self._path = ledger_of(output)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock()
            self._size = self._open_ledger()
            self._output = os.open(output, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._written = self._recover()
            except BaseException:
                os.close(self._output)
                raise
        except BaseException:
            os.close(self._file)
            raise

    def append(self, records: Iterable[Record], lines: bytes) -> None:
        """Add results. Raises `OSError` where there is no room; what was there before stays as it was."""
        packed = b"".join([RECORD.pack(*record) for record in records])
        try:
            _write(self._file, packed)
            _write(self._output, lines)
        except OSError as error:
            self._cut()
            error.filename = str(self.output)
            raise
        self._size += len(packed)
        self._written += len(lines)

    def digests(self) -> Iterator[bytes]:
        """Those of all tasks that have a result, in the order of the results."""
        for _, record in self._records():
            yield record[0]

    def close(self) -> None:
        for descriptor in (self._output, self._file):
            os.fsync(descriptor)
            os.close(descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{self.output}: another process writes its results there; name another file") from None

    def _open_ledger(self) -> int:
        """The size of the ledger without half a record at its end."""
        size = os.fstat(self._file).st_size
        begin = os.pread(self._file, len(self._head), 0)
        if begin == self._head:
            whole = (size - len(begin)) // RECORD.size
            return len(begin) + whole * RECORD.size
        if not self._head.startswith(begin):
            raise OutputError(
                f"{self._path} is the ledger of something else ({begin[:40]!r} …); name another output, or remove both"
            )
        if self.output.exists() and self.output.stat().st_size:
            raise OutputError(
                f"{self.output} exists, and no ledger ({self._path.name}) says what is in it; name another file"
            )
        os.ftruncate(self._file, 0)
        _write(self._file, self._head)
        return len(self._head)

    def _recover(self) -> int:
        """Drop the records without a whole result, and what is of half a one. The size of the output then."""
        there, covered, kept = os.fstat(self._output).st_size, 0, len(self._head)
        for position, (_, length, status) in self._records():
            if covered + length > there:
                break
            covered += length
            kept = position + RECORD.size
            self.counts[status] += 1
        if there > covered and kept == self._size:
            raise OutputError(
                f"{self.output} holds {there - covered:,} bytes that its ledger does not know; remove both"
            )
        if covered and os.pread(self._output, 1, covered - 1) != b"\n":
            raise OutputError(f"{self.output} was changed by somebody else; name another file, or remove it")
        self._size = kept
        self._written = covered
        self._cut()
        return covered

    def _cut(self) -> None:
        for descriptor, size in ((self._file, self._size), (self._output, self._written)):
            os.ftruncate(descriptor, size)
            os.lseek(descriptor, size, os.SEEK_SET)

    def _records(self) -> Iterator[tuple[int, Record]]:
        """Each record and its position."""
        position = len(self._head)
        while block := os.pread(self._file, min(BLOCK, self._size - position), position):
            for record in RECORD.iter_unpack(block[: len(block) // RECORD.size * RECORD.size]):
                yield position, record
                position += RECORD.size


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Done:
    """Finds the lines that have their result already, when they come again: each as often as it has one.

    Lines that come in the order of the results, or nearly so, take no memory.
    """

    def __init__(self, digests: Iterable[bytes]) -> None:
        self._rest = iter(digests)
        self._skipped: Counter[bytes] = Counter()

    def take(self, digest: bytes) -> bool:
        """Whether a line of this digest has a result that no line before has taken."""
        if self._skipped.get(digest):
            self._skipped[digest] -= 1
            return True
        for other in self._rest:
            if other == digest:
                return True
            self._skipped[other] += 1
        return False
