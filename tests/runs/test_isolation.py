"""An operator that wishes others ill, with nothing but its own credentials and a client of NATS.

It knows everything: the names of all streams, consumers and subjects, and what the server can be asked.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
import pytest

from interactem.engine import streams
from interactem.engine.broker import EmbeddedBroker
from interactem.engine.permissions import all_permissions, user_name
from interactem.engine.plan import Plan, PlannedOperator, consumers, stream_configs
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.transports import Store

pytestmark = pytest.mark.broker

STORE = 256 * 2**20
WAIT = 30
SOURCE = Assignment("r", 0, "source", outputs=(Output("out", 0, 1, (0, 3), (1, 3)),), ack_wait=600)
MIDDLE = Assignment("r", 1, "middle", 2, (Input(0, "in", 0),), (Output("out", 1, 2, (1, 2), (2, 3)),), ack_wait=600)
SINK = Assignment("r", 2, "sink", 2, (Input(1, "in", 1, 2),), ack_wait=600)
LAST = Assignment("r", 3, "last", 1, (Input(2, "in", 1), Input(3, "too", 0)), ack_wait=600)
PLAN = Plan(
    "r", "t", "process", tuple(PlannedOperator(a.name, a.name, "/", a) for a in (SOURCE, MIDDLE, SINK, LAST)), {}
)
PAIRS = list(itertools.permutations(range(4), 2))


class Intruder:
    """A raw connection as one of the users, that notes what the server refuses."""

    def __init__(self):
        self.errors = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def connected(cls, url, credentials):
        intruder = cls()

        async def on_error(error):
            intruder.errors.put_nowait(str(error))

        login = json.loads(credentials.read_text())
        intruder.client = await nats.connect(url, **login, error_cb=on_error, allow_reconnect=False)
        intruder.answers = await intruder.client.subscribe("_INBOX.of.mine.*")
        try:
            yield intruder
        finally:
            await intruder.client.close()

    async def attempt(self, attempts):
        """Publish each of (subject, payload), all to be refused. Returns those that were not, and all answers."""
        for number, (subject, payload) in enumerate(attempts):
            await self.client.publish(subject, payload, reply=f"_INBOX.of.mine.{number}")
        await self.client.flush()
        refused = []
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT):
                while len(refused) < len(attempts):
                    refused.append(await self.errors.get())
        said = " ".join(refused)
        allowed = [subject for subject, _ in attempts if f'"{subject.lower()}"' not in said]
        return allowed, await self.heard(self.answers)

    async def heard(self, subscription):
        await self.client.flush()
        found = []
        while subscription.pending_msgs:
            found.append(await subscription.next_msg())
        return found


def operator_of(plan, index):
    return plan.operators[index]


def edges_of(operator):
    reading = {entry.edge for entry in operator.assignment.inputs}
    return reading | {edge for output in operator.assignment.outputs for edge in output.edges}


def own_subjects(plan, index, *, but=frozenset()):
    """Everything that is the operator's, or said to it, as subjects that can be published to. `but` are edges."""
    names, operator = plan.names, operator_of(plan, index)
    kinds = ("assignment", "parameters", "finish", "drain", "watermarks", "crash.0")
    yield from (names.control(index, kind) for kind in kinds)
    for replica in range(operator.replicas):
        yield from (names.record(index, replica, kind) for kind in ("checkpoint", "finished"))
        yield from (names.piece(index, replica, "c-1", 0), names.report(index, replica), names.events(index, replica))
    for output in operator.assignment.outputs:
        yield from (names.messages(output.stream, part) for part in range(output.partitions))
    for entry in operator.assignment.inputs:
        yield from (names.retry(entry.edge, part) for part in range(entry.partitions))
        yield names.dead(entry.edge, "source.0")
    yield from (names.blob(edge, "x", 0) for edge in edges_of(operator) - but)


def streams_of(plan, index):
    """The streams that something of an operator is in, whoever else uses them."""
    names, operator = plan.names, operator_of(plan, index)
    yield from (names.stream(output.stream) for output in operator.assignment.outputs if output.edges)
    yield from (names.control_stream(index), names.record_stream, names.dead_stream, names.blob_stream)
    if operator.assignment.inputs:
        yield names.retry_stream(index)


def consumers_of(plan, index):
    return [consumer for consumer in consumers(plan) if consumer.operator == index]


def forbidden(plan, index, *, but):
    """What nobody but the operator may do with what is its own, or even it may not: (subject, payload)."""
    yield from ((subject, b"evil") for subject in own_subjects(plan, index, but=but))
    configs = {config["name"]: config for config in stream_configs(plan, STORE)}
    for stream in streams_of(plan, index):
        subject = configs[stream]["subjects"][0]
        consumer = json.dumps(
            {"stream_name": stream, "config": {"name": "evil", "deliver_subject": "_INBOX.of.mine.x"}}
        )
        first = b'{"seq": 1}'
        for call, payload in (
            (f"STREAM.UPDATE.{stream}", json.dumps({**configs[stream], "max_msgs": 1}).encode()),
            (f"STREAM.CREATE.{stream}", json.dumps(configs[stream]).encode()),
            *((f"STREAM.{what}.{stream}", b"") for what in ("INFO", "PURGE", "DELETE")),
            *((f"STREAM.MSG.{what}.{stream}", first) for what in ("GET", "DELETE")),
            (f"STREAM.PURGE.{stream}", json.dumps({"filter": subject}).encode()),
            (f"STREAM.SNAPSHOT.{stream}", b'{"deliver_subject": "_INBOX.of.mine.x"}'),
            (f"STREAM.RESTORE.{stream}", json.dumps({"config": configs[stream]}).encode()),
            *((f"CONSUMER.{what}.{stream}", consumer.encode()) for what in ("CREATE", "LIST", "NAMES")),
            (f"CONSUMER.CREATE.{stream}.evil", consumer.encode()),
            (f"CONSUMER.CREATE.{stream}.evil.{subject}", consumer.encode()),
            (f"CONSUMER.DURABLE.CREATE.{stream}.evil", consumer.encode()),
            (f"DIRECT.GET.{stream}", first),
            (f"DIRECT.GET.{stream}", b'{"multi_last": [">"], "batch": 1000}'),
        ):
            yield f"$JS.API.{call}", payload
    names = plan.names
    for subject in own_subjects(plan, index, but=but):
        kind = subject.split(".")[2]
        stored = {"c": names.control_stream(index), "r": names.record_stream, "d": names.dead_stream}
        stored |= {"b": names.blob_stream, "k": names.blob_stream}
        if kind in stored:
            yield f"$JS.API.DIRECT.GET.{stored[kind]}.{subject}", b""
    for consumer in consumers_of(plan, index):
        place = f"{consumer.stream}.{consumer.name}"
        # how far its readers are, a sender may ask: the server tells it by another name
        calls = ("DELETE", "PAUSE", "UNPIN") if consumer.edge in but else ("INFO", "DELETE", "PAUSE", "UNPIN")
        yield from ((f"$JS.API.CONSUMER.{what}.{place}", b"") for what in calls)
        yield f"$JS.API.CONSUMER.MSG.NEXT.{place}", b'{"batch": 10, "no_wait": true}'
        for answer in (b"", b"+ACK", b"-NAK", b"+TERM", b"+NXT", b"+WPI"):
            yield f"$JS.ACK.{place}.1.1.1.1.0", answer


def general(plan):
    """What nobody but the engine may ask."""
    stolen = {"name": "stolen", "sources": [{"name": config["name"]} for config in stream_configs(plan, STORE)]}
    echo = {"name": "echo", "subjects": [], "republish": {"src": ">", "dest": "_INBOX.of.mine.>"}}
    yield "$JS.API.STREAM.CREATE.stolen", json.dumps(stolen).encode()
    yield "$JS.API.STREAM.CREATE.echo", json.dumps(echo).encode()
    for call in (
        "INFO",
        "STREAM.NAMES",
        "STREAM.LIST",
        "ACCOUNT.PURGE.run",
        "ACCOUNT.STREAM.MOVE.run.x",
        "SERVER.REMOVE",
        "META.LEADER.STEPDOWN",
    ):
        yield f"$JS.API.{call}", b"{}"
    for subject in (
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.run.CONNZ",
        "$SYS.REQ.ACCOUNT.PING",
    ):
        yield subject, b""
    yield "$SYS.REQ.SERVER.RELOAD", b""


def common_edges(plan, first, second):
    return edges_of(operator_of(plan, first)) & edges_of(operator_of(plan, second))


class World:
    """A broker with the streams of a plan, something in each of them, and something of each consumer under way."""

    def __init__(self, broker, client, storer):
        self.broker, self.client, self.storer = broker, client, storer

    @classmethod
    @asynccontextmanager
    async def made(cls, folder):
        broker = await EmbeddedBroker.start(
            folder / "broker", folder / "secrets", durability="process", store_bytes=STORE * 2,
            replicas=all_permissions(PLAN),
        )  # fmt: skip
        try:
            client = await connect(Address(broker.url, broker.credentials), "test")
            storer = Storer(client)
            await storer.open()
            world = cls(broker, client, storer)
            await world.fill()
            try:
                yield world
            finally:
                await client.close()
        finally:
            await broker.stop()

    async def fill(self):
        await streams.create(self.storer, PLAN, STORE)
        for index in range(len(PLAN.operators)):
            for subject in own_subjects(PLAN, index):
                if subject.split(".")[2] not in "me":
                    for number in range(3):
                        await self.storer.store(Store(subject, f"{subject} {number}".encode()))
        self.held = []
        for consumer in consumers(PLAN):
            subscription = await self.client.jetstream().pull_subscribe_bind(consumer.name, consumer.stream)
            self.held += await subscription.fetch(1, timeout=10)

    async def everything(self, but):
        """All that is stored, all consumers and all streams, but for what may be published by the user named `but`."""
        patterns = all_permissions(PLAN)[but].publish
        found = {}
        listed = await self.storer.ask("$JS.API.STREAM.LIST", None)
        for info in listed["streams"]:
            name, state = info["config"]["name"], info["state"]
            found[name] = info["config"]
            for sequence in range(1, state["last_seq"] + 1):
                message = (await self.storer.ask(f"$JS.API.STREAM.MSG.GET.{name}", {"seq": sequence})).get("message")
                if message and not any(matches(pattern, message["subject"]) for pattern in patterns):
                    found[name, sequence] = message
            for consumer in (await self.storer.ask(f"$JS.API.CONSUMER.LIST.{name}", None))["consumers"]:
                if f"$JS.API.CONSUMER.MSG.NEXT.{name}.{consumer['name']}" not in patterns:
                    counts = ("num_pending", "num_ack_pending", "num_redelivered", "num_waiting")
                    floors = [consumer[which]["consumer_seq"] for which in ("delivered", "ack_floor")]
                    found[name, consumer["name"]] = [consumer["config"], floors, [consumer[count] for count in counts]]
        return found


def matches(pattern, subject):
    parts, tokens = pattern.split("."), subject.split(".")
    if parts[-1] == ">":
        parts, tokens = parts[:-1], tokens[: len(parts) - 1]
    return len(parts) == len(tokens) and all(part in ("*", token) for part, token in zip(parts, tokens, strict=True))


def scenario(function):
    def test(tmp_path):
        async def whole():
            async with asyncio.timeout(300), World.made(tmp_path) as world:
                await function(world)

        asyncio.run(whole())

    return test


@asynccontextmanager
async def intruding(world, index, replica=0):
    credentials = world.broker.credentials_of(user_name(index, replica))
    async with Intruder.connected(world.broker.url, credentials) as intruder:
        yield intruder


@scenario
async def test_what_belongs_to_another_is_refused_and_stays_as_it_is(world):
    for index, victim in PAIRS:
        before = await world.everything(user_name(index, 0))
        attempts = [*forbidden(PLAN, victim, but=common_edges(PLAN, index, victim)), *general(PLAN)]
        async with intruding(world, index) as intruder:
            allowed, answers = await intruder.attempt(attempts)
        assert allowed == [], (index, victim)
        assert answers == []
        assert await world.everything(user_name(index, 0)) == before


@scenario
async def test_an_operator_has_its_own_only_through_what_it_needs(world):
    """It cannot look at the streams that it uses, nor make room in them, nor read what stands beside its own."""
    for index in range(len(PLAN.operators)):
        own = {f"$JS.API.DIRECT.GET.{PLAN.names.control_stream(index)}"}
        attempts = [
            (subject, payload)
            for subject, payload in forbidden(PLAN, index, but=frozenset())
            if subject.startswith("$JS.API") and "MSG.NEXT" not in subject and subject.count(".") < 6
        ]
        async with intruding(world, index) as intruder:
            allowed, _ = await intruder.attempt([(s, p) for s, p in attempts if s not in own])
        assert allowed == []


@scenario
async def test_nothing_is_overheard(world):
    names = PLAN.names
    for index, victim in PAIRS:
        async with intruding(world, index) as intruder, intruding(world, victim) as other:
            listening = [">", "*.>", "i.>", "$JS.>", "$SYS.>", "_INBOX.>", "_R_.>", "$JS.API.>", "$JS.ACK.>", "$JSC.>"]
            listening += [*own_subjects(PLAN, victim), *(f"i-{PLAN.run}.>", names.report("*", "*"))]
            subscriptions = [await intruder.client.subscribe(subject) for subject in listening]
            subscriptions += [await intruder.client.subscribe(subject, queue="q") for subject in listening]
            await intruder.client.flush()
            # the other one works, the engine tells both something
            ours = all_permissions(PLAN)[user_name(victim, 0)]
            everything = f"$JS.API.DIRECT.GET.{names.control_stream(victim)}"
            said = [(names.record(victim, 0, "checkpoint"), b"mine"), (names.events(victim, 0), b"secret")]
            said += [(ours.tell[0], b"numbers"), (everything, b'{"multi_last": [">"]}')]
            for subject, payload in [*said, *((subject, b"") for subject in ours.publish if "NEXT" in subject)]:
                await other.client.publish(subject, payload, reply="_INBOX.of.mine.1")
            assert await other.answers.next_msg(WAIT)
            await other.client.flush()
            for told in (index, victim):
                await world.storer.store(Store(names.control(told, "parameters"), b"{}"))
            await world.client.flush()
            await intruder.client.flush()
            heard = {m.subject for one in subscriptions for m in await intruder.heard(one)}
        own = names.control(index, "parameters")
        readers = {reader for output in operator_of(PLAN, index).assignment.outputs for reader in output.readers}
        known = {own, names.report(victim, 0)} if victim in readers else {own}  # how fast its readers are
        assert own in heard
        assert heard <= known, (index, victim)


@scenario
async def test_nobody_else_can_be_made_to_do_it(world):
    """What an operator may ask is answered to where it says: to a stream, to a delivery, to the server itself."""
    names = PLAN.names
    for index, victim in PAIRS:
        mine = user_name(index, 0)
        before = await world.everything(mine)
        delivery = next((m.reply for m in world.held if f".{names.retry_stream(victim)}." in m.reply), "i.r.c.0.x")
        targets = [*own_subjects(PLAN, victim, but=common_edges(PLAN, index, victim)), delivery, "_INBOX.of.theirs"]
        targets += [
            f"$JS.API.STREAM.{what}.{stream}" for what in ("PURGE", "DELETE") for stream in streams_of(PLAN, victim)
        ]
        payloads = (b"+ACK", b"-NAK", b'{"seq": 1}', b'{"batch": 1, "no_wait": true}', b"")
        async with intruding(world, index) as intruder:
            # its own record is what it has others send
            for target, payload in itertools.product(targets, payloads):
                await intruder.client.publish(names.record(index, 0, "finished"), payload, reply=target)
                for question in (
                    f"$JS.API.DIRECT.GET.{names.record_stream}.{names.record(index, 0, 'finished')}",
                    f"$JS.API.DIRECT.GET.{names.control_stream(index)}",
                    *(s for s in all_permissions(PLAN)[mine].publish if "NEXT" in s),
                ):
                    await intruder.client.publish(question, payload, reply=target)
            await intruder.client.flush()
        assert await world.everything(mine) == before, (index, victim)


@scenario
async def test_headers_reach_no_further_than_subjects(world):
    """What the server does because of a header stays within what the user may publish to."""
    names = PLAN.names
    for index, victim in PAIRS:
        mine = user_name(index, 0)
        before = await world.everything(mine)
        theirs = next(own_subjects(PLAN, victim))
        async with intruding(world, index) as intruder:
            for header, value in (
                ("Nats-Rollup", "all"),
                ("Nats-Rollup", "sub"),
                ("Nats-TTL", "1s"),
                ("Nats-Trace-Dest", theirs),
                ("Nats-Schedule", "@at 2020-01-01T00:00:00Z"),
                ("Nats-Schedule-Target", theirs),
                ("Nats-Expected-Last-Sequence", "0"),
                ("Nats-Expected-Last-Subject-Sequence-Subject", theirs),
                ("Nats-Batch-Id", "x"),
                ("Nats-Incr", "+1"),
                ("Nats-Msg-Id", "x"),
                ("Nats-Subject", theirs),
            ):
                for subject in (names.record(index, 0, "checkpoint"), names.piece(index, 0, "c", 0)):
                    headers = {header: value, "Nats-Schedule-Target": theirs}
                    await intruder.client.publish(subject, b"evil", headers=headers)
            await intruder.client.flush()
        assert await world.everything(mine) == before, (index, victim)


@scenario
async def test_an_id_that_is_used_before_its_time_keeps_nobody_from_storing(world):
    """The broker drops what has an id that the stream knows: where ids are used, one operator alone writes."""
    names = PLAN.names
    shared = (names.dead_stream, names.blob_stream, names.record_stream)
    async with intruding(world, 1) as intruder:
        for subject in (names.dead(0, "x"), names.record(1, 0, "checkpoint"), names.blob(0, "x", 0)):
            await intruder.client.publish(subject, b"evil", headers={"Nats-Msg-Id": "2:source.1#1:0"})
        await intruder.client.flush()
        await intruder.client.request(names.record(1, 0, "checkpoint"), b"evil", timeout=10)
    counts = {stream: await streams.last_sequence(world.storer, stream) for stream in shared}
    assert min(counts.values()) > 0
    # no replica gives an id to what it stores in the shared ones; the same id elsewhere is another one
    first = await world.storer.store(Store(names.retry(2, 0), b"again", "2:source.1#1:0"))
    assert await world.storer.store(Store(names.retry(2, 0), b"again", "2:source.1#1:0")) == first
    assert await streams.last_sequence(world.storer, names.retry_stream(3)) == first


@scenario
async def test_each_has_its_own_secret_and_no_other(world):
    url = world.broker.url
    users = [user_name(operator.index, r) for operator in PLAN.operators for r in range(operator.replicas)]
    logins = {user: json.loads(world.broker.credentials_of(user).read_text()) for user in users}
    assert len({login["password"] for login in logins.values()}) == len(users)
    for user, other in itertools.permutations([*users, "run"], 2):
        if user in logins:
            stranger, password = nats.NATS(), logins[user]["password"]
            with pytest.raises(nats.errors.Error, match="Authorization Violation"):
                await stranger.connect(url, user=other, password=password, allow_reconnect=False, error_cb=ignore)
            await stranger.close()


async def ignore(_):
    """The default writes refused connections to the log."""


def test_a_run_with_an_intruder_in_each_operator_comes_out_right(project, chain, surroundings, exactly_once):
    run = project.start(chain(3_000, numbers={"rate": 30}))
    run.wait_for(lambda run: run.events("replica") and run.broker(), "its replicas")
    plan = Plan.from_value(json.loads((run.folder / "plan.json").read_text()))
    secrets = Path(surroundings["XDG_RUNTIME_DIR"], "interactem", plan.run)
    files = sorted(path.name for path in secrets.glob("*.json"))
    assert files == sorted(["broker.json", *(f"{user}.json" for user in all_permissions(plan))])
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}
    for pid in run.replicas().values():
        own = secret_of(pid)
        assert own.name != "broker.json"
        assert json.loads(own.read_text())["password"] not in command_line(pid) + "".join(environment(pid).values())

    [port] = [json.loads(file.read_text())["nats"][0] for file in (run.folder / "broker").glob("*.ports")]

    async def intrude():
        rounds = 0
        for index, victim in itertools.permutations(range(len(plan.operators)), 2):
            attempts = [*forbidden(plan, victim, but=common_edges(plan, index, victim)), *general(plan)]
            async with Intruder.connected(port, secrets / f"{user_name(index, 0)}.json") as intruder:
                allowed, answers = await intruder.attempt(attempts)
                assert (allowed, answers) == ([], [])
                rounds += 1
        return rounds

    assert asyncio.run(intrude()) == 20
    assert project.do("pipeline", "set", "last", "numbers.rate=1000").code == 0
    assert run.running, "it was too short for them"
    done = run.end()
    assert done.code == 0, done.err
    exactly_once(project, 3_000)
    assert not secrets.exists()


def environment(pid):
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return dict(part.split("=", 1) for part in text.split("\0") if "=" in part)


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def secret_of(pid):
    return Path(environment(pid)["INTERACTEM_CREDENTIALS"])
