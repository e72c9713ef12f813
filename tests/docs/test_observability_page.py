"""The page names every metric and every number, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from interactem.engine.gpus import GpuUse
from interactem.engine.metrics import RunMetrics
from interactem.engine.progress import OperatorProgress, ReplicaProgress
from interactem.engine.summaries import operator_numbers
from interactem.runtime.statistics import Counts, Statistics

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()


def replica():
    counts = Counts(busy_seconds=1.0)
    for histogram in (counts.kernel_times, counts.transport_times, counts.storing_times):
        histogram.record(0.5)
    counts.telling.count("spots", 1)
    counts.telling.set("level", 1)
    counts.telling.come_to(50)
    statistics = Statistics.from_value(counts.to_value())
    return ReplicaProgress(0, running=True, statistics=statistics, gpu=GpuUse(1, 0.5))


ROW = OperatorProgress("mean", 1, each=(replica(),))


def test_every_metric_is_named_with_its_type_and_labels():
    documented = {
        name: (kind.split(",")[0].split(";")[0].strip(), set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(interactem_\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.M)
    }
    metrics = RunMetrics()
    metrics.show("running", [ROW])
    found = {}
    for family in metrics.collect():
        labels = set().union(*(sample.labels for sample in family.samples)) - {"le"}
        found[family.name + ("_total" if family.type == "counter" else "")] = (family.type, labels)
    assert documented == found


def test_every_number_is_named():
    [table] = re.findall(r"^\| name \| unit \| meaning \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.M)
    documented = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    numbers = operator_numbers(ROW)
    told = numbers.keys() | numbers["by_replica"][0].keys()
    about = {"state", "replicas", "running", "by_replica", "replica", "counters", "author"}
    assert documented == told - about
    assert all(f"`{name}`" in PAGE for name in about - {"replica"})
