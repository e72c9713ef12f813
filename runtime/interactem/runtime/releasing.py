"""What readers tell the producers of blocks: which of them they are done with, and which a kernel keeps.

One message is a map: `free` and `kept` list, by the producer's replica, the blocks with their generations, one behind
the other. It is said under a subject of the edge, so that nobody can speak for another one's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

from interactem.runtime.views import Lease

Numbers = list[tuple[int, int]]


def told(free: Iterable[Lease] = (), kept: Iterable[Lease] = ()) -> bytes:
    packed: bytes = msgpack.packb({"free": _by_replica(free), "kept": _by_replica(kept)})
    return packed


def _by_replica(leases: Iterable[Lease]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for lease in leases:
        found.setdefault(lease.replica, []).extend((lease.number, lease.generation))
    return found


def heard(payload: bytes, replica: int) -> tuple[Numbers, Numbers]:
    """What concerns this replica: the blocks that are free, and those that are kept. Nothing of what is malformed."""
    try:
        value = msgpack.unpackb(payload, strict_map_key=False)
        return _numbers(value["free"].get(replica, [])), _numbers(value["kept"].get(replica, []))
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.exceptions.UnpackException, RecursionError):
        return [], []  # another operator's code has written it


def _numbers(flat: Any) -> Numbers:
    if not {int}.issuperset(map(type, flat)):
        raise TypeError("blocks and generations are numbers")
    return list(zip(flat[::2], flat[1::2], strict=True))
