"""`AsyncOperator`: an operator as a class, in interactEM's form, and how the runtime carries it."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from nats.aio.client import Client

from interactem.core.nats.results import MemoryResults, RunResults
from interactem.operators.kernels import kernel_of
from interactem.runtime import BytesMessage, Context
from interactem.runtime.connections import connect
from interactem.runtime.errors import KernelError, SettingsError
from interactem.runtime.kernels import KERNEL, Kernel
from interactem.runtime.settings import Settings
from interactem.runtime.subjects import Names

__all__ = ["AsyncOperator", "OperatorInfo"]


@dataclass(frozen=True, slots=True)
class OperatorInfo:
    """Who an operator is: `canonical_id` is that of its place in the pipeline in every run, `id` this replica's."""

    id: UUID
    canonical_id: UUID
    name: str

    @classmethod
    def of(cls, context: Context) -> Self:
        here = f"interactem:{context.run}/{context.operator}/{context.replica}"
        return cls(uuid5(NAMESPACE_URL, here), uuid5(NAMESPACE_URL, f"interactem:{context.operator}"), context.operator)


class _Life:
    """What an operator and the runtime tell each other."""

    def __init__(self) -> None:
        self.serves = asyncio.Event()
        self.ends = asyncio.Event()


class AsyncOperator:
    """The base of operators that are classes: override `kernel`, and `start` and `shutdown` where they are needed.

    There is one instance for a replica, made by the runtime, and all of it runs in one event loop. `start` is called
    once before the first call of `kernel`; the one of this class, which an override calls last, returns at the end of
    the replica, after `shutdown`. Before `start`, `info` says who it is, and `js` and `nc` are JetStream and the
    connection to the run's broker; in a test in memory `js` keeps what is published, and `nc` is None.
    """

    nc: Client | None = None
    js: RunResults | MemoryResults | None = None
    info: OperatorInfo | None = None
    _life: _Life

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.kernel is AsyncOperator.kernel:
            return  # an operator's base
        if not inspect.iscoroutinefunction(cls.kernel):
            raise KernelError(f"{cls.__name__}.kernel is not a coroutine: write async def kernel")
        setattr(cls, KERNEL, _kernel(cls))

    async def start(self) -> None:
        """Serve until the end, then shut down."""
        if self.info is None:
            advice = "run the pipeline that it is in: interactem pipeline run"
            raise SettingsError(f"{type(self).__name__} is started by the runtime, not by itself; {advice}")
        self._life.serves.set()
        await self._life.ends.wait()
        await self.shutdown()

    async def shutdown(self) -> None:
        """Called once, after the last call of `kernel`; the connection closes."""
        if self.nc is not None:
            await self.nc.close()

    async def kernel(self, inputs: BytesMessage | None, parameters: dict[str, Any]) -> BytesMessage | None:
        """What the operator makes of a message. A source gets None, again and again."""
        raise NotImplementedError

    async def _connect(self, context: Context) -> None:
        self._life = _Life()
        self.info = OperatorInfo.of(context)
        if "INTERACTEM_BROKER" not in os.environ:  # a test in memory
            self.js = MemoryResults()
            return
        settings = Settings.read(os.environ)
        self.nc = await connect(settings.address, f"{settings.run} {context.operator}.{context.replica} js")
        self.js = RunResults(self.nc, Names(settings.run), settings.operator, settings.replica)


class _Hosted:
    """An instance and the task that its `start` runs in."""

    def __init__(self, operator: AsyncOperator) -> None:
        self.operator = operator
        self._starting = asyncio.create_task(operator.start())

    async def begin(self) -> None:
        """Until it serves, or its `start` has returned. Raises what that raises."""
        served = asyncio.create_task(self.operator._life.serves.wait())
        await asyncio.wait((served, self._starting), return_when=asyncio.FIRST_COMPLETED)
        served.cancel()
        self.check()

    def check(self) -> None:
        """Raises what `start` ended with, if it has."""
        if self._starting.done() and (error := self._starting.exception()) is not None:
            raise error

    async def end(self) -> None:
        by_itself = self._starting.done()
        self.operator._life.ends.set()
        await self._starting
        if by_itself:
            await self.operator.shutdown()


def _kernel(cls: type[AsyncOperator]) -> Kernel:
    hosted: dict[asyncio.AbstractEventLoop, _Hosted] = {}

    async def kernel(inputs: BytesMessage | None, parameters: dict[str, Any], **trigger: str) -> Any:
        here = hosted[asyncio.get_running_loop()]
        here.check()
        return await here.operator.kernel(inputs, parameters, **trigger)

    async def serve(context: Context) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        operator = cls()
        await operator._connect(context)
        try:
            here = hosted[loop] = _Hosted(operator)
            await here.begin()
            yield
            await here.end()
        finally:
            hosted.pop(loop, None)
            if operator.nc is not None:
                await operator.nc.close()

    serve.__name__ = f"{cls.__name__}.start"
    kernel.__name__ = cls.__name__
    signed: Callable[..., Any] = cls.kernel.__get__(object())
    return replace(kernel_of(kernel, signed), dependencies=(serve,), loops=True)
