"""Traces of a run, as a receiver of OpenTelemetry's protocol sees them."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

OPERATORS = {
    "numbers": {"operator": "count-up", "parameters": {"count": 20}},
    "observed": {"operator": "observed", "parameters": {"fail_at": 3}},
    "keep": {"operator": "keep"},
}
EDGES = ("numbers.out -> observed.in", "observed.out -> keep.in")


class Receiver(ThreadingHTTPServer):
    """Keeps the spans that come, with their operators."""

    daemon_threads = True

    def __init__(self):
        self.spans = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
                    self.send_error(404)
                    return
                receiver.keep(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def keep(self, request):
        for resource in request.resource_spans:
            about = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(about["service.name"], about, span) for span in scope.spans]

    def of(self, operator):
        return [span for name, _, span in self.spans if name == operator]


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_message_is_traced_through_three_operators(project, receiver):
    project.environment = {
        **project.environment,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_address[1]}",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    done = project.run(project.pipeline(OPERATORS, *EDGES), "--allow-dead")
    assert done.code == 0, done
    about = receiver.spans[0][1]
    assert about["interactem.run"] == done.json["run"]
    assert about["deployment.environment.name"] == "test"

    sources = {span.span_id: span for span in receiver.of("numbers")}
    assert len(sources) == 20
    assert len({span.trace_id for span in sources.values()}) == 20
    assert not any(span.parent_span_id for span in sources.values())

    calls = receiver.of("observed")
    assert all(call.trace_id == sources[call.parent_span_id].trace_id for call in calls)
    failed = [call for call in calls if call.status.code == 2]
    assert len(calls) == 22 and len(failed) == 3, "each attempt at the message that fails is a call"
    assert {call.parent_span_id for call in failed} == {failed[0].parent_span_id}
    attempts = {entry.key: entry.value.int_value for call in failed for entry in call.attributes}
    assert attempts["interactem.attempt"] == 3
    assert failed[0].events[0].name == "exception"

    passed = {call.span_id: call for call in calls if call not in failed}
    kept = [span for span in receiver.of("keep") if span.name == "keep"]
    assert {span.parent_span_id for span in kept} == passed.keys()
    assert all(span.trace_id == passed[span.parent_span_id].trace_id for span in kept)
    assert all(passed[span.parent_span_id].start_time_unix_nano <= span.start_time_unix_nano for span in kept)


def test_a_receiver_that_is_not_there_holds_nobody_up(project, receiver):
    project.environment = {
        **project.environment,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
    }
    done = project.run(project.pipeline(OPERATORS, *EDGES), "--allow-dead")
    assert done.code == 0, done
    assert done.json["operators"]["keep"]["received"] == 19


def test_an_exporter_that_is_not_there_is_named(project):
    project.environment = {**project.environment, "OTEL_TRACES_EXPORTER": "carrier-pigeon"}
    done = project.run(project.pipeline(OPERATORS, *EDGES))
    assert done.code == 1
    assert "there is no exporter carrier-pigeon: pip install 'interactem[otel]'" in done.json["reason"]
