"""Operators under test: the kernel of a folder is called in memory, with what a replica would give it.

from interactem.runtime import BytesMessage
from interactem.runtime.testing import call

def test_doubles():
    [result] = call("operators/double", BytesMessage(data=b"2"), {"factor": 2})
    assert result.data == b"4"
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Self

from interactem.runtime import wire
from interactem.runtime.calls import Caller
from interactem.runtime.clocks import Clock
from interactem.runtime.context import Context
from interactem.runtime.dependencies import Dependencies
from interactem.runtime.errors import InteractemRuntimeError
from interactem.runtime.ids import file
from interactem.runtime.kernels import Kernel
from interactem.runtime.kinds.batch import paired
from interactem.runtime.kinds.reduce.rehearsal import Rehearsal
from interactem.runtime.kinds.rehearsing import read_through
from interactem.runtime.kinds.transforming import transformed, transforming
from interactem.runtime.kinds.updating import pack_value, unpack_value
from interactem.runtime.mapped_values import with_mapped_values
from interactem.runtime.messages import BytesMessage
from interactem.runtime.own_folders import WORK, clear_away, new_folder, outputs_folder
from interactem.runtime.path_mapping import rules_in
from interactem.runtime.surroundings import data_directory, own_imports
from interactem.runtime.targets import Target, folder_of, kernel_at, spec_in, split_mounts

__all__ = ["Clock", "InputError", "Operator", "Target", "call", "update"]


class InputError(InteractemRuntimeError, ValueError):
    """A message cannot be given to this operator as it is."""


def call(
    operator: Target,
    message: BytesMessage | Sequence[BytesMessage] | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    mounts: Mapping[str, str | Path] | None = None,
    outputs: Path | None = None,
    limit: int | None = None,
    attempt: int = 1,
    state: dict[str, Any] | None = None,
    position: Any = None,
    side_inputs: Mapping[str, Any] | None = None,
    finish: bool = False,
) -> list[BytesMessage]:
    """What an operator makes of a message, or of several, one after the other.

    `operator` is a folder with a `run.py`, that file, or a function under `@operator`. With an `operator.json` beside
    it, `parameters` are typed by it and its defaults apply; without, they reach the kernel as given. A connection is
    given as the dict that the kernel gets. A source gets no message; `limit` ends it after that many messages, and one
    that is not a generator is called once without it.

    `mounts` are files or folders by the name of their parameter; the kernel sees them in its data directory.
    `outputs` is where a sink writes (default: a folder that is gone afterwards). `state` is what `context.state`
    holds, changed in place; `attempt` and `position` are what the context says, or where a source reads from.
    `side_inputs` are the values that the kernel finds under their names in `context.side_inputs`. `finish` calls the
    function for the end of the stream at last.

    A message goes to the input port that it was made for with `message.to(port)`, which only an operator with several
    needs; `target` of a result is the output port that it is addressed to, None for every one.

    Messages pass through the wire format both ways, so that a kernel sees what it would see in a run. Raises what
    the kernel raises, `LoadError` for a `run.py` that does not load, `SpecError` for an `operator.json` that does not
    hold or parameters that do not fit it, `InputError` for a message that the operator has no port for.
    """
    messages = [message] if isinstance(message, BytesMessage) else list(message or ())
    with Operator(
        operator,
        parameters,
        mounts=mounts,
        outputs=outputs,
        attempt=attempt,
        state=state,
        position=position,
        side_inputs=side_inputs,
    ) as started:
        results: list[BytesMessage] = []
        if not messages and (started.source or not finish):
            results += started.produce(limit)
        for given in messages:
            results += started.handle(given, limit)
        if finish:
            results += started.finish()
        return results


def update(operator: Target, parameters: Mapping[str, Any] | None = None, **mounts: str | Path) -> Any:
    """The value that a side input gives, as others find it. Raises what it raises."""
    with Operator(operator, parameters, mounts=mounts) as started:
        return started.update()


class Operator:
    """One operator, started: a context manager, for tests that call it more than once.

    While it is open, its folder can be imported from and its mounts are in the data directory; afterwards both are
    as before. `kernel` is its function with what is known of it, `spec` its `operator.json` (None for a function
    that has none), `context` what the kernel is given.

    A reducer tells its windows as messages are handled, with `tick` as time passes, by `clock` in seconds, and the
    rest at the `finish`.
    """

    kernel: Kernel

    def __init__(
        self,
        operator: Target,
        parameters: Mapping[str, Any] | None = None,
        *,
        mounts: Mapping[str, str | Path] | None = None,
        outputs: Path | None = None,
        attempt: int = 1,
        state: dict[str, Any] | None = None,
        position: Any = None,
        side_inputs: Mapping[str, Any] | None = None,
        init_data: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        own_folder: Path | None = None,
    ) -> None:
        self._target = operator
        self.folder = folder_of(operator)
        self.spec = spec_in(self.folder)
        rules = rules_in(os.environ)
        self.parameters, self._mounts = split_mounts(self.spec, dict(parameters or {}), dict(mounts or {}), rules)
        self.context = Context(operator=self.folder.name, attempt=attempt)
        self.context.path_rules = rules
        self.context._state = {} if state is None else state
        self.context._position = position if isinstance(position, int) else 0
        self.context.reading = position, 0
        self.context.init_data = dict(self.parameters if init_data is None else init_data)
        if self.spec is not None:
            self.context.init_data = with_mapped_values(self.spec, self.context.init_data, rules)
        self.set_side_inputs(side_inputs or {})
        self._outputs = outputs
        self._own_folder = own_folder
        self._count = 0
        self._clock = clock
        self._rehearsal: Rehearsal | None = None
        self._dependencies: Dependencies | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = self._own_folder or new_folder()
            stack.callback(clear_away, folder)
            self.context.outputs = folder / "outputs" if self._outputs is None else self._outputs
            stack.enter_context(outputs_folder(self.context.outputs))
            self.context.work = folder / WORK
            self.context.work.mkdir()
            stack.enter_context(data_directory(folder / "data", self._mounts))
            stack.enter_context(own_imports(self.folder))
            self.kernel = kernel_at(self._target)
            self._caller = self._calling(self.kernel)
            stack.callback(self._caller.close)
            if self.kernel.reduction is not None:
                windows = self._calling(self.kernel.reduction.kernel)
                stack.callback(windows.close)
                self._rehearsal = Rehearsal(self.kernel.reduction, windows, self.parameters, self._clock)
            self._dependencies = dependencies = Dependencies(self.kernel, self.context)
            stack.callback(self.tear_down)
            dependencies.set_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def source(self) -> bool:
        """Whether it has no input ports; a function without a spec is one that does not take `inputs`."""
        if self.kernel.updates:
            return False
        return "inputs" not in self.kernel.takes if self.spec is None else not self.spec.inputs

    def set_side_inputs(self, values: Mapping[str, Any]) -> None:
        """What the kernel finds from now on. Raises `InputError` for what the operator does not declare."""
        declared = values if self.spec is None else [entry.name for entry in self.spec.side_inputs]
        unknown = [name for name in values if name not in declared]
        if unknown:
            names = ", ".join(declared) or "none"
            raise InputError(f"there is no side input {unknown[0]!r} in {self.folder.name}; side inputs: {names}")
        self.context.side_inputs.update({name: unpack_value(pack_value(value)) for name, value in values.items()})

    def update(self) -> Any:
        """The value that a side input gives; None where it keeps the one before. Raises `InputError` for others."""
        if not self.kernel.updates:
            raise InputError(f"{self.folder.name} is not a side input: it gives messages, and no value")
        value = self._caller.invoke(None, self.parameters)
        return None if value is None else unpack_value(pack_value(value))

    def pull(self, trigger: str) -> list[BytesMessage]:
        """What the kernel makes when somebody pulls a trigger: once, or until nothing comes, as `operator.json` says.

        Raises `InputError` where that lists no such trigger.
        """
        found = None if self.spec is None else next((t for t in self.spec.triggers if t.name == trigger), None)
        if self.spec is not None and found is None:
            names = ", ".join(one.name for one in self.spec.triggers) or "none"
            raise InputError(f"there is no trigger {trigger!r} in {self.folder.name}; triggers: {names}")
        results: list[BytesMessage] = []
        self.context.trigger, self.context._message = trigger, None
        try:
            while made := list(self._results(self._caller, None)):
                results += made
                if found is None or found.mode == "single":
                    break
        finally:
            self.context.trigger = None
        return results

    def handle(self, message: BytesMessage, limit: int | None = None) -> list[BytesMessage]:
        """What the kernel makes of one message; of what a generator yields, up to `limit` messages."""
        given = _travelled(message, self.input_port(message), message.id or f"case.{self._count}")
        self._count += 1
        self.context._message = given
        if self._rehearsal is not None:
            return list(islice(map(_sent, self._rehearsal.handle(given)), limit))
        return list(islice(self._results(self._caller, given), limit))

    def handle_batch(self, messages: Sequence[BytesMessage]) -> list[list[BytesMessage] | Exception]:
        """What a batch kernel makes of these messages in one call: of each its results, or the error that fails it.

        Raises what the call raises, and `InputError` where the operator takes one message at a time.
        """
        batching = self.kernel.batching
        if batching is None:
            raise InputError(f"{self.folder.name} takes one message at a time: give it them with handle")
        given = [
            _travelled(message, self.input_port(message), message.id or f"case.{self._count + number}")
            for number, message in enumerate(messages)
        ]
        self._count += len(given)
        caller = self._calling(batching.kernel)
        self.context._attempts = [self.context.attempt] * len(given)
        try:
            returned = caller.invoke(given, self.parameters)  # type: ignore[arg-type]
            results = paired(given, list(returned) if batching.kernel.generator else returned,
                             generator=batching.kernel.generator)  # fmt: skip
            return [self._outcome(caller, result) for result in results]
        finally:
            self.context._attempts = []
            caller.close()

    def _outcome(self, caller: Caller, result: Any) -> list[BytesMessage] | Exception:
        if isinstance(result, Exception):
            return result
        try:
            return [_sent(message) for message in caller.checked(result)]
        except Exception as error:
            return error

    def give(self, message: BytesMessage | None) -> Iterator[BytesMessage]:
        """What the kernel makes of one message, as it makes it; nothing passes through the wire format."""
        self.context._message = message
        yield from self._made(self._caller, message)

    def invoke(self, message: BytesMessage | None, parameters: Any) -> Any:
        """What one call of the kernel returns, as it is."""
        self.context._message = message
        return self._caller.invoke(message, parameters)

    def messages(self, result: Any) -> Iterable[BytesMessage]:
        """The messages in what `invoke` has returned."""
        return self._caller.messages(result)

    def cancel(self) -> None:
        """What goes on is to end at once: an operator that is a class is told; may be called from a signal handler."""
        if self._dependencies is not None:
            self._dependencies.cancel()

    def tear_down(self) -> int:
        """What the end of the block does first. Returns how much of it failed, which is logged."""
        return 0 if self._dependencies is None else self._dependencies.tear_down()

    def produce(self, limit: int | None = None) -> list[BytesMessage]:
        """What a source sends, up to `limit` messages.

        A generator is run to its end; a function is called until it returns None, once where there is no limit. One
        that reads is read from its position until it has nothing, and told to where it was read.
        """
        if self.spec is not None and self.spec.inputs:
            names = ", ".join(port.name for port in self.spec.inputs)
            raise InputError(f"{self.folder.name} is not a source: give it a message for its input ({names})")
        if self.kernel.updates:
            raise InputError(f"{self.folder.name} is a side input: it gives a value, and no messages")
        if self.kernel.reads:
            read = read_through(self._caller, self.parameters, limit)
            return [_sent(message) for message in self._transformed(self._caller, read)]
        if self.kernel.generator or limit is None:
            return list(islice(self._results(self._caller, None), limit))
        results: list[BytesMessage] = []
        while len(results) < limit:
            new = list(self._results(self._caller, None))
            if not new:
                break
            results += new
        return results[:limit]

    def tick(self) -> list[BytesMessage]:
        """What a reducer tells because time has passed on the clock."""
        return [] if self._rehearsal is None else [_sent(message) for message in self._rehearsal.due()]

    def finish(self) -> list[BytesMessage]:
        """What the function for the end of the stream makes. Raises `InputError` where the operator has none."""
        if self._rehearsal is not None:
            return [_sent(message) for message in self._rehearsal.end()]
        if self.kernel.finish is None:
            raise InputError(f"{self.folder.name} does nothing at the end of the stream; give it @operator(finish=…)")
        self.context._message = None
        caller = self._calling(self.kernel.finish)
        try:
            return list(self._results(caller, None))
        finally:
            caller.close()

    def _calling(self, kernel: Kernel) -> Caller:
        timeout = None if self.spec is None else self.spec.timeout
        return Caller(kernel, self.context, self._ports(), timeout)

    def _ports(self) -> tuple[str, ...]:
        return _EveryPort() if self.spec is None else tuple(port.name for port in self.spec.outputs)

    def _results(self, caller: Caller, message: BytesMessage | None) -> Iterator[BytesMessage]:
        return map(_sent, self._made(caller, message))

    def _made(self, caller: Caller, message: BytesMessage | None) -> Iterator[BytesMessage]:
        """What the kernel makes, as it makes it; of a source, what is sent of that."""
        made = caller.call(message, self.parameters)
        for item in [made] if isinstance(made, list) else made:
            yield from self._transformed(caller, caller.checked(item))

    def _transformed(self, caller: Caller, messages: list[BytesMessage]) -> list[BytesMessage]:
        transform = transforming(caller)
        return messages if transform is None else transformed(messages, transform, self.parameters)

    def input_port(self, message: BytesMessage) -> str | None:
        """The port that a message goes to. Raises `InputError` where nothing says which, or there is none such."""
        if self.spec is None:
            return message.port or message.target
        names = [port.name for port in self.spec.inputs]
        if message.port is None and len(names) == 1:
            return names[0]  # also for what another operator addressed to an output port of its own
        given = message.port or message.target
        if given in names:
            return given
        known = ", ".join(names) or "none: it is a source"
        if given is None:
            raise InputError(f'say which port the message is for: message.to(port), in a case "port"; ports: {known}')
        raise InputError(f"there is no input port {given!r} in {self.folder.name}; ports: {known}")


class _EveryPort(tuple[str, ...]):
    """The ports of a function without a spec: nothing says which there are."""

    __slots__ = ()

    def __contains__(self, _: object) -> bool:
        return True


def _sent(message: BytesMessage) -> BytesMessage:
    sent = _travelled(message, None, None)
    sent.target = message.target
    return sent


def _travelled(message: BytesMessage, port: str | None, message_id: str | None) -> BytesMessage:
    """The message as it arrives at the other end of an edge. Raises `WireError` where it cannot travel."""
    [arrived] = wire.decode(wire.encode([wire.pack(message, *file(message_id or ""))]), port).messages
    arrived.id = message_id
    return arrived
