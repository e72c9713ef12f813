"""Operators that are classes: made, started, called, stopped and cleaned up."""

from __future__ import annotations

import asyncio

import pytest

from interactem.runtime import BytesMessage, Operator, operator
from interactem.runtime.dependencies import Dependencies
from interactem.runtime.errors import KernelError, LifecycleError, LoadError, ParametersError, SetUpError
from interactem.runtime.loading import load
from interactem.runtime.testing import Operator as Started
from interactem.runtime.testing import call

STEPS = []


@operator
class Plain(Operator):
    def start(self):
        STEPS.append(("start", self.init_data))

    def run(self, run_data, inputs):
        STEPS.append(("run", run_data))
        return BytesMessage(data=bytes(inputs.data).upper())

    def stop(self):
        STEPS.append("stop")

    def cleanup(self):
        STEPS.append("cleanup")


@operator
class Coroutines(Operator):
    async def start(self):
        self.queue = asyncio.Queue()
        self.task = asyncio.create_task(self.feed())

    async def feed(self):
        await self.queue.put(b"from a task")

    async def run(self, inputs):
        yield BytesMessage(data=await self.queue.get())
        yield BytesMessage(data=inputs.data)

    async def stop(self):
        await self.task
        STEPS.append("stop")


class Scale(Operator):
    def __init__(self, factor):
        self.factor = factor

    def run(self, inputs):
        return BytesMessage(data=bytes(inputs.data) * self.factor)


twice = operator(Scale(2))


@pytest.fixture(autouse=True)
def no_steps():
    STEPS.clear()


def test_the_steps_come_in_their_order():
    message = BytesMessage(data=b"a")
    message.header.meta = {"n": 1}
    with Started(Plain, init_data={"scene": "one"}) as started:
        assert [m.data for m in started.handle(message)] == [b"A"]
        assert [m.data for m in started.handle(BytesMessage(data=b"b"))] == [b"B"]
    assert STEPS == [("start", {"scene": "one"}), ("run", {"n": 1}), ("run", {}), "stop", "cleanup"]


def test_without_init_data_the_parameters_are_it():
    call(Plain, BytesMessage(), {"level": 2})
    assert STEPS[0] == ("start", {"level": 2})


def test_coroutines_share_a_loop_that_goes_on_between_calls():
    with Started(Coroutines) as started:
        assert [m.data for m in started.handle(BytesMessage(data=b"x"))] == [b"from a task", b"x"]
    assert STEPS == ["stop"]


def test_an_instance_is_used_as_it_was_made():
    assert [m.data for m in call(twice, BytesMessage(data=b"ab"))] == [b"abab"]


def test_each_start_makes_an_instance_of_its_own():
    with Started(Plain) as one, Started(Plain) as two:
        assert one.context.lifecycle.operator is not two.context.lifecycle.operator


@pytest.mark.parametrize("asynchronous", [False, True])
def test_cleanup_follows_a_start_that_fails(asynchronous):
    class Failing(Operator):
        def run(self, inputs): ...

        def stop(self):
            STEPS.append("stop")

        def cleanup(self):
            STEPS.append("cleanup")

    def start(self):
        raise OSError("no licence")

    async def start_later(self):
        start(self)

    Failing.start = start_later if asynchronous else start
    with pytest.raises(SetUpError, match=r"Failing.start: its set-up failed: OSError: no licence"):
        call(operator(Failing), BytesMessage())
    assert STEPS == ["cleanup"]


def test_cleanup_follows_a_stop_that_fails_and_all_of_it_is_told(caplog):
    @operator
    class Failing(Plain):
        def stop(self):
            raise OSError("gone")

        def cleanup(self):
            STEPS.append("cleanup")
            raise ValueError("half")

    with Started(Failing) as started:
        dependencies = Dependencies(started.kernel, started.context)
        assert dependencies.tear_down() == 2
    assert STEPS[-1] == "cleanup"
    assert ["Failing.stop failed", "Failing.cleanup failed"] == [record.getMessage() for record in caplog.records]


def test_the_order_is_enforced():
    with Started(Plain) as started:
        with pytest.raises(LifecycleError, match="start is not possible: the operator is started"):
            started.context.lifecycle.start()
        started.context.lifecycle.stop()
        with pytest.raises(LifecycleError, match="run is not possible: the operator is stopped"):
            started.handle(BytesMessage())
    assert STEPS[-2:] == ["stop", "cleanup"]


def test_cancel_comes_while_a_step_goes_on():
    @operator
    class Cancelled(Operator):
        given_up = False

        def run(self, inputs, context):
            Dependencies(CANCELLED, context).cancel()  # as a signal would
            return BytesMessage(data=b"given up" if self.given_up else b"")

        def cancel(self):
            self.given_up = True

    with Started(Cancelled) as started:
        CANCELLED = started.kernel
        assert [m.data for m in started.handle(BytesMessage())] == [b"given up"]


def test_a_method_finish_is_called_at_the_end():
    @operator
    class Count(Operator):
        def start(self):
            self.count = 0

        def run(self, inputs):
            self.count += 1

        def finish(self, parameters):
            return BytesMessage(data=str(self.count).encode())

    assert [m.data for m in call(Count, [BytesMessage(), BytesMessage()], finish=True)] == [b"2"]


def test_what_is_no_class_operator_is_told():
    with pytest.raises(KernelError, match=r"give an instance: step = operator\(Scale"):
        operator(Scale)
    with pytest.raises(KernelError, match=r"make the class from interactem\.runtime\.Operator"):

        @operator
        class Foreign:
            def run(self, inputs): ...

    with pytest.raises(KernelError, match="has a method run"):

        @operator
        class Empty(Operator): ...

    with pytest.raises(KernelError, match="unknown argument 'second'"):

        @operator
        class Two(Operator):
            def run(self, first, second): ...


RUN = """
from interactem.runtime import Operator, operator

class Base(Operator):
    def run(self, inputs):
        return inputs
"""


def test_the_one_class_under_the_decorator_is_found(tmp_path):
    run = tmp_path / "run.py"
    run.write_text(RUN + "\n@operator\nclass Step(Base):\n    pass\n")
    assert load(run).function.__name__ == "Step"
    run.write_text(RUN)
    with pytest.raises(LoadError, match="put @operator above the function, or the class"):
        load(run)


PYDANTIC = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pydantic import BaseModel, Field
from interactem.runtime import BytesMessage, operator
if TYPE_CHECKING:
    from elsewhere import Message

class Settings(BaseModel):
    level: float = Field(ge=0)
    mode: str = "fast"

@operator
def kernel(inputs: Message, parameters: Settings):
    return BytesMessage(data=f"{parameters.level} {parameters.mode}".encode())
"""


def test_parameters_come_as_the_class_that_they_are_annotated_with(tmp_path):
    (tmp_path / "run.py").write_text(PYDANTIC)
    assert [m.data for m in call(tmp_path, BytesMessage(), {"level": "2.5"})] == [b"2.5 fast"]
    with pytest.raises(ParametersError, match=r"do not fit Settings: level: Input should be greater than or equal"):
        call(tmp_path, BytesMessage(), {"level": -1})


def test_a_value_that_does_not_fit_is_refused_and_the_old_one_stays(tmp_path, caplog):
    (tmp_path / "run.py").write_text(PYDANTIC)
    with Started(tmp_path, {"level": 1}) as started:
        seen = []
        for level in (1, -1, 3):
            started.parameters["level"] = level
            seen += [m.data for m in started.handle(BytesMessage())]
    assert seen == [b"1.0 fast", b"1.0 fast", b"3.0 fast"]
    assert len(caplog.records) == 1
