"""From a kernel's message to what goes into the outbox: packed, checked, and addressed to its outputs."""

from __future__ import annotations

from collections.abc import Callable

from interactem.runtime import wire
from interactem.runtime.assignment import Assignment
from interactem.runtime.errors import FallbackError, MessageTooLargeError
from interactem.runtime.ids import Series
from interactem.runtime.lending import Loan
from interactem.runtime.messages import VIEW_FROM, Buffer, BytesMessage, loan_of
from interactem.runtime.outbox import Outbox, Sent
from interactem.runtime.wire import WEIGHT, pack


class Packing:
    """Packs messages for the outputs that somebody reads.

    `copies` says that what is made must outlast shared memory: it does not go there then. `told` is given a line about
    what cannot go there, once.
    """

    def __init__(
        self,
        assignment: Assignment,
        outbox: Outbox,
        *,
        copies: Callable[[], bool] = lambda: True,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.ports = tuple(output.port for output in assignment.outputs)
        read = {output.port: index for index, output in enumerate(assignment.outputs) if output.edges}
        fallbacks = {output.port for output in assignment.outputs if output.fallback}
        self._nowhere = fallbacks - read.keys()
        everyone = tuple(index for port, index in read.items() if port not in fallbacks)
        self._outputs: dict[str | None, tuple[int, ...]] = {None: everyone}
        self._outputs |= {port: (read[port],) if port in read else () for port in self.ports}
        self._check = outbox.check_size
        self._small = outbox.small
        self._assignment = assignment
        self._outbox = outbox
        self._copies = copies
        self._told = told
        self._routings = outbox.routings if any(not routing.plain for routing in outbox.routings) else []
        self.unwanted = 0
        """Messages that no edge of an output takes, which has some."""
        self._large = VIEW_FROM if any(output.shm for output in assignment.outputs) else assignment.max_message + 1

    def pack_into(
        self,
        made: list[Sent],
        message: BytesMessage,
        series: Series,
        number: int,
        given: BytesMessage | None = None,
    ) -> int:
        """Add `message` to `made` under this id, once for each output that it goes to. Returns its weight.

        `given` is what it was made from. Raises what `wire.pack` raises, `MessageTooLargeError` and `EdgeKeyError`.
        """
        data = message.data
        outputs = self._outputs[message.target]
        if not outputs:
            if message.target in self._nowhere:
                raise FallbackError(message.target)
        elif self._routings and not (outputs := self._addresses(message, outputs)):
            return 0
        if (type(data) is not bytes or len(data) > self._large) and self._outbox.arena is not None:
            view = _bytes_of(data)
            if view.nbytes > self._large and not self._copies():
                return self._place_into(made, message, outputs, series, number, given, view)
        packed = pack(message, series, number, given)
        weight = packed[WEIGHT]
        if weight > self._small:
            self._check(packed)
        if len(outputs) == 1:
            made.append((outputs[0], packed))
        else:
            made.extend([(output, packed) for output in outputs])
        return weight

    def _addresses(self, message: BytesMessage, outputs: tuple[int, ...]) -> tuple[int, ...]:
        """The outputs with what edges say of the message; without those where nobody takes it."""
        count = len(self._routings)
        if count == 1:
            code = self._routings[0].code(message)
            self.unwanted += code < 0
            return (code,) if code >= 0 else ()
        found = []
        for output in outputs:
            routing = self._routings[output]
            code = 0 if routing.plain else routing.code(message)
            if code >= 0:
                found.append(output + count * code)
            else:
                self.unwanted += 1
        return tuple(found)

    def lend(self, size: int) -> Loan | None:
        """Shared memory for a message that is still to be made; None where it would not be sent from there."""
        arena = self._outbox.arena
        return None if arena is None or size <= self._large or self._copies() else arena.lend(size)

    def _place_into(
        self,
        made: list[Sent],
        message: BytesMessage,
        addresses: tuple[int, ...],
        series: Series,
        number: int,
        given: BytesMessage | None,
        view: memoryview,
    ) -> int:
        """The same for a message whose data goes into the arena, where its readers are on this host."""
        arena, assignment = self._outbox.arena, self._assignment
        if view.nbytes > assignment.max_message:
            raise MessageTooLargeError(view.nbytes, assignment.max_message)
        count = len(assignment.outputs)
        near = [address for address in addresses if assignment.outputs[address % count].shm]
        far = [address for address in addresses if address not in near]
        placed = None
        if near and arena is not None:
            edges = [reader.edge for address in near for reader in self._outbox.readers(address)]
            loan = loan_of(message)
            if loan is not None and loan.block is not None and loan.arena is arena:
                placed = arena.address(loan.block, view.nbytes, edges, len(near))
                if loan.seal():
                    arena.protect(loan.block)  # which takes as long as writing it anew
            else:
                placed = arena.place(view, edges, len(near))
        if placed is None:
            far = list(addresses)
            if arena is not None and arena.why_not:
                self._told(arena.why_not)
            elif arena is not None and near and view.nbytes > arena.capacity:
                bound = arena.capacity // 2**20
                self._told(f"messages of {view.nbytes / 2**20:,.0f} MiB do not fit into the arena of {bound:,} MiB")
            elif near:
                self._told("the arena has no room, and nothing is on its way that would make some")
        else:
            packed = wire.packed_with(message, series, number, given, placed)
            self._check(packed)
            made.extend([(output, packed) for output in near])
        if far:
            packed = pack(message, series, number, given)
            self._check(packed)
            made.extend([(output, packed) for output in far])
        return view.nbytes


def _bytes_of(data: Buffer) -> memoryview:
    """All of it as bytes, one behind the other; copied only where it does not lie so."""
    view = memoryview(data)
    if not view.nbytes:
        return memoryview(b"")
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
