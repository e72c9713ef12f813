from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from interactem.engine.images.errors import RegistryError
from interactem.engine.images.registry import is_local, speaks_plainly


@pytest.fixture
def serve():
    """Starts a server that answers everything with a status, headers and a body; gives its address."""
    servers = []

    def serve(status, headers=(), body=b"{}"):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


VERSION = [("Docker-Distribution-Api-Version", "registry/2.0")]


@pytest.mark.parametrize(("status", "headers"), [(200, VERSION), (200, []), (401, VERSION)])
def test_a_registry_that_speaks_plainly(serve, status, headers):
    assert speaks_plainly(serve(status, headers)) is True


def test_one_that_wants_to_be_spoken_to_in_secret(serve):
    assert speaks_plainly(serve(400, body=b"Client sent an HTTP request to an HTTPS server.\n")) is False


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        (403, "it refuses us (HTTP 403)", "docker login"),
        (401, "it refuses us (HTTP 401)", "docker login"),
        (503, "the registry is in trouble (HTTP 503)", "is its disk full?"),
        (404, "what answers there is no image registry", "another program"),
    ],
)
def test_one_that_is_of_no_use(serve, status, reason, advice):
    with pytest.raises(RegistryError) as caught:
        speaks_plainly(serve(status))
    assert reason in caught.value.reason and advice in caught.value.advice


def test_another_program_at_the_port(serve):
    with pytest.raises(RegistryError, match="no image registry"):
        speaks_plainly(serve(200, body=b"<html>"))


def test_nobody_answers(serve, monkeypatch):
    monkeypatch.setattr("interactem.engine.images.registry.LOCAL_REGISTRY", "127.0.0.1:1")
    with pytest.raises(RegistryError) as caught:
        speaks_plainly("127.0.0.1:1/some/path")
    assert caught.value.advice == (
        "start one: docker run -d -p 5001:5000 --restart always --name docker-registry registry:3"
    )


@pytest.mark.parametrize(
    ("registry", "local"),
    [
        ("localhost:5001", True),
        ("localhost", True),
        ("127.0.0.1:5001/path", True),
        ("[::1]:5001", True),
        ("ghcr.io/you", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_which_registries_are_on_this_machine(registry, local):
    assert is_local(registry) is local
