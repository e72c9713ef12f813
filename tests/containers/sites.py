"""A site that watches its traffic: certificates of its own, and a package index that asks for a password."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from interactem.engine.wheels import OwnPackage

USER, PASSWORD = "somebody", "open-sesame"
FILES = {
    "tiny/__init__.py": b"value = 42\n",
    "tiny-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\n\n",
    "tiny-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
TINY = OwnPackage("tiny-1-py3-none-any.whl", FILES)

AUTHORITY = """
set -e
new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "$@" 2>/dev/null; }
new -subj "/CN=Authority of a site" -keyout /site/ca.key -out /site/ca.pem
new -subj "/CN=index" -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \\
    -CA /site/ca.pem -CAkey /site/ca.key -keyout /site/index.key -out /site/index.pem
chmod 644 /site/*
"""
"""Run in a container with a folder at /site."""


class Index(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        content = {
            "/simple/tiny/": f'<a href="/{TINY.file_name}">{TINY.file_name}</a>'.encode(),
            f"/{TINY.file_name}": TINY.wheel(),
        }.get(self.path)
        self.send_response(404 if content is None else 200)
        if content is not None and self.path.endswith("/"):
            self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def index(certificate: Path | None = None) -> Iterator[str]:
    """The address of an index that has the package `tiny`, with user and password in it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    scheme = "https" if certificate else "http"
    try:
        yield f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{server.server_address[1]}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
