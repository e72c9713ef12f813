"""Malformed messages, put into a stream by hand in a run: each is a dead letter, and its neighbours arrive."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import pytest

from interactem.engine.plan import Plan
from interactem.runtime import BytesMessage, wire
from interactem.runtime.connections import Address, connect
from interactem.runtime.ids import file

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]
COUNT = 60


def batch(about=None):
    return wire.encode([wire.pack(BytesMessage(data=b"forged"), *file("forged.0"))], about)


def shared(operator=0, replica=0, block=0, offset=0, length=100):
    return batch({"blocks": [operator, replica, b"x" * 16, [[block, 1, offset, length]]]})


WHOLE = batch()
MALFORMED = {
    "nothing": (b"", wire.FORMAT),
    "garbage": (b"\xff" * 1000, wire.FORMAT),
    "a head of 4 GB": (b"\xff\xff\xff\xff" + WHOLE[4:], wire.FORMAT),
    "truncated": (WHOLE[:-3], wire.FORMAT),
    "lists in lists": (b"\xff\xff\x00\x00" + b"\xdd\x00\x00\xff\xf0" * 13_000, wire.FORMAT),
    "another version": (WHOLE, "99 msgpack"),
    "another codec": (WHOLE, wire.FORMAT.replace("msgpack", "pickle")),
    "no version": (WHOLE, None),
    "fewer attempts than none": (batch({"failure": {"attempts": -5}}), wire.FORMAT),
    "more attempts than can be counted": (batch({"failure": {"attempts": 2**64 - 1}}), wire.FORMAT),
    "never to be tried": (batch({"not_before": float("inf")}), wire.FORMAT),
    "a blob without a name": (batch({"blob": "../x", "chunks": 1}), wire.FORMAT),
    "a blob of a million chunks": (batch({"blob": "x", "chunks": 2**40}), wire.FORMAT),
    "a block before its arena": (shared(offset=-1), wire.FORMAT),
    "a block of another operator": (shared(operator=7), wire.FORMAT),
    "a block of a replica that is not": (shared(replica=7), wire.FORMAT),
    "a block of another kind": (batch({"blocks": "x"}), wire.FORMAT),
}


@pytest.fixture(scope="module")
def disturbed(make_project):
    """A run into whose first stream all of these were put, each once."""
    project = make_project("malformed")
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": COUNT, "rate": 20.0}},
        "trouble": {"operator": "trouble"},
        "keep": {"operator": "keep"},
    }
    run = project.start(project.pipeline(operators, "numbers.out -> trouble.in", "trouble.out -> keep.in"))
    run.wait_for(lambda run: list((run.folder / "outputs").glob(".came-*")), "messages come through")
    subject, address = place_of(project, run)
    asyncio.run(publish(address, subject))
    publish_with_broken_headers(address, subject)
    project.done = run.end()
    project.run_seen = run
    return project


def place_of(project, run):
    """Where the first operator's messages are stored, and who may store whatever he likes there."""
    plan = Plan.from_value(json.loads((run.folder / "plan.json").read_text()))

    index = Path(project.environment["XDG_CACHE_HOME"], "interactem", "runs", f"{plan.run}.json")
    record = json.loads(index.read_text())
    return plan.names.messages(0, 0), Address(record["url"], Path(record["credentials"]))


async def publish(address, subject):
    client = await connect(address, "somebody")
    try:
        for payload, format in MALFORMED.values():
            headers = {wire.HEADER: format} if format is not None else None
            await client.jetstream().publish(subject, payload, headers=headers)
    finally:
        await client.close()


HEADERS = (
    b"NATS/1.0\r\n\xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0\r\nInteractem-Wire\r\n\r\n",
    b"NATS/1.0\r\n: x\r\n\r\n",
    b"NATS/1.0 999 Status\r\n\r\n",
)


def publish_with_broken_headers(address, subject):
    """As no client library would."""
    host, _, port = address.url.removeprefix("nats://").partition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        login = json.dumps({**{"verbose": False, "headers": True, "pedantic": False}, **renamed(address.login())})
        connection.sendall(f"CONNECT {login}\r\n".encode())
        for head in HEADERS:
            total = len(head) + len(WHOLE)
            connection.sendall(f"HPUB {subject} {len(head)} {total}\r\n".encode() + head + WHOLE + b"\r\n")
        connection.sendall(b"PING\r\n")
        until, said = time.monotonic() + 10, b""
        while b"PONG" not in said and time.monotonic() < until:
            said += connection.recv(4096)
        assert b"PONG" in said, said


def renamed(login):
    return {"user": login["user"], "pass": login["password"]}


def test_the_neighbours_arrive(disturbed):
    kept = disturbed.kept()
    assert [number for number, *_ in kept] == list(range(COUNT))
    assert {times for *_, times in kept} == {1}


def test_each_is_a_dead_letter(disturbed):
    letters = disturbed.do("pipeline", "dead", "ls", "last", "--json").json
    assert len(letters) == len(MALFORMED) + len(HEADERS)
    assert {letter["operator"] for letter in letters} == {"trouble"}
    assert all(letter["error"].startswith("WireError: ") for letter in letters)


def test_nobody_crashes(disturbed):
    assert disturbed.done.json["state"] == "completed"
    assert [event for event in disturbed.run_seen.events("replica") if event["state"] == "failed"] == []
