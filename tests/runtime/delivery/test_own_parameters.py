"""Parameters that a replica has of its own, such as connections, stay whatever the engine says of the others."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

from delivery_harness import Collected, Running, message, node, numbers, sink, source

from interactem.runtime import Context, operator
from interactem.runtime.kernels import KERNEL
from interactem.runtime.replica import Replica
from interactem.runtime.secrets import Mask
from interactem.runtime.slot import Slot


def test_they_are_there_from_the_first_message_on_and_after_a_change(flow, tmp_path):
    @operator
    def kernel(inputs, parameters):
        return message(json.dumps(parameters, sort_keys=True).encode())

    out = Collected()
    made = flow({"s": source(numbers(0)), "m": kernel_node(kernel), "k": sink(out)}, ["s > m", "m > k"])
    own = {"db": {"host": "here"}}
    start_with(made, "m", own, tmp_path)
    made.start("k")
    made.feed("s", [message(b"1")])
    out.wait(1)
    made.set("m", level=2)
    made.feed("s", [message(b"2")], ids=["s.1"])
    out.wait(2)
    made.start("s")
    made.finish()
    found = [json.loads(data) for data in out.data]
    assert all(each["db"] == {"host": "here"} for each in found)
    assert found[0]["level"] == 1


def test_failures_hide_them_where_they_are_stored_and_told(flow, tmp_path, caplog):
    @operator
    def kernel(inputs, parameters):
        raise ConnectionError(f"cannot reach {parameters['db']['password']}")

    made = flow({"s": source(numbers(1)), "m": kernel_node(kernel, max_attempts=1)}, ["s > m"])
    start_with(made, "m", {"db": {"password": "hunter2"}}, tmp_path, Mask(["hunter2"]))
    made.start("s")
    made.finish()
    (letter,) = made.dead()
    assert letter.error == "ConnectionError: cannot reach ***"
    assert "hunter2" not in json.dumps(letter.about)
    assert "hunter2" not in caplog.text
    assert "cannot reach ***" in caplog.text


def kernel_node(kernel, **options):
    return node(kernel, parameters={"level": 1}, **options)


def start_with(made, name, own, folder, mask=None):
    """A replica as its program starts it: with parameters of its own."""
    operator = made.operator(name)
    path = folder / f"slot-own-{name}"
    slot = Slot(path)
    transport = made.backend.connect(operator, 0, slot)
    context = Context(name, 0, 1, made.plan.run, folder, mask=mask or Mask())
    kernel = replace(getattr(made.nodes[name].kernel, KERNEL))
    replica = Replica(operator.assignment, kernel, transport, context, parameters=own, slot=slot)
    running = Running(operator, 0, replica, transport, path, threading.Thread(), None)
    running.thread = threading.Thread(target=made._live, args=(running,), daemon=True)
    made.running.append(running)
    running.thread.start()
