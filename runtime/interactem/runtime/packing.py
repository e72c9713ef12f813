"""From a kernel's message to what goes into the outbox: packed, checked, and addressed to its outputs."""

from __future__ import annotations

from interactem.runtime.assignment import Assignment
from interactem.runtime.ids import Series
from interactem.runtime.messages import BytesMessage
from interactem.runtime.outbox import Outbox, Sent
from interactem.runtime.wire import WEIGHT, pack


class Packing:
    """Packs messages for the outputs that somebody reads."""

    def __init__(self, assignment: Assignment, outbox: Outbox) -> None:
        self.ports = tuple(output.port for output in assignment.outputs)
        read = {output.port: index for index, output in enumerate(assignment.outputs) if output.edges}
        self._outputs: dict[str | None, tuple[int, ...]] = {None: tuple(read.values())}
        self._outputs |= {port: (read[port],) if port in read else () for port in self.ports}
        self._check = outbox.check_size
        self._small = outbox.small

    def pack_into(
        self,
        made: list[Sent],
        message: BytesMessage,
        series: Series,
        number: int,
        given: BytesMessage | None = None,
    ) -> int:
        """Add `message` to `made` under this id, once for each output that it goes to. Returns its weight.

        `given` is what it was made from. Raises what `wire.pack` raises, and `MessageTooLargeError`.
        """
        packed = pack(message, series, number, given)
        weight = packed[WEIGHT]
        if weight > self._small:
            self._check(packed)
        outputs = self._outputs[message.target]
        if len(outputs) == 1:
            made.append((outputs[0], packed))
        else:
            made.extend([(output, packed) for output in outputs])
        return weight
