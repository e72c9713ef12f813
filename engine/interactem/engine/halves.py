"""What a server that was killed in the middle of making it has left of a stream or consumer.

The server writes what one is, then a checksum of that, then it answers. Without the checksum it leaves it out when it
starts; asked to make it again it finds the first file, writes no checksum either, and has lost it, with all that was
stored in the meantime, when it starts the next time.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_half_made(store: Path) -> list[Path]:
    """Remove these from the store of a server that does not run, and nothing that holds any message. Returns them."""
    streams = list(store.glob("jetstream/*/streams/*/"))
    halves = [stream for stream in streams if _is_half_made(stream) and not _has_messages(stream)]
    whole = [stream for stream in streams if stream not in halves]
    halves += [
        consumer
        for stream in whole
        for consumer in stream.glob("obs/*/")
        if _is_half_made(consumer) and not (consumer / "o.dat").exists()
    ]
    for folder in halves:
        shutil.rmtree(folder)
    return halves


def _is_half_made(folder: Path) -> bool:
    checksum = folder / "meta.sum"
    return not checksum.exists() or checksum.stat().st_size == 0


def _has_messages(stream: Path) -> bool:
    return any(block.stat().st_size for block in stream.glob("msgs/*.blk"))
