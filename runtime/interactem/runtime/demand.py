"""What the readers of a replica's outputs ask of batches: how fast they are says how many messages one may hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgpack

from interactem.runtime.assignment import Output

BATCH_MESSAGES = 1_024
BATCH_SECONDS = 0.05
"""How long the slowest kernel that reads a batch may take for it, about."""
_SHORTEST, _MOST = 1e-9, 1e18


class Demand:
    """`limits` holds each output's messages in a batch, 1 as long as a reader has not said how fast it is. `unheard`
    says that there is such a reader, so that there is no hurry; `lingers` that readers are behind anyway, so that
    batches may take a little time to grow.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.limits = [1] * len(outputs)
        self.lingers = False
        self.unheard = any(output.readers for output in outputs)
        self._outputs = outputs
        self._readers: dict[int, tuple[float, float]] = {}

    def hear(self, reader: int, payload: bytes) -> None:
        """The operator `reader` says how fast it is.

        From the transport's thread, at once: the replica's own may be in one delivery for long, and fill the outbox.
        """
        told = kernel_and_waiting(payload)
        if told is None:
            return
        kernel, waiting = told
        known, _ = self._readers.get(reader, told)
        self._readers[reader] = kernel or known, waiting  # a replica that has just started does not know it yet
        for index, output in enumerate(self._outputs):
            readers = [self._readers[name] for name in output.readers if name in self._readers]
            silent = len(readers) < len(output.readers)
            self.limits[index] = 1 if silent else batch_limit(kernel for kernel, _ in readers)
        names = {name for output in self._outputs for name in output.readers}
        self.unheard = any(name not in self._readers or not self._readers[name][0] for name in names)
        # where a reader is behind, nobody waits the longer for a message that waits for company here
        self.lingers = any(waiting > 1 for _, waiting in self._readers.values())


def batch_limit(kernel_seconds: Iterable[float]) -> int:
    """Messages in a batch, for readers whose kernels take so long for one; 1 while any of them has not said (0)."""
    slowest = 0.0
    for seconds in kernel_seconds:
        if seconds <= 0:
            return 1
        slowest = max(slowest, seconds)
    return BATCH_MESSAGES if slowest == 0 else max(1, min(BATCH_MESSAGES, int(BATCH_SECONDS / slowest)))


def kernel_and_waiting(payload: bytes) -> tuple[float, float] | None:
    """What a reader reports of itself; None for what is no report: another operator's code has written it."""
    try:
        value = msgpack.unpackb(payload)
        kernel, waiting = float(value["kernel"]), float(value["waiting"])
        # a call takes a nanosecond or more, or nothing is known of it: batches are sized by it
        known = (kernel == 0 or _SHORTEST <= kernel < _MOST) and 0 <= waiting < _MOST
        return (kernel, waiting) if known else None
    except (ValueError, TypeError, KeyError, OverflowError, msgpack.exceptions.UnpackException):
        return None
