"""Spans of calls that others go on beside, of batches and of windows."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from types import SimpleNamespace

import pytest
from delivery_harness import Collected, message, node, numbers, sink, source
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from interactem.runtime import Context, Every, operator, tracing
from interactem.runtime.kernels import KERNEL
from interactem.runtime.loading import load
from interactem.runtime.tracing import Tracing

EDGES = ["s > m", "m > k"]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.fixture
def told(monkeypatch):
    """Runs a flow of numbers whose operators are all traced: what came, and the spans by their names."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_exporter", lambda name: exporter)
    monkeypatch.setattr("opentelemetry.sdk.trace.export.BatchSpanProcessor", SimpleSpanProcessor)
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda provider: None)

    def run(flow, kernel, count=4, **options):
        out = Collected()
        made = flow({"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}, EDGES)
        for name in "msk":
            made.start(name, tracing=Tracing(ENDPOINT, Context(name)))
        made.finish()
        found = {}
        for span in exporter.get_finished_spans():
            found.setdefault(span.name, []).append(span)
        return out, found

    return run


@operator(threads=2)
def in_threads(inputs):
    return message(inputs.data)


@operator(concurrency=2, ordered=True)
async def streamed_at_once(inputs):
    await asyncio.sleep(0)
    yield message(inputs.data)


@operator(ordered=True)
def in_order(inputs):
    return message(inputs.data)


@operator.staged(output=lambda data: message(data))
def staged(inputs):
    return bytes(inputs.data)


@operator.staged
async def staged_later(inputs):
    return message(inputs.data)


@operator.batch(max_size=3)
def batch(inputs):
    return [message(one.data) for one in inputs]


@operator.batch(max_size=3, threads=2)
def batches(inputs):
    for one in inputs:
        yield one, message(one.data)


def ids(spans):
    return {span.context.span_id for span in spans}


KERNELS = [in_threads, streamed_at_once, in_order, staged, staged_later, batch, batches]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_each_message_is_one_trace_through_all_operators(flow, told, kernel):
    out, spans = told(flow, kernel)
    assert sorted(out.ints) == list(range(4))
    of_source = {span.context.span_id: span for span in spans["s"]}
    of_kernel = {span.context.span_id: span for span in spans["m"]}
    assert len(of_kernel) == len(spans["k"]) == 4
    assert {span.attributes["interactem.message.id"] for span in spans["m"]} == {f"s.{n}" for n in range(4)}
    for last in spans["k"]:
        middle = of_kernel[last.parent.span_id]
        first = of_source[middle.parent.span_id]
        assert first.context.trace_id == middle.context.trace_id == last.context.trace_id
    if kernel in (batch, batches):
        linked = [link.context.span_id for span in spans["m batch"] for link in span.links]
        assert sorted(linked) == sorted(of_kernel)
        assert sum(span.attributes["interactem.batch.size"] for span in spans["m batch"]) == 4


def test_a_worker_process_is_traced_too(flow, told, tmp_path):
    before = list(sys.path), sys.modules.get("run")
    path = tmp_path / "operator" / "run.py"
    path.parent.mkdir()
    text = """
        from interactem.runtime import BytesMessage, operator

        @operator(processes=1)
        def kernel(inputs):
            if inputs.data == b"1":
                raise ValueError("no good")
            return BytesMessage(data=inputs.data)
    """
    path.write_text(textwrap.dedent(text))
    try:
        out, spans = told(flow, SimpleNamespace(**{KERNEL: load(path)}), max_attempts=1)
    finally:
        sys.path[:] = before[0]
        sys.modules.pop("run", None)
        if before[1] is not None:
            sys.modules["run"] = before[1]
    assert sorted(out.ints) == [0, 2, 3]
    assert {span.parent.span_id for span in spans["k"]} < ids(spans["m"])
    [failed] = [span for span in spans["m"] if span.status.status_code is StatusCode.ERROR]
    assert failed.status.description == "ValueError: no good"


def test_each_attempt_is_a_span_that_says_what_went_wrong(flow, told):
    @operator.batch(max_size=4, threads=2)
    def kernel(inputs, context):
        for one in inputs:
            wrong = one.data == b"1"
            yield one, ValueError("no good") if wrong else message(one.data)

    out, spans = told(flow, kernel, max_attempts=2)
    assert sorted(out.ints) == [0, 2, 3]
    failed = [span for span in spans["m"] if span.status.status_code is StatusCode.ERROR]
    told_of = [(span.attributes["interactem.message.id"], span.attributes["interactem.attempt"]) for span in failed]
    assert sorted(told_of) == [("s.1", 1), ("s.1", 2)]
    assert {span.status.description for span in failed} == {"ValueError: no good"}
    assert [event.attributes["exception.type"] for span in failed for event in span.events] == ["ValueError"] * 2


@pytest.mark.parametrize("generator", [False, True])
def test_a_window_has_links_to_its_messages(flow, told, generator):
    if generator:

        @operator.reduce(key=lambda one: int(one.data) % 2, early=Every(count=100))
        def total(key, messages):
            yield message(str(sum(int(one.data) for one in messages)).encode())

    else:

        @operator.reduce(key=lambda one: int(one.data) % 2, early=Every(count=100))
        def total(key, messages):
            return message(str(sum(int(one.data) for one in messages)).encode())

    out, spans = told(flow, total, 6)
    assert sorted(out.ints) == [6, 9]
    windows = spans["m window"]
    assert {span.parent.span_id for span in spans["k"]} == ids(windows)
    linked = [link.context.span_id for span in windows for link in span.links]
    assert sorted(linked) == sorted(ids(spans["s"]))
    assert [len(span.links) for span in windows] == [3, 3]
