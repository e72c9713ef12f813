"""Side inputs: the latest value of one operator, found by others without a restart."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from delivery_harness import MEBIBYTE, Collected, message, naming, node, numbers, side_input, sink, source

from interactem.runtime import EndOfStream, SideInput, blobs, operator
from interactem.runtime.errors import KeptValueError, KernelError
from interactem.runtime.replica import SideInputError


def until(enough, out):
    """A source of one message after the other, each once the one before has come, until there is `enough`."""

    @operator.source
    def read(position, most):
        begin = position or 0
        if len(out.messages) < begin:
            return []
        if begin and enough():
            raise EndOfStream
        return [(message(str(begin).encode()), begin + 1)]

    return read


@operator
def tell(inputs, parameters, context):
    value = context.side_inputs["calibration"]
    return message(inputs.data, calibration=value if isinstance(value, int) else int(value.sum()))


def calibrations(out):
    return [m.meta["calibration"] for m in out.messages]


def nodes(calibrate, reader, out, **options):
    side = side_input(calibrate, every=options.pop("every", 60.0))
    return {"c": side, "s": source(reader), "m": naming(node(tell), calibration="c", **options), "k": sink(out)}


EDGES = ["s > m", "m > k"]


def test_updates_arrive_without_a_restart(flow):
    out = Collected()

    @operator.side_input(every=0.01)
    def calibrate():
        return min(3, 1 + max(calibrations(out), default=0))

    flow(nodes(calibrate, until(lambda: calibrations(out)[-1] == 3, out), out), EDGES).run()
    given = calibrations(out)
    assert given == sorted(given)
    assert set(given) == {1, 2, 3}


def test_a_large_value_comes_whole_and_to_a_replica_that_starts_later(flow):
    @operator.side_input
    def calibrate():
        return np.ones(300_000, np.int64)

    out = Collected()
    made = flow(nodes(calibrate, numbers(3), out), EDGES)
    made.start("c")
    made.start("s")
    made.start("k")
    first = made.start("m")
    out.wait(3)
    made.abandon(first)
    made.start("m")
    made.finish()
    assert {m.meta["calibration"] for m in out.messages} == {300_000}


def test_the_values_of_earlier_incarnations_are_removed(flow):
    calls = []
    enough = threading.Event()

    @operator.side_input(every=3600)
    def calibrate():
        calls.append(None)
        return np.full(300_000, len(calls))

    out = Collected()
    made = flow(nodes(calibrate, until(enough.is_set, out), out), EDGES)
    made.start_all(but=("c",))
    for number in range(1, 7):
        running = made.start("c")
        out.wait(1, lambda m, number=number: m.meta["calibration"] == 300_000 * number)
        if number < 6:
            made.abandon(running)
    enough.set()
    made.finish()
    assert made.backend.blobs() <= 2 * len(blobs.pieces(bytes(2_400_100), MEBIBYTE))


def test_a_failing_side_input_keeps_its_value_and_is_told(flow):
    calls = []
    failed = threading.Event()

    @operator.side_input(every=0.001)
    def calibrate(context):
        calls.append(context.attempt)
        if len(calls) == 1:
            return 7
        failed.set()
        raise ConnectionError("the archive is away")

    out = Collected()
    made = flow(nodes(calibrate, until(failed.is_set, out), out), EDGES)
    made.run()
    assert set(calibrations(out)) == {7}
    told = made.events(1)[0]
    assert (told["reason"], told["error"]) == ("side input", "ConnectionError: the archive is away")
    finished = json.loads(made.backend.records()[made.names.record(0, 0, "finished")])
    assert "the value of before stays" in finished["counts"]["author"]["status"]


def test_a_first_value_that_does_not_come_is_an_error(flow):
    @operator.side_input
    def calibrate():
        return None

    made = flow(nodes(calibrate, numbers(1), Collected(), wait=0.2), EDGES)
    made.start("c")
    running = made.start("m")
    running.join()
    assert isinstance(running.error, SideInputError)
    assert "no value of the side input 'calibration' has come from 'c' within 0.2 s" in str(running.error)


@pytest.mark.parametrize("mode", [{"threads": 2}, {"ordered": True, "threads": 2}], ids=["threads", "ordered"])
def test_kernels_that_are_called_side_by_side_have_them_too(flow, mode):
    out = Collected()

    @operator.side_input(every=0.01)
    def calibrate():
        return min(3, 1 + max(calibrations(out), default=0))

    @operator(**mode)
    def several(inputs, parameters, context):
        return message(inputs.data, calibration=context.side_inputs["calibration"])

    made = nodes(calibrate, until(lambda: calibrations(out)[-1] == 3, out), out)
    made["m"] = naming(node(several), calibration="c")
    flow(made, EDGES).run()
    assert set(calibrations(out)) == {1, 2, 3}


def test_its_parameters_are_heard_at_once(flow):
    @operator.side_input
    class Calibrate(SideInput):
        def update(self, parameters):
            return parameters["gain"]

    out = Collected()
    made = flow(nodes(Calibrate, until(lambda: calibrations(out)[-1] == 2, out), out, every=3600), EDGES)
    made.set("c", gain=1)
    made.start_all()
    out.wait(1)
    made.set("c", gain=2)
    made.finish()
    assert calibrations(out)[0] == 1


def test_what_is_no_side_input_is_refused_where_it_is_defined():
    with pytest.raises(KernelError, match="unknown argument 'inputs'"):
        operator.side_input(lambda inputs: 1)
    with pytest.raises(KernelError, match="a number of seconds above 0, not 0"):
        operator.side_input(every=0)(lambda: 1)
    with pytest.raises(KernelError, match="it does not yield"):

        @operator.side_input
        def several():
            yield 1


def test_a_side_input_has_no_state_that_would_be_lost(flow):
    out = Collected()

    @operator.side_input(every=0.01)
    def calibrate(context):
        try:
            context.state["n"] = 1
        except KeptValueError as error:
            why.append(str(error))
        return 1

    why = []
    flow(nodes(calibrate, until(lambda: True, out), out), EDGES).run()
    assert set(why) == {"context.state: a side input stores its value alone"}
