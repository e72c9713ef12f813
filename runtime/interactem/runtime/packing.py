"""From a kernel's message to what goes into the outbox: packed, checked, and addressed to its outputs."""

from __future__ import annotations

from typing import Any

from interactem.runtime.assignment import Assignment
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import Outbox, Sent
from interactem.runtime.wire import pack


class Packing:
    """Packs messages for the outputs that somebody reads."""

    def __init__(self, assignment: Assignment, outbox: Outbox) -> None:
        self.ports = tuple(output.port for output in assignment.outputs)
        read = {output.port: index for index, output in enumerate(assignment.outputs) if output.edges}
        self._every = tuple(read.values())
        self._one = {port: (read[port],) if port in read else () for port in self.ports}
        self._check = outbox.check_size
        self._small = outbox.small

    def pack_into(
        self, made: list[Sent], message: BytesMessage, message_id: str, tracking: dict[str, Any] | None
    ) -> int:
        """Add `message` to `made`, once for each output that it goes to. Returns its weight.

        Raises what `wire.pack` raises, and `MessageTooLargeError`.
        """
        packed = pack(message, message_id, tracking)
        weight = packed[-1]
        if weight > self._small:
            self._check(packed)
        outputs = self._every if message.target is None else self._one[message.target]
        if len(outputs) == 1:
            made.append((outputs[0], packed))
        else:
            made.extend([(output, packed) for output in outputs])
        return weight
