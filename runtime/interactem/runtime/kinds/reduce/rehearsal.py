"""A reducer outside of a run, as in a test: nothing is stored, and nothing waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from interactem.runtime.calls import Caller
from interactem.runtime.kinds.reduce.reducer import Due, Reducer
from interactem.runtime.kinds.reduce.reduction import Reduction
from interactem.runtime.messages import BytesMessage


class Rehearsal:
    """One reducer's windows. What its kernel raises comes out of whatever had it called."""

    def __init__(
        self,
        reduction: Reduction,
        caller: Caller,
        parameters: dict[str, Any],
        clock: Callable[[], float],
    ) -> None:
        self._caller = caller
        self._parameters = parameters
        self._reducer = Reducer(reduction, caller.context, defaultdict(int), clock)

    def handle(self, message: BytesMessage) -> Iterator[BytesMessage]:
        """Gather a message: what is told because of it, or itself where it is late and somebody wants it."""
        yield from self._caller.checked(self._reducer.add(message))
        yield from self.due()

    def due(self) -> Iterator[BytesMessage]:
        """What is told now."""
        yield from self._told(self._reducer.due())

    def end(self) -> Iterator[BytesMessage]:
        """What is told at the end of the stream."""
        yield from self._told(self._reducer.last(drained=False))

    def _told(self, due: Iterable[Due]) -> Iterator[BytesMessage]:
        for one in due:
            self._caller.context._message = None
            results = self._caller.invoke(self._reducer.given(one, self._reducer.in_order(one)), self._parameters)  # type: ignore[arg-type]
            made = [
                self._reducer.named(one, message, number)
                for number, message in enumerate(self._caller.messages(results))
            ]
            self._reducer.told(one, len(made))
            yield from (message for message, _ in made)
