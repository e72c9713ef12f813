"""`AsyncOperator`: one instance, one event loop, started before the first message and shut down after the last."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from interactem.core.models.messages import BytesMessage
from interactem.core.nats.publish import publish_image
from interactem.operators.operator import AsyncOperator
from interactem.runtime.errors import KernelError, LoadError, SettingsError, SetUpError
from interactem.runtime.testing import Operator, call

RUN = """
import asyncio
from interactem.core.models.messages import BytesMessage
from interactem.operators.operator import AsyncOperator, dependencies

log = []

@dependencies
def around():
    log.append("dependencies up")
    yield
    log.append("dependencies down")

class Base(AsyncOperator):
    async def kernel(self, inputs, parameters):
        return BytesMessage(data=inputs.data + b" of the base")

class Counter(Base):
    def __init__(self):
        super().__init__()
        self.count = 0

    async def start(self):
        log.append("start")
        self.task = asyncio.create_task(self.tick())
        await super().start()
        log.append("start is over")

    async def tick(self):
        while True:
            self.count += 1
            await asyncio.sleep(0)

    async def kernel(self, inputs, parameters, trigger=None):
        before = self.count
        while self.count == before:
            await asyncio.sleep(0)
        log.append(inputs.data.decode())
        return BytesMessage(data=inputs.data * parameters["times"])

    async def shutdown(self):
        self.task.cancel()
        log.append("shutdown")
        await super().shutdown()

async def main():
    await Counter().start()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path):
    def make(run):
        (tmp_path / "run.py").write_text(run)
        return tmp_path

    return make


def data(results):
    return [bytes(result.data) for result in results]


def test_its_life_is_in_order(folder):
    with Operator(folder(RUN), {"times": 2}) as started:
        log = __import__("sys").modules["run"].log
        assert log == ["dependencies up", "start"]
        assert data(started.handle(BytesMessage(data=b"a"))) == [b"aa"]
        assert data(started.handle(BytesMessage(data=b"b"))) == [b"bb"]
    assert log == ["dependencies up", "start", "a", "b", "shutdown", "start is over", "dependencies down"]


class Stateful(AsyncOperator):
    async def kernel(self, inputs, parameters):
        self.count = getattr(self, "count", 0) + 1
        return BytesMessage(data=str(self.count).encode())


def test_a_class_can_be_called_in_a_test_and_each_start_has_an_instance_of_its_own():
    message = BytesMessage(data=b"1")
    assert data(call(Stateful, [message, message, message])) == [b"1", b"2", b"3"]
    assert data(call(Stateful, message)) == [b"1"]


class Showing(AsyncOperator):
    async def kernel(self, inputs, parameters):
        await publish_image(self.js, inputs.data, self.info.canonical_id)
        return BytesMessage(data=f"{self.nc} {self.js.latest['image'].decode()} {self.info.name}".encode())


def test_without_a_broker_its_results_are_kept_for_the_test():
    assert data(call(Showing, BytesMessage(data=b"picture"))) == [b"None picture compat"]


class Known(AsyncOperator):
    async def kernel(self, inputs, parameters):
        return BytesMessage(data=f"{self.info.id}/{self.info.canonical_id}".encode())


def test_it_knows_who_it_is():
    ids = []
    for replica in (0, 1):
        with Operator(Known) as started:
            # the next start takes it up
            started.context.replica = replica
            ids.append(data(started.handle(BytesMessage(data=b"")))[0].decode().split("/"))
    assert {UUID(one).version for pair in ids for one in pair} == {5}
    assert ids[0][1] == ids[1][1]


class Eager(AsyncOperator):
    """Its `start` does not call the one of its base."""

    log: list[str] = []  # noqa: RUF012 - the test reads it

    async def start(self):
        self.log.append("start")

    async def kernel(self, inputs, parameters):
        self.log.append("kernel")

    async def shutdown(self):
        self.log.append("shutdown")


def test_a_start_that_returns_is_enough():
    Eager.log.clear()
    call(Eager, BytesMessage(data=b"1"))
    assert Eager.log == ["start", "kernel", "shutdown"]


class Unwilling(AsyncOperator):
    async def start(self):
        raise OSError("no camera")

    async def kernel(self, inputs, parameters):
        return inputs


def test_a_start_that_raises_is_a_set_up_that_failed():
    with pytest.raises(SetUpError, match=r"^Unwilling\.start: its set-up failed: OSError: no camera$"):
        call(Unwilling, BytesMessage(data=b"1"))


class Dying(AsyncOperator):
    async def start(self):
        self.unplugged = asyncio.Event()
        self._life.serves.set()  # as the base's does
        await self.unplugged.wait()
        raise OSError("the camera was unplugged")

    async def kernel(self, inputs, parameters):
        self.unplugged.set()
        await asyncio.sleep(0)


def test_what_ends_its_start_later_fails_the_messages(caplog):
    with Operator(Dying) as started:
        started.handle(BytesMessage(data=b"1"))
        with pytest.raises(OSError, match="the camera was unplugged"):
            started.handle(BytesMessage(data=b"2"))
    assert "Dying.start: its tear-down failed" in caplog.text


class Failing(AsyncOperator):
    async def kernel(self, inputs, parameters):
        return None

    async def shutdown(self):
        raise OSError("it hangs")


def test_a_shutdown_that_raises_is_logged(caplog):
    assert call(Failing, BytesMessage(data=b"1")) == []
    assert "OSError: it hangs" in caplog.text


def test_a_kernel_that_is_no_coroutine_is_refused():
    with pytest.raises(KernelError, match=r"Plain\.kernel is not a coroutine: write async def kernel"):

        class Plain(AsyncOperator):
            def kernel(self, inputs, parameters):
                return inputs


def test_started_by_itself_it_says_who_starts_it():
    with pytest.raises(SettingsError, match=r"Stateful is started by the runtime.*interactem pipeline run"):
        asyncio.run(Stateful().start())


def test_two_classes_of_which_none_is_the_others_base_are_too_many(folder):
    second = "class Other(AsyncOperator):\n    async def kernel(self, inputs, parameters):\n        return inputs\n"
    with pytest.raises(LoadError, match=r"several operators in it \(Counter, Other\)"):
        call(folder(RUN + second), BytesMessage(data=b"1"))


def test_a_base_alone_is_no_operator(folder):
    run = "from interactem.operators.operator import AsyncOperator\n\nclass Base(AsyncOperator):\n    pass\n"
    with pytest.raises(LoadError, match="there is no operator in it"):
        call(folder(run), BytesMessage(data=b"1"))
