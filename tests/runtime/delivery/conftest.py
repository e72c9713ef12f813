"""Every test that asks for `flow` runs twice: in memory, and over a real NATS server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("delivery_harness", Path(__file__).parent / "harness" / "__init__.py")
harness = importlib.util.module_from_spec(_spec)
sys.modules["delivery_harness"] = harness
_spec.loader.exec_module(harness)


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """All replicas share one interpreter here, and hand it on as often as a replica's process does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.broker)])
def flow(request, tmp_path) -> Iterator[Any]:
    """Makes flows: `flow(nodes, edges)`. `memory=` and `nats=` are options of that backend alone."""
    made: list[Any] = []

    def make(nodes, edges, *, memory=None, nats=None, **options):
        if request.param == "memory":
            backend = lambda plan: harness.MemoryBackend(plan, **(memory or {}))  # noqa: E731
        else:
            backend = lambda plan: harness.NatsBackend(plan, tmp_path, **(nats or {}))  # noqa: E731
        made.append(harness.Flow(backend, tmp_path, nodes, edges, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
