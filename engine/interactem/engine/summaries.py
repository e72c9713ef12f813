"""A run's numbers as plain values: in `summary.json`, for a page, and for whoever asks for them as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack

from interactem.engine.plan import Plan
from interactem.engine.progress import OperatorProgress, ReplicaProgress
from interactem.runtime.statistics import LATE, TIMES, TOTALS, Statistics

VERSION = 1
"""Of what is told to a page."""
_SHOWN = ("replicas", "running", "received", "sent", "rate", "waiting", "retried", "dead", "restarts", "state")


def packed_snapshot(plan: Plan, state: str, rows: Iterable[OperatorProgress]) -> bytes:
    """All that is known of a run at this moment, as it is told in the broker."""
    about = {"version": VERSION, "time": time.time(), "run": plan.run, "name": plan.name, "state": state}
    packed: bytes = msgpack.packb(about | {"operators": {row.name: operator_numbers(row) for row in rows}})
    return packed


def operator_numbers(row: OperatorProgress) -> dict[str, Any]:
    """The numbers of an operator, and of each of its replicas."""
    counted = {"received": row.received, "sent": row.sent, "retried": row.retried, "dead": row.dead}
    about = {"state": row.state, "replicas": row.replicas, "running": row.running, "restarts": row.restarts}
    told = _numbers(row.statistics) | counted
    told |= {"rate": round(row.rate, 1), "waiting": row.waiting}
    return about | told | {"by_replica": [_replica(replica) for replica in row.each]}


def row_of(name: str, numbers: Mapping[str, Any]) -> OperatorProgress:
    """An operator's progress from its numbers, without what only its replicas know."""
    told = {each: numbers[each] for each in _SHOWN}
    kernel = numbers["kernel"]
    told |= {"p50": kernel["p50"], "p99": kernel["p99"], "memory": numbers.get("memory_bytes")}
    return OperatorProgress(name, **told, unwanted=numbers.get("unwanted", 0), late=late_messages(numbers))


def late_messages(numbers: Mapping[str, Any]) -> int:
    """What came to an operator when its windows had ended, of its numbers."""
    late: int = numbers.get("counters", {}).get(LATE, 0)
    return late


def _replica(replica: ReplicaProgress) -> dict[str, Any]:
    about = {"replica": replica.index, "running": replica.running, "restarts": replica.restarts}
    told = about | _numbers(replica.statistics) | {"rate": round(replica.rate, 1)}
    if replica.gpu is not None:
        told["gpu"] = {"memory_bytes": replica.gpu.memory, "utilization": replica.gpu.utilization}
    author = replica.statistics
    if author.gauges or author.progress is not None or author.status:
        told["author"] = {"gauges": author.gauges, "progress": author.progress, "status": author.status}
    return told


def _numbers(statistics: Statistics) -> dict[str, Any]:
    told: dict[str, Any] = {name: int(statistics.totals[name]) for name in TOTALS}
    told |= {name: statistics.latest[name] for name in ("in_flight", "memory_bytes") if name in statistics.latest}
    told |= {name: round(statistics.totals[name], 3) for name in ("cpu_seconds", "busy_seconds")}
    told["peak_memory_bytes"] = statistics.peak_memory
    told |= {name: times(statistics, name) for name in TIMES}
    return told | ({"counters": statistics.counters} if statistics.counters else {})


def times(statistics: Statistics, name: str) -> dict[str, Any]:
    """Percentiles in seconds; None where nothing was measured. `count` says of how many."""
    histogram = statistics.times[name]
    p50, p99 = histogram.percentile(50), histogram.percentile(99)
    return {"p50": _short(p50), "p99": _short(p99), "count": histogram.count}


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.3g}")
