from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from interactem.runtime import BytesMessage, Context, MessageHeader, tracing
from interactem.runtime.errors import SettingsError
from interactem.runtime.tracing import Tracing, exporters_wanted, otel_variables

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "x"}, []),
        (ENDPOINT, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_http"]),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, []),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, []),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
         ["otlp_proto_http"]),
    ],
)  # fmt: skip
def test_the_environment_decides(environment, names):
    assert exporters_wanted(environment) == names


def test_a_protocol_that_there_is_not_is_refused():
    with pytest.raises(SettingsError, match=r"'http/json': use http/protobuf"):
        exporters_wanted({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})


def test_only_its_own_variables_are_passed_on():
    assert otel_variables({**ENDPOINT, "HOME": "/"}) == ENDPOINT


def test_an_exporter_that_is_not_installed_names_what_installs_it():
    with pytest.raises(SettingsError, match=r"no exporter otlp_proto_grpc: pip install 'interactem\[otel\]'"):
        Tracing({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Context("mean"))


def test_nothing_of_it_is_imported_where_nobody_asks():
    code = "import sys, interactem.runtime.__main__; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert Tracing.wanted({}, Context("mean")) is None


def test_without_the_extra_what_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(SettingsError, match=r"opentelemetry is missing: pip install 'interactem\[otel\]'"):
        Tracing.wanted(ENDPOINT, Context("mean"))


@pytest.fixture
def spans(monkeypatch):
    """Where spans go; the provider is this test's own."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_exporter", lambda name: exporter)
    monkeypatch.setattr("opentelemetry.sdk.trace.export.BatchSpanProcessor", SimpleSpanProcessor)
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda provider: None)
    return exporter


def traced(invoke, name="mean", **environment):
    return Tracing({**ENDPOINT, **environment}, Context(name)).around(invoke, name)


def message(number=0, tracking=None):
    return BytesMessage(MessageHeader(meta={"number": number}, tracking=tracking), b"x", port="in", id=f"s.{number}")


def context_of(span):
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


def test_a_source_begins_a_trace_with_each_message(spans):
    def source(inputs, parameters):
        yield message(0)
        yield [message(1), message(2)]

    first, (second, third) = traced(source, "frames")(None, {})
    one, two = spans.get_finished_spans()
    assert (one.name, one.kind, one.parent) == ("frames", SpanKind.PRODUCER, None)
    assert one.context.trace_id != two.context.trace_id
    assert first.header.tracking == {"traceparent": context_of(one)}
    assert second.header.tracking == third.header.tracking == {"traceparent": context_of(two)}
    assert one.resource.attributes["service.name"] == "frames"


def test_who_is_given_a_message_goes_on_with_its_trace(spans):
    tracking = {"scan": 7, "traceparent": f"00-{1:032x}-{2:016x}-01", "tracestate": "a=b"}
    given = message(5, tracking)
    made = traced(lambda inputs, parameters: BytesMessage(data=b"y"))(given, {})
    [span] = spans.get_finished_spans()
    assert (span.kind, span.context.trace_id, span.parent.span_id) == (SpanKind.CONSUMER, 1, 2)
    assert made.header.tracking == {"scan": 7, "tracestate": "a=b", "traceparent": context_of(span)}
    assert dict(span.attributes) == {"interactem.message.id": "s.5", "interactem.port": "in", "interactem.attempt": 1}


@pytest.mark.parametrize("tracking", [None, {}, {"traceparent": 3}, {"traceparent": "nonsense"}])
def test_a_message_without_a_trace_begins_one(spans, tracking):
    traced(lambda inputs, parameters: None)(message(0, tracking), {})
    [span] = spans.get_finished_spans()
    assert span.parent is None


def test_a_generator_is_one_call(spans):
    def kernel(inputs, parameters):
        yield message(0)
        yield message(1)

    parts = traced(kernel)(message(), {})
    first = next(parts)
    assert not spans.get_finished_spans()
    [second] = parts
    [span] = spans.get_finished_spans()
    assert first.header.tracking == second.header.tracking == {"traceparent": context_of(span)}


def test_a_call_that_fails_says_how_and_hides_what_is_hidden(spans):
    def kernel(inputs, parameters):
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        traced(kernel)(message(), {})
    [span] = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError: no good")
    [event] = span.events
    assert "in kernel" in event.attributes["exception.stacktrace"]


def test_a_generator_that_fails_ends_its_call_once(spans, caplog):
    def kernel(inputs, parameters):
        yield message(0)
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        list(traced(kernel)(message(), {}))
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert not caplog.records


def test_a_source_that_has_nothing_is_not_told(spans):
    assert traced(lambda inputs, parameters: None)(None, {}) is None
    assert not spans.get_finished_spans()


def test_a_trace_that_a_source_has_been_given_stays(spans):
    own = {"traceparent": f"00-{7:032x}-{8:016x}-01"}
    made = traced(lambda inputs, parameters: message(0, own))(None, {})
    assert made.header.tracking == own


def sampled(message):
    return bool(int(message.header.tracking["traceparent"].rpartition("-")[2], 16) & 1)


def test_what_is_not_sampled_is_not_told_and_stays_so(spans, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    made = traced(lambda inputs, parameters: message())(None, {})
    assert not sampled(made)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    after = traced(lambda inputs, parameters: BytesMessage())(made, {})
    assert not sampled(after)
    assert not spans.get_finished_spans()


def test_spans_of_the_kernel_are_within_its_call(spans):
    instance = Tracing(ENDPOINT, Context("mean"))

    def kernel(inputs, parameters):
        with instance._provider.get_tracer("mine").start_as_current_span("fit"):
            pass

    instance.around(kernel, "mean")(message(), {})
    fit, call = spans.get_finished_spans()
    assert (fit.name, fit.parent.span_id, fit.context.trace_id) == ("fit", call.context.span_id, call.context.trace_id)
