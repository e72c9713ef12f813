"""OpenTelemetry traces: a message's `tracking` carries its trace, as W3C's `traceparent`; each call is a span of it.

The standard environment variables decide: nothing is done, nor imported, where none of them names an exporter or an
endpoint. A source begins a trace with each message; who is given the message goes on with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from interactem.runtime.context import Context
from interactem.runtime.errors import SettingsError
from interactem.runtime.failures import Failure
from interactem.runtime.messages import BytesMessage

if TYPE_CHECKING:
    from opentelemetry.context import Context as Parent
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from interactem.runtime.kinds.reduce.reduction import Given

INSTALL = (
    "pip install 'interactem[otel]'; for an image, name opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http "
    "in the operator's requirements.txt"
)
FLUSH_SECONDS = 2.0
"""How long the end of a replica may wait for its last spans to be sent."""
_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_CARRIED = ("traceparent", "tracestate")

Invoke = Callable[[BytesMessage | None, dict[str, Any]], Any]


def exporters_wanted(environment: Mapping[str, str]) -> list[str]:
    """The names of the exporters that spans go to, as their packages register them; none is: do not trace at all.

    Raises `SettingsError` for a protocol that there is not.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(environment.get(name) for name in _ENDPOINTS) else "none"
    named = environment.get(_EXPORTER) or default
    names = [name for name in map(str.strip, named.split(",")) if name and name != "none"]
    return [f"otlp_proto_{_protocol(environment)}" if name == "otlp" else name for name in names]


def _protocol(environment: Mapping[str, str]) -> str:
    named = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _HTTP)
    if named not in (_HTTP, "grpc"):
        raise SettingsError(f"{_PROTOCOLS[1]} is {named!r}: use {_HTTP}, or install the exporter for grpc and use that")
    return "grpc" if named == "grpc" else "http"


def otel_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """OpenTelemetry's own variables, which replicas get as they are."""
    return {name: value for name, value in environment.items() if name.startswith("OTEL_")}


class Tracing:
    """The traces of one replica. Raises `SettingsError` where what is wanted is not installed, or set up wrongly."""

    def __init__(self, environment: Mapping[str, str], context: Context) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise SettingsError(f"traces are asked for (OTEL_…), and {error.name} is missing: {INSTALL}") from None
        self._trace = trace
        self._carrier = TraceContextTextMapPropagator()
        self._context = context
        self._closed = False
        try:
            resource = Resource.create(_resource(environment, context))
            self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            for name in exporters_wanted(environment):
                self._provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
        except ValueError as error:
            raise SettingsError(f"the variables of OpenTelemetry (OTEL_…) cannot be used: {error}") from error
        trace.set_tracer_provider(self._provider)  # spans that the kernel makes itself belong into the same trace
        self._tracer = self._provider.get_tracer("interactem")

    @classmethod
    def wanted(cls, environment: Mapping[str, str], context: Context) -> Tracing | None:
        """None where the environment asks for no traces."""
        return cls(environment, context) if exporters_wanted(environment) else None

    def close(self) -> None:
        """Send what there is, within a bound: the exporter's own is longer where nobody answers."""
        if self._closed:
            return
        self._closed = True
        sending = threading.Thread(target=self._provider.force_flush, name="interactem-traces", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)

    def around(self, invoke: Invoke, name: str) -> Invoke:
        """`invoke` with a span for each call, or, where no message comes in, for each result.

        What it makes carries the span's context, as what it was given does.
        """

        def traced(message: BytesMessage | None, parameters: dict[str, Any]) -> Any:
            span = self._begin(name, message)
            with self._within(span):
                result = self._tried(span, invoke, message, parameters)
            if isinstance(result, Iterator):
                return self._results(result, name) if message is None else self._parts(result, span, message)
            if result is None and message is None:
                return None  # a source that had nothing: this was no call that anybody wants to see
            self._mark(result, span, message)
            span.end()
            return result

        return traced

    def around_windows(self, invoke: Callable[[Any, Any], Any], name: str) -> Callable[[Any, Any], Any]:
        """`invoke` with a span for each window, with links to the traces of the messages that the kernel looks at."""

        def traced(given: Given, parameters: Any) -> Any:
            span = self._tracer.start_span(name, kind=self._trace.SpanKind.CONSUMER)
            linked = replace(given, messages=self._linked(given.messages, span))
            with self._within(span):
                result = self._tried(span, invoke, linked, parameters)
            if isinstance(result, Iterator):
                return self._parts(result, span, None)
            self._mark(result, span, None)
            span.end()
            return result

        return traced

    def _linked(self, messages: Iterable[BytesMessage], span: Span) -> Iterator[BytesMessage]:
        for message in messages:
            sent_by = self._trace.get_current_span(self._parent(message)).get_span_context()
            if sent_by.is_valid and span.is_recording():
                span.add_link(sent_by)
            yield message

    def call(self, name: str, message: BytesMessage, attempt: int) -> Call:
        """The span of a call with a message that others go on beside."""
        return Call(self, self._begin(name, message, attempt))

    def calls(self, name: str, calls: Sequence[Call]) -> Call:
        """The span of one call with several messages, each of which has a span of its own that it links to."""
        links = [self._trace.Link(call.span.get_span_context()) for call in calls]
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CONSUMER, links=links)
        if span.is_recording():
            span.set_attribute("interactem.batch.size", len(calls))
        return Call(self, span)

    def _begin(self, name: str, message: BytesMessage | None, attempt: int | None = None) -> Span:
        kinds = self._trace.SpanKind
        if message is None:
            return self._tracer.start_span(name, kind=kinds.PRODUCER)
        span = self._tracer.start_span(name, context=self._parent(message), kind=kinds.CONSUMER)
        if span.is_recording():
            span.set_attribute("interactem.message.id", message.id or "")
            span.set_attribute("interactem.port", message.port or "")
            span.set_attribute("interactem.attempt", self._context.attempt if attempt is None else attempt)
        return span

    def _within(self, span: Span) -> AbstractContextManager[Any]:
        return self._trace.use_span(span, record_exception=False, set_status_on_exception=False)

    def _tried(self, span: Span, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except StopIteration:
            raise
        except BaseException as error:
            self._failed(span, error)
            raise

    def _failed(self, span: Span, error: BaseException) -> None:
        """The span ends with the error, without what must not be read by others."""
        self._end(span, Failure.of(error, self._context.attempt, self._context.mask.text))

    def _end(self, span: Span, failure: Failure) -> None:
        told = {"exception.type": failure.error.partition(":")[0], "exception.message": failure.error}
        span.add_event("exception", {**told, "exception.stacktrace": failure.traceback})
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, failure.error))
        span.end()

    def _parts(self, parts: Iterator[Any], span: Span, message: BytesMessage | None) -> Iterator[Any]:
        """What a generator makes of one message, or of one window: all of it in one span."""
        try:
            while True:
                with self._within(span):
                    try:
                        part = self._tried(span, next, parts)
                    except StopIteration:
                        return
                self._mark(part, span, message)
                yield part
        finally:
            if span.is_recording():  # else it has ended with an error
                span.end()

    def _results(self, results: Iterator[Any], name: str) -> Iterator[Any]:
        """What a source's generator makes: each result in a span of its own, the beginning of a trace."""
        while True:
            span = self._begin(name, None)
            with self._within(span):
                try:
                    result = self._tried(span, next, results)
                except StopIteration:
                    return  # a span that does not end is not told
            self._mark(result, span, None)
            span.end()
            yield result

    # what messages carry

    def _parent(self, message: BytesMessage) -> Parent:
        tracking = message.header.tracking or {}
        return self._carrier.extract({name: tracking[name] for name in _CARRIED if isinstance(tracking.get(name), str)})

    def _mark(self, result: Any, span: Span, given: BytesMessage | None) -> None:
        """Have messages carry this span. One that a source has given a trace keeps it."""
        carried: dict[str, str] = {}
        self._carrier.inject(carried, context=self._trace.set_span_in_context(span))
        inherited = None if given is None else given.header.tracking
        for message in _messages(result):
            header = message.header
            tracking = inherited if header.tracking is None else header.tracking
            if given is not None or not (tracking and _CARRIED[0] in tracking):
                header.tracking = {**(tracking or {}), **carried}


class Call:
    """A span that begins and ends in the replica's thread, whoever makes the call."""

    __slots__ = ("_tracing", "span")

    def __init__(self, tracing: Tracing, span: Span) -> None:
        self._tracing = tracing
        self.span = span

    def within(self) -> AbstractContextManager[Any]:
        """For whoever makes the call: the spans that the kernel makes are in this one."""
        return self._tracing._within(self.span)

    def mark(self, made: Any, given: BytesMessage) -> None:
        """Have what was made of a message carry the span."""
        self._tracing._mark(made, self.span, given)

    def end(self, failure: Failure | None = None) -> None:
        if failure is None:
            self.span.end()
        else:
            self._tracing._end(self.span, failure)


def _messages(result: Any) -> Iterator[BytesMessage]:
    """The messages in what a kernel returned; what is none is refused elsewhere."""
    if isinstance(result, BytesMessage):
        yield result
    elif isinstance(result, list | tuple):
        for item in result:
            yield from _messages(item)


def _resource(environment: Mapping[str, str], context: Context) -> dict[str, str]:
    about = {
        "service.instance.id": f"{context.run}.{context.operator}.{context.replica}",
        "interactem.run": context.run,
        "interactem.operator": context.operator,
        "interactem.replica": str(context.replica),
    }
    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return about if named else about | {"service.name": context.operator}


def _exporter(name: str) -> SpanExporter:
    found = [entry for entry in entry_points(group="opentelemetry_traces_exporter") if entry.name == name]
    if not found:
        raise SettingsError(f"traces are asked for (OTEL_…), and there is no exporter {name}: {INSTALL}")
    exporter: SpanExporter = found[0].load()()
    return exporter
