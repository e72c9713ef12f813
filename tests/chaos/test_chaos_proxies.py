"""The proxy before the broker: passes on, cuts, and holds back."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from chaos.proxies import Proxy

SECONDS = 30.0
HELLO = b'CONNECT {"name":"run 2.0"}\r\n'


@pytest.fixture
def echo():
    """A server that sends back what it gets, and keeps it."""
    listener = socket.create_server(("127.0.0.1", 0))
    got = bytearray()

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    got.extend(data)
                    connection.sendall(data)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], got
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo):
    with Proxy(echo[0]) as proxy:
        yield proxy


def connect(proxy):
    client = socket.create_connection(("127.0.0.1", proxy.port), SECONDS)
    client.sendall(HELLO)
    assert client.recv(1024) == HELLO
    return client


def test_what_passes_passes_unchanged(proxy):
    with connect(proxy) as client:
        assert proxy.names() == ["run 2.0"]
        data = bytes(range(256)) * 4096
        threading.Thread(target=client.sendall, args=(data,)).start()
        back = bytearray()
        while len(back) < len(data):
            back += client.recv(65536)
        assert back == data


def test_cut(proxy):
    with connect(proxy) as client, connect(proxy) as other:
        proxy.cut("somebody else")
        client.sendall(b"still there")
        assert client.recv(1024) == b"still there"
        proxy.cut("run 2.0")
        for end in (client, other):
            with pytest.raises(ConnectionResetError):
                end.recv(1024)


def test_what_a_dead_client_sent_comes_late(proxy, echo):
    got = echo[1]
    client = connect(proxy)
    del got[:]
    proxy.stall(0.5, "run 2.0")
    until = time.monotonic() + SECONDS
    while all(link.open.is_set() for link in proxy._links):
        assert time.monotonic() < until
    client.sendall(b"the last words")
    client.close()
    assert not got
    while bytes(got) != b"the last words":
        assert time.monotonic() < until
        time.sleep(0.01)
