"""`@operator`: how a function becomes an operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from interactem.runtime.classes import Operator
from interactem.runtime.decorating import Function, decorated_source, decorator, is_made_of
from interactem.runtime.errors import KernelError
from interactem.runtime.kernels import KERNEL, Kernel
from interactem.runtime.kinds.batch import batch_kernel
from interactem.runtime.kinds.classes import side_kernel
from interactem.runtime.kinds.forms import of_kind, with_mode
from interactem.runtime.kinds.modes import Mode, refuse
from interactem.runtime.kinds.side_inputs import updating_kernel
from interactem.runtime.kinds.sinks import sinking
from interactem.runtime.kinds.staged import staged_kernel
from interactem.runtime.kinds.transforms import transform_kernel

if TYPE_CHECKING:
    from interactem.runtime.messages import BytesMessage
    from interactem.runtime.windows import Every, Windows

BATCH_SIZE = 64
BATCH_WAIT = 0.05
"""Seconds."""


class OperatorDecorator:
    """Make a function the kernel of an operator, with or without parentheses.

    The function is plain, a coroutine, a generator or an asynchronous generator. It takes `inputs` (a
    `BytesMessage`; None in a source), `parameters` (a dict of natively typed values) and, where its signature names
    them, `context` (a `Context`) and `trigger` (the name of the trigger that somebody pulls, else None), in any order
    and by these names; the first may have any name. It returns a message, a list of messages or None; a generator's
    messages are sent as it yields them.

    A source (no input ports) is a generator that ends when the data does, or a function that is called again and
    again, and more slowly while it returns None. After a restart a source starts at `context.position` where it
    reads that; a generator that does not is run from its beginning, and what was already sent is dropped. Say
    `replayable=False` for one that cannot be run again, such as a camera: its messages then count anew.

    `finish` is a function of the same form without `inputs`, called once at the end of the stream; what it returns
    is sent on.

    In place of a function stands a class made from `Operator`, or an instance of one: its `run` is the kernel then, and
    its method `finish`, if it has one, the function for the end.

    The modes say how many calls go on at once in one replica: `threads` of a plain function, `concurrency` of a
    coroutine, and `processes`, each in a process of its own that imports `run.py`. With `ordered`, results leave in the
    order of their messages nevertheless, and a message that fails is tried again in its place.

    Raises `KernelError` where the function's signature does not fit, or a mode does not go with the kind.
    """

    @overload
    def __call__(self, function: Function, /) -> Function: ...
    @overload
    def __call__(
        self,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        replayable: bool = True,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Callable[[Function], Function]: ...
    def __call__(
        self,
        function: Function | None = None,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        replayable: bool = True,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Function | Callable[[Function], Function]:
        mode = Mode(threads, concurrency, processes, ordered)
        return decorator(function, finish, replayable, lambda kernel: with_mode(kernel, mode))

    @overload
    def map(self, function: Function, /) -> Function: ...
    @overload
    def map(
        self,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Callable[[Function], Function]: ...
    def map(
        self,
        function: Function | None = None,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """What `@operator` makes of a function that returns; raises `KernelError` for a generator."""
        mode = Mode(threads, concurrency, processes, ordered)
        return decorator(function, finish, True, lambda kernel: with_mode(of_kind(kernel, "map"), mode))

    @overload
    def stream(self, function: Function, /) -> Function: ...
    @overload
    def stream(
        self,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        replayable: bool = True,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Callable[[Function], Function]: ...
    def stream(
        self,
        function: Function | None = None,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        replayable: bool = True,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """What `@operator` makes of a generator; raises `KernelError` for a function that returns."""
        mode = Mode(threads, concurrency, processes, ordered)
        return decorator(function, finish, replayable, lambda kernel: with_mode(of_kind(kernel, "stream"), mode))

    @overload
    def batch(self, function: Function, /) -> Function: ...
    @overload
    def batch(
        self,
        /,
        *,
        max_size: int = BATCH_SIZE,
        max_wait: float = BATCH_WAIT,
        finish: Callable[..., Any] | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Callable[[Function], Function]: ...
    def batch(
        self,
        function: Function | None = None,
        /,
        *,
        max_size: int = BATCH_SIZE,
        max_wait: float = BATCH_WAIT,
        finish: Callable[..., Any] | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """Make a function of several messages the kernel.

        It is given a list of up to `max_size` messages, or fewer where the first of them has waited `max_wait` seconds.
        It returns a list with a result for each of them, in order, or returns or yields pairs of a message and its
        result. A result is what a kernel of one message returns; an exception in its place fails that message alone.
        """
        mode = Mode(threads, concurrency, processes, ordered)
        return decorator(
            function, finish, True, lambda kernel: with_mode(batch_kernel(kernel, max_size, max_wait), mode), "batch"
        )

    @overload
    def staged(self, function: Function, /) -> Function: ...
    @overload
    def staged(
        self,
        /,
        *,
        prepare: Callable[..., Any] | None = None,
        output: Callable[..., Any] | None = None,
        finish: Callable[..., Any] | None = None,
        max_concurrency: int = 1,
        prepare_concurrency: int | None = None,
        output_concurrency: int | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
        keep_folders: bool = False,
    ) -> Callable[[Function], Function]: ...
    def staged(
        self,
        function: Function | None = None,
        /,
        *,
        prepare: Callable[..., Any] | None = None,
        output: Callable[..., Any] | None = None,
        finish: Callable[..., Any] | None = None,
        max_concurrency: int = 1,
        prepare_concurrency: int | None = None,
        output_concurrency: int | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
        keep_folders: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """Make three functions the kernel, which work on different messages at once: `prepare`, this one and `output`.

        The first is given the message, the others what the one before has returned; what the last one returns is sent.
        Each may name `parameters` and `context`, and may be a coroutine. `context.folder` is the message's own working
        folder in all three; with `keep_folders` that of a failed attempt stays. `max_concurrency` is how many messages
        this function has at once, and `prepare_concurrency` and `output_concurrency` the same for the other two.

        Where this function names `trigger`, it is called without a value, as None, for each trigger that is pulled.
        """
        numbers = {
            "prepare": max_concurrency if prepare_concurrency is None else prepare_concurrency,
            "process": max_concurrency,
            "output": max_concurrency if output_concurrency is None else output_concurrency,
        }
        functions = {"prepare": prepare, "output": output}
        refuse("staged", {"threads": threads, "concurrency": concurrency, "processes": processes})
        mode = Mode(ordered=ordered)

        def decorate(target: Function) -> Function:
            given = {name: function for name, function in functions.items() if function is not None}
            kernel = staged_kernel(target, given, numbers, mode, finish=finish, keep_folders=keep_folders)
            setattr(target, KERNEL, kernel)
            return target

        return decorate if function is None else decorate(function)

    @overload
    def source(self, function: Function, /) -> Function: ...
    @overload
    def source(
        self,
        /,
        *,
        ack: Callable[..., Any] | None = None,
        transform: Callable[..., Any] | None = None,
        finish: Callable[..., Any] | None = None,
        replayable: bool = True,
    ) -> Callable[[Function], Function]: ...
    def source(
        self,
        function: Function | None = None,
        /,
        *,
        ack: Callable[..., Any] | None = None,
        transform: Callable[..., Any] | None = None,
        finish: Callable[..., Any] | None = None,
        replayable: bool = True,
        **unfit: object,
    ) -> Function | Callable[[Function], Function]:
        """Make a source: of a generator or a function as with `@operator`, or of what reads from positions.

        The latter is a class made from `Source`, an instance of one, or a function with an argument `position`, which
        is then what `Source.read` is; `ack` is its `Source.ack`. Raises `KernelError` where that does not fit.

        Each message goes through `transform` before it is sent: a plain function of a message and, by these names,
        `parameters` and `context`. It returns the message, with an event time or keys in its meta, or None for one that
        is not sent. A position counts either way.
        """
        refuse("source", unfit)

        def decorate(function: Function) -> Function:
            decorated_source(function, ack, finish, replayable)
            if transform is not None:
                made: Kernel = getattr(function, KERNEL)
                if made.transform is not None:
                    raise KernelError("a class has a method transform; it is not given one")
                setattr(function, KERNEL, replace(made, transform=transform_kernel(transform)))
            return function

        return decorate if function is None else decorate(function)

    @overload
    def sink(self, function: Function, /) -> Function: ...
    @overload
    def sink(
        self,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Callable[[Function], Function]: ...
    def sink(
        self,
        function: Function | None = None,
        /,
        *,
        finish: Callable[..., Any] | None = None,
        threads: int = 0,
        concurrency: int = 0,
        processes: int = 0,
        ordered: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """Make a sink: a function, or a class made from `Sink`, that says what became of each message.

        It returns None where all is well, `Failed(why)` for a message to be tried again, and `message.to(port)` for one
        that goes to a fallback, an output port that is marked so in `operator.json`. Raises `KernelError` for what
        yields.
        """

        mode = Mode(threads, concurrency, processes, ordered)
        return decorator(function, finish, True, lambda kernel: with_mode(sinking(kernel), mode))

    @overload
    def reduce(self, function: Function, /) -> Function: ...
    @overload
    def reduce(
        self,
        /,
        *,
        window: Windows | None = None,
        key: str | Callable[[BytesMessage], Any] | None = None,
        event_time: str | Callable[[BytesMessage], Any] = "meta.time",
        lateness: float = 0.0,
        late: str = "drop",
        early: Every | None = None,
        patience: float = 10.0,
        idle: float | None = None,
    ) -> Callable[[Function], Function]: ...
    def reduce(
        self,
        function: Function | None = None,
        /,
        *,
        window: Windows | None = None,
        key: str | Callable[[BytesMessage], Any] | None = None,
        event_time: str | Callable[[BytesMessage], Any] = "meta.time",
        lateness: float = 0.0,
        late: str = "drop",
        early: Every | None = None,
        patience: float = 10.0,
        idle: float | None = None,
        **unfit: object,
    ) -> Function | Callable[[Function], Function]:
        """Make a function the kernel of a reducer: it is called with all messages of one key and window.

        The function takes `messages`, an iterator over them in the order of their event times, and of `key`, `window`
        (a `Window` with `start` and `end`), `parameters` and `context` what it needs, by these names. What it returns
        or yields is sent on, as from every other kernel. In its place stands a class made from `Reduce`, or an
        instance of one: its `run` is the kernel.

        `window` is `Fixed(seconds)`, `Sliding(size, every)`, `Session(gap)` or None, the whole stream, which needs no
        event time. `key` says what belongs together: a path in the meta such as "meta.host", a function of a message,
        or None for all. Any hashable value is a key, and `1`, `1.0`, `True` and `"1"` are four.

        `event_time` says when what a message is about has happened, in seconds since 1970 (UTC): a path or a function.
        A window is called up when the watermark passes its end, and at the end of the stream. The watermark is the
        latest event time that a source has come to, less `lateness` in seconds; of several sources the least counts.
        What has been overtaken on its way, in another replica or a retry, is waited for, `patience` seconds at most. A
        source that has sent nothing for `idle` seconds is not waited for; by default it is.

        A message whose windows are all closed is late: it is counted (`late_messages`) and dropped, or sent on to the
        output port that `late` names. With `early`, what a window has come to so far is told too, `Every(count=…)`
        messages or `Every(seconds=…)`: all results then have a `revision` in their meta, from 1, and `final`.

        Raises `KernelError` where something does not fit; no mode does.
        """
        from interactem.runtime.kinds.reduce.reduction import reduce_kernel  # others do not pay for it

        refuse("reduce", unfit)

        def decorate(function: Function) -> Function:
            kernel = reduce_kernel(
                function,
                window=window,
                key=key,
                event_time_of=event_time,
                lateness=lateness,
                late=late,
                early=early,
                patience=patience,
                idle=idle,
            )
            setattr(function, KERNEL, kernel)
            return function

        return decorate if function is None else decorate(function)

    @overload
    def side_input(self, function: Function, /) -> Function: ...
    @overload
    def side_input(self, /, *, every: float | None = None) -> Callable[[Function], Function]: ...
    def side_input(
        self, function: Function | None = None, /, *, every: float | None = None, **unfit: object
    ) -> Function | Callable[[Function], Function]:
        """Make a side input: a function, or a class made from `SideInput`, that is called every so many seconds.

        The value that it returns is in `context.side_inputs` of the operators that name it, until there is another one.
        It takes `parameters` and `context`, or nothing. `every` comes before what `operator.json` says. Raises
        `KernelError`.
        """
        refuse("side input", unfit)

        def decorate(function: Function) -> Function:
            target: Any = function
            make = side_kernel if is_made_of(function, Operator) else updating_kernel
            setattr(function, KERNEL, make(target, every))
            return function

        return decorate if function is None else decorate(function)


operator = OperatorDecorator()
