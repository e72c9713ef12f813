"""Runs replicas in threads, on a broker in memory or a real one: what the tests of delivery stand on.

A `Flow` is a small run. Its kernels are plain functions of the test; the pure rules of the engine say when an operator
is told to finish. A crash abandons a replica as a killed process would: nothing more of it is stored or settled, and
what it held is handed out again.
"""

from delivery_harness.backends import MEBIBYTE, MemoryBackend, NatsBackend
from delivery_harness.crashes import Aborted, Crash, crash_at
from delivery_harness.flows import Flow, Running
from delivery_harness.messages import WAIT, Collected, message, numbers
from delivery_harness.plans import Node, naming, node, side_input, sink, source

__all__ = [
    "MEBIBYTE",
    "WAIT",
    "Aborted",
    "Collected",
    "Crash",
    "Flow",
    "MemoryBackend",
    "NatsBackend",
    "Node",
    "Running",
    "crash_at",
    "message",
    "naming",
    "node",
    "numbers",
    "side_input",
    "sink",
    "source",
]
