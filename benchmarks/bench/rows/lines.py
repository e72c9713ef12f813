"""A line of operators: a sender, so many pass-throughs, a receiver. And what its receiver and its processes tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from bench.measurements import Measurement
from bench.processes import Sampler, cpu_seconds
from bench.workspace import PipelineRun, Workspace

LIMIT = 300.0


@dataclass(frozen=True, slots=True)
class Line:
    """`count` messages of `size` bytes; `short` of them where it only matters whether everything works."""

    name: str
    count: int
    short: int
    size: int
    passes: int = 0
    durability: str = "process"
    options: tuple[str, ...] = ()
    kernel: str = "pass-through"

    def pipeline(self, count: int) -> dict[str, Any]:
        places = ["sender", *(f"pass-{number}" for number in range(1, self.passes + 1)), "receiver"]
        operators: dict[str, Any] = {name: {"operator": self.kernel} for name in places[1:-1]}
        operators["sender"] = {"operator": "benchmark-sender", "parameters": {"size": self.size, "count": count}}
        operators["receiver"] = {"operator": "benchmark-receiver"}
        edges = [{"from": f"{a}.out", "to": f"{b}.in"} for a, b in pairwise(places)]
        return {"name": self.name, "durability": self.durability, "operators": operators, "edges": edges}

    def run(self, workspace: Workspace) -> tuple[int, float, PipelineRun, Mapping[str, float]]:
        """How many messages arrived, in how many seconds, and the CPU time of each process."""
        count = workspace.size(self.count, self.short)
        sampler = Sampler(cpu_seconds, 0.2)
        run = workspace.run_pipeline(self.pipeline(count), limit=LIMIT, watch=sampler.watch, options=self.options)
        return count, seconds_of(count, json.loads(run.outputs["benchmark.json"])), run, sampler.last()


def seconds_of(count: int, told: Mapping[str, Any]) -> float:
    """From the first message to the last. Raises `ValueError` where messages are missing: that is no measurement."""
    if told["messages"] != count:
        raise ValueError(f"{told['messages']} messages arrived of {count}")
    return float(told["seconds"])


def rate(count: int, seconds: float) -> float:
    """Messages a second, after the first. Raises `ValueError` where there is nothing after it."""
    if count < 2 or seconds <= 0:
        raise ValueError(f"{count} messages in {seconds} s have no rate")
    return (count - 1) / seconds


def costs(count: int, cpu_seconds: float, processes: Mapping[str, float] = MappingProxyType({})) -> dict[str, float]:
    """CPU seconds for a million messages, start and end of the run included: of all processes and of each."""
    details = {"CPU seconds per million messages": cpu_seconds / count * 1e6}
    return details | {f"of that {name}": seconds / count * 1e6 for name, seconds in processes.items()}


def messages_per_second(line: Line, workspace: Workspace) -> Measurement:
    count, seconds, run, processes = line.run(workspace)
    cpu_seconds = run.finished.cpu_seconds
    return Measurement(rate(count, seconds), cpu_seconds, costs(count, cpu_seconds, processes))


def gigabytes_per_second(line: Line, workspace: Workspace) -> Measurement:
    count, seconds, run, _ = line.run(workspace)
    cpu_seconds = run.finished.cpu_seconds
    value = rate(count, seconds) * line.size / 1e9
    return Measurement(value, cpu_seconds, {"CPU seconds per GB": cpu_seconds / (count * line.size / 1e9)})
