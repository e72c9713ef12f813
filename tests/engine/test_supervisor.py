"""The supervisor with a real broker and replicas that only the test moves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest

from interactem.engine import streams
from interactem.engine.broker import EmbeddedBroker
from interactem.engine.errors import LaunchError
from interactem.engine.folders import EventLog, RunFolder, read_events
from interactem.engine.launchers import Exit, RecordingLauncher
from interactem.engine.plan import Plan, PlannedOperator
from interactem.engine.supervisor import Supervisor
from interactem.engine.surroundings import Surroundings
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.ids import Run, series_of
from interactem.runtime.slot import Slot
from interactem.runtime.statistics import Counts
from interactem.runtime.transports import Store

pytestmark = pytest.mark.broker

WAIT = 60
KILLED = Exit(signal=signal.SIGKILL)
STORE = 256 * 2**20


def make_plan():
    source = Assignment("run-1", 0, "source", outputs=(Output("out", 0, 1, (0,), (1,)),))
    sink = Assignment("run-1", 1, "sink", replicas=2, inputs=(Input(0, "in", 0, 2),))
    operators = (
        PlannedOperator("source", "source", "/operators/source", source, {"count": 3}, {"file": "/data/scan"}),
        PlannedOperator("sink", "sink", "/operators/sink", sink),
    )
    return Plan("run-1", "test", "process", operators, {})


class World:
    """A run whose replicas are moved by hand."""

    def __init__(self, folder, broker, events):
        self.plan = make_plan()
        self.names = self.plan.names
        self.folder = folder
        self.events_file = events
        self.broker = broker
        self.launcher = RecordingLauncher(ends_on_terminate=True)
        self.rows = []

    def supervise(self):
        around = Surroundings(
            folder=self.folder,
            launcher=self.launcher,
            address=Address(self.broker.url, self.broker.credentials),
            interpreters={"source": Path("/env/source/python"), "sink": Path("/env/sink/python")},
            events=self.events_file,
            store_bytes=STORE,
            broker=self.broker,
        )
        self.supervisor = Supervisor(self.plan, around, lambda state, rows: self.rows.append((state, rows)))
        self.running = asyncio.ensure_future(self.supervisor.run())

    async def started(self, count):
        """So many replicas that were started, by operator and replica."""
        handles = [await self.launcher.started() for _ in range(count)]
        return {(handle.launch.operator, handle.launch.replica): handle for handle in handles}

    async def finish(self, operator, replica, handle, *, drained=False, sent=0):
        counts = Counts(sent=sent).to_value()
        subject = self.names.record(operator, replica, "finished")
        await self.storer.store(Store(subject, json.dumps({"drained": drained, "counts": counts}).encode()))
        handle.end(Exit(code=0))

    async def record(self, subject):
        """What is stored there, once something is."""
        while True:
            try:
                return json.loads(await self.storer.last_one(self.stream(subject), subject))
            except KeyError:
                await asyncio.sleep(0.01)

    async def stored(self, *subjects):
        everything = await streams.controls(self.storer, self.plan)
        everything |= await self.storer.last(self.names.record_stream, [self.names.record("*", "*", "*")])
        patterns = [subject.replace(">", "*") for subject in subjects]
        return {name: value for name, value in everything.items() if any(fnmatch(name, p) for p in patterns)}

    def stream(self, subject):
        _, _, kind, operator, *_ = subject.split(".")
        return self.names.control_stream(int(operator)) if kind == "c" else self.names.record_stream

    def events(self, kind):
        return [event for event in read_events(self.folder.events) if event["kind"] == kind]


@asynccontextmanager
async def world(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    broker = await EmbeddedBroker.start(folder.broker, tmp_path / "secrets", durability="process", store_bytes=STORE)
    try:
        with EventLog(folder.events) as events:
            made = World(folder, broker, events)
            client = await connect(Address(broker.url, broker.credentials), "test")
            made.client, made.storer = client, Storer(client)
            await made.storer.open()
            made.supervise()
            yield made
            if not made.running.done():
                made.supervisor.stop()
                await made.running
            await client.close()
    finally:
        await broker.stop()


def scenario(function):
    """A test that is a coroutine and has a world."""

    def test(tmp_path):
        async def run():
            async with world(tmp_path) as made:
                await function(made)

        asyncio.run(asyncio.wait_for(run(), WAIT))

    test.__name__ = function.__name__
    return test


@scenario
async def test_from_the_start_to_the_end(world):
    handles = await world.started(3)
    assert set(handles) == {("source", 0), ("sink", 0), ("sink", 1)}
    launch = handles["sink", 1].launch
    assert launch.command == ("/env/sink/python", "-u", "-m", "interactem.runtime", "/operators/sink/run.py")
    assert launch.environment["INTERACTEM_OPERATOR"] == "1"
    assert launch.environment["INTERACTEM_REPLICA"] == "1"
    password = json.loads(world.broker.credentials.read_text())["password"]
    assert not any(password in value for value in launch.environment.values())
    data = Path(handles["source", 0].launch.places["INTERACTEM_DATA_DIRECTORY"].path)
    assert (data / "file").readlink() == Path("/data/scan")
    assert (await world.record(world.names.control(0, "parameters"))) == {"count": 3}

    assert not await world.stored(world.names.control("*", "finish"))
    await world.finish(0, 0, handles["source", 0], sent=7)
    await world.record(world.names.control(1, "finish"))
    await world.finish(1, 0, handles["sink", 0])
    await asyncio.sleep(0)
    assert not world.running.done()
    await world.finish(1, 1, handles["sink", 1])
    assert await world.running == "completed"
    assert world.launcher.launches == [handle.launch for handle in world.launcher.handles]
    assert len(world.launcher.handles) == 3
    assert not any(handle.terminated for handle in world.launcher.handles)
    assert [event["state"] for event in world.events("state")] == ["starting", "running", "completed"]
    state, rows = world.rows[-1]
    assert state == "completed"
    assert [(row.name, row.sent, row.state) for row in rows] == [("source", 7, "stopped"), ("sink", 0, "stopped")]


@scenario
async def test_what_has_said_that_it_is_done_may_die_as_it_likes(world):
    handles = await world.started(3)
    await world.finish(0, 0, handles["source", 0])
    await world.record(world.names.control(1, "finish"))
    for replica in (0, 1):
        subject = world.names.record(1, replica, "finished")
        counts = Counts().to_value()
        await world.storer.store(Store(subject, json.dumps({"drained": False, "counts": counts}).encode()))
        handles["sink", replica].end(Exit(signal=signal.SIGSEGV))
    assert await world.running == "completed"
    assert len(world.launcher.handles) == 3


@scenario
async def test_who_is_killed_is_started_again_and_again(world):
    handles = await world.started(3)
    handle = handles["sink", 1]
    for incarnation in range(1, 12):
        handle.end(KILLED)
        handle = await world.launcher.started()
        assert (handle.launch.operator, handle.launch.replica) == ("sink", 1)
        assert handle.launch.incarnation == incarnation
    assert world.supervisor.state == "running"
    assert world.supervisor.progress()[1].restarts == 11


@scenario
async def test_who_dies_by_itself_is_given_up_with_its_last_words(world):
    handle = (await world.started(3))["source", 0]
    for _ in range(5):
        handle.launch.log(b"ModuleNotFoundError: No module named 'camera'")
        handle.end(Exit(code=1))
        handle = await world.launcher.started()
    handle.end(Exit(code=1))
    assert await world.running == "failed"
    assert "source.0: it died 5 times in a row" in world.supervisor.reason
    assert "No module named 'camera'" in world.supervisor.reason
    assert all(handle.ended for handle in world.launcher.handles)


@scenario
async def test_what_does_not_load_is_not_started_again(world):
    handles = await world.started(3)
    handles["sink", 0].end(Exit(code=3))
    assert await world.running == "failed"
    assert len(world.launcher.handles) == 3


@scenario
async def test_a_death_in_a_kernel_is_an_attempt_at_its_message(world):
    handles = await world.started(3)
    path = Path(handles["sink", 0].launch.places["INTERACTEM_SLOT"].path)
    consumer = f"$JS.ACK.{world.names.stream(0)}.{world.names.consumer(0, 0)}"
    own, other = f"{consumer}.1.2.3.4.0", f"{consumer.replace('p0', 'p1')}.1.2.3.4.0"
    answers = await world.client.subscribe(">")
    await world.client.flush()
    with Slot(path) as slot:
        slot.begin(0, [Run(series_of("source.", ""), 4, 2)], 2)
        slot.current[0] = 2
        for reply in ("reply.to.me", other, world.names.control(0, "drain"), own):
            slot.hold(reply)
        handles["sink", 0].end(Exit(signal=signal.SIGSEGV))
        await world.launcher.started()
    crash = await world.record(world.names.crash(1, 0, "source.5"))
    assert (crash["id"], crash["attempts"]) == ("source.5", 2)
    assert "SIGSEGV" in crash["error"]
    handed_back = []
    while own not in handed_back:
        answer = await answers.next_msg(WAIT)
        handed_back += [answer.subject] if answer.data == b"-NAK" else []
    assert handed_back == [own], "only what was this replica's to hand back, whatever it has noted"
    (failure,) = world.events("failure")
    assert (failure["operator"], failure["message"], failure["attempts"]) == ("sink", "source.5", 2)


@scenario
async def test_a_kill_in_a_kernel_is_nobodys_attempt(world):
    handles = await world.started(3)
    path = Path(handles["sink", 0].launch.places["INTERACTEM_SLOT"].path)
    with Slot(path) as slot:
        slot.begin(0, [Run(series_of("source.", ""), 4, 1)], 1)
        slot.current[0] = 1
        handles["sink", 0].end(KILLED)
        await world.launcher.started()
    assert not world.events("failure")
    assert not await world.stored(world.names.crash(1, 0, "source.4"))


@scenario
async def test_drained_and_gone_on_with(world):
    handles = await world.started(3)
    world.supervisor.drain("enough")
    await world.record(world.names.control(0, "drain"))
    assert not await world.stored(world.names.control(1, "drain"))
    await world.finish(0, 0, handles["source", 0], drained=True)
    await world.record(world.names.control(1, "finish"))
    for replica in (0, 1):
        await world.finish(1, replica, handles["sink", replica])
    assert await world.running == "stopped"
    assert world.supervisor.reason == "enough"

    world.supervise()
    handles = await world.started(3)  # all of them: nobody has come to the end of the stream
    left = await world.stored(world.names.control("*", ">"), world.names.record("*", "*", "finished"))
    assert {subject.rpartition(".")[2] for subject in left} == {"assignment", "parameters"}


@scenario
async def test_what_has_ended_is_not_started_again(world):
    handles = await world.started(3)
    await world.finish(0, 0, handles["source", 0], sent=5)
    await world.record(world.names.control(1, "finish"))
    await world.finish(1, 0, handles["sink", 0])
    world.supervisor.stop("now")
    assert await world.running == "stopped"
    world.supervise()
    assert set(await world.started(1)) == {("sink", 1)}
    assert world.supervisor.progress()[0].sent == 5


@scenario
async def test_stopped_before_anything_was_started(world):
    world.supervisor.stop("never mind")
    assert await world.running == "stopped"
    assert world.launcher.handles == []


@scenario
async def test_drained_before_anything_was_started(world):
    world.supervisor.drain("never mind")
    handles = await world.started(3)
    await world.record(world.names.control(0, "drain"))
    await world.finish(0, 0, handles["source", 0], drained=True)
    for replica in (0, 1):
        await world.record(world.names.control(1, "finish"))
        await world.finish(1, replica, handles["sink", replica])
    assert await world.running == "stopped"


@scenario
async def test_draining_ends_with_the_grace(world):
    await world.started(3)
    world.supervisor.drain("enough", grace=0.01)
    assert await world.running == "stopped"
    assert world.supervisor.reason == "enough; it was not drained within 0.01 s"
    assert all(handle.terminated for handle in world.launcher.handles)


@scenario
async def test_a_replica_that_cannot_be_started(world):
    handles = await world.started(3)
    world.launcher.failure = LaunchError("sink", 0, "no such file")
    handles["sink", 0].end(KILLED)
    assert await world.running == "failed"
    assert "sink.0 cannot be started" in world.supervisor.reason


@scenario
async def test_the_broker_is_started_again(world):
    await world.started(3)
    os.kill(world.broker.pid, signal.SIGKILL)
    while not any(event["state"] == "restarted" for event in world.events("broker")):  # noqa: ASYNC110 - a file
        await asyncio.sleep(0.01)
    assert world.supervisor.state == "running"
    assert await streams.dead_letters(world.storer, world.plan) == {1: 0}


@scenario
async def test_dead_letters_are_counted_where_they_are_kept(world):
    handles = await world.started(3)
    for number in range(3):
        await world.storer.store(Store(world.names.dead(0, f"source.{number}"), b"x"))
    await world.storer.store(Store(world.names.dead(0, "source.1"), b"again"))
    await world.finish(0, 0, handles["source", 0])
    await world.record(world.names.control(1, "finish"))
    for replica in (0, 1):
        await world.finish(1, replica, handles["sink", replica])
    assert await world.running == "completed"
    assert world.supervisor.dead == 3
    assert world.supervisor.progress()[1].dead == 3
