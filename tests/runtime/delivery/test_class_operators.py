"""Operators that are classes, as replicas: their lifecycle stands around the deliveries, also of those that fail."""

from __future__ import annotations

import pytest
from delivery_harness import Collected, message, node, numbers, sink, source

from interactem.runtime import Operator, operator
from interactem.runtime.errors import SetUpError


def chain(flow, kernel, count=5, **options):
    out = Collected()
    made = flow({"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}, ["s > m", "m > k"])
    return made, out


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_steps_stand_around_the_messages(flow, asynchronous):
    log = []

    class Base(Operator):
        def stop(self):
            log.append("stop")

        def cleanup(self):
            log.append("cleanup")

    class Plain(Base):
        def start(self):
            log.append("start")

        def run(self, inputs):
            log.append(int(inputs.data))
            return inputs

        def finish(self, parameters):
            log.append("finish")

    class Coroutines(Base):
        async def start(self):
            log.append("start")

        async def run(self, inputs):
            log.append(int(inputs.data))
            yield inputs

        async def finish(self, parameters):
            log.append("finish")

    made, out = chain(flow, operator(Coroutines if asynchronous else Plain), count=3)
    made.run()
    assert log == ["start", 0, 1, 2, "finish", "stop", "cleanup"]
    assert out.ints == [0, 1, 2]


def test_a_run_that_fails_is_tried_again_on_the_same_instance(flow):
    made_instances = []

    @operator
    class Flaky(Operator):
        def start(self):
            made_instances.append(self)
            self.failed = False

        def run(self, inputs, context):
            context.state["sum"] = context.state.get("sum", 0) + int(inputs.data)
            if inputs.data == b"1" and not self.failed:
                self.failed = True
                raise ValueError("once")

        def finish(self, context):
            return message(str(context.state["sum"]).encode())

    made, out = chain(flow, Flaky, count=4)
    made.run()
    assert out.ints == [6]
    assert len(made_instances) == 1


def test_a_start_that_fails_is_cleaned_up_and_ends_the_replica(flow):
    log = []

    @operator
    class Failing(Operator):
        def start(self):
            log.append("start")
            raise OSError("no licence")

        def run(self, inputs):
            return inputs

        def cleanup(self):
            log.append("cleanup")

    made, _ = chain(flow, Failing, count=2)
    first = made.start("m")
    first.join()
    assert isinstance(first.error, SetUpError)
    assert str(first.error) == "Failing.start: its set-up failed: OSError: no licence"
    assert log == ["start", "cleanup"]
