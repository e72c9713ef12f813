"""Keepers, with a launcher that starts nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

import pytest

from interactem.engine import keeping
from interactem.engine import kept_run as module
from interactem.engine.errors import EngineError, LaunchError
from interactem.engine.folders import RunFolder
from interactem.engine.index import KeeperRecord, ProcessIdentity
from interactem.engine.keeper import SOCKET, Keeper
from interactem.engine.keeping import Keeper as Link
from interactem.engine.keeping import KeeperLostError, KeptLauncher
from interactem.engine.kept import launch_to_value, to_line
from interactem.engine.launchers import Exit, Launch, RecordingLauncher
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.assignment import Assignment, Output

SOURCE = Assignment("run-1", 0, "source", outputs=(Output("out", 0, 1, (), ()),))
PLAN = Plan("run-1", "test", "power", (PlannedOperator("source", "reader", "/operators/reader", SOURCE),), {})
WAIT = 30.0


class World:
    """A keeper in this process, and what belongs to it."""

    def __init__(self, path, patience):
        self.folder = RunFolder.create(path / "run")
        self.secrets = path / "secrets"
        self.secrets.mkdir(mode=0o700)
        self.launcher = RecordingLauncher()
        self.keeper = Keeper(PLAN, self.folder, self.secrets, patience)
        self.record = KeeperRecord(ProcessIdentity(0, "", ""), self.secrets / SOCKET)
        self.links = []
        self.first, theirs = socket.socketpair()
        self.running = asyncio.create_task(self.keeper.run(theirs))

    async def begin(self):
        """The first supervisor's connection."""
        self.links.append(await Link(self.record)._open(self.first))
        return self.links[-1]

    async def next(self):
        self.links.append(await Link.join(self.record))
        return self.links[-1]

    def kinds(self):
        """Of the events that stand in the run's folder."""
        return [json.loads(line)["kind"] for line in self.folder.events.read_text().splitlines()]

    async def close(self):
        for link in self.links:
            gone(link)
            with suppress(OSError):
                await link._writer.wait_closed()

    def launch(self, incarnation=0):
        note = {"deaths": incarnation}
        return Launch("source", 0, incarnation, ("run",), {}, self.folder.path, lambda line: None, "run-1", note=note)


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    def run(test, patience=60.0):
        async def whole():
            world = World(tmp_path, patience)

            async def make(plan, record):
                record("engine", engine="none")
                return world.launcher

            monkeypatch.setattr(module, "make_launcher", make)
            try:
                await test(world)
                await asyncio.wait_for(world.running, WAIT)
            finally:
                await world.close()

        asyncio.run(asyncio.wait_for(whole(), 2 * WAIT))

    return run


def gone(link):
    """As if its process were killed."""
    link._writer.close()
    link._listening.cancel()


def test_the_next_supervisor_finds_what_the_first_one_has_started(scenario):
    async def test(world):
        first = await world.begin()
        started = await KeptLauncher(first).start(world.launch(2))
        gone(first)
        second = await world.next()
        adopted = second.adopted["source", 0]
        assert (adopted.handle.id, adopted.incarnation, adopted.note) == (started.id, 2, {"deaths": 2})
        waiting = asyncio.create_task(adopted.handle.wait())
        world.launcher.handles[0].end(Exit(code=7))
        assert await waiting == Exit(code=7)
        await second.ask("end")

    scenario(test)


def test_one_of_another_version_is_left_alone(scenario, monkeypatch):
    async def test(world):
        gone(await world.begin())
        with monkeypatch.context() as newer:
            newer.setattr(keeping, "VERSION", 2)
            with pytest.raises(EngineError, match="speaks version 1, this interactem version 2; use the interactem"):
                await world.next()
        await (await world.next()).ask("end")

    scenario(test)


def test_an_end_that_nobody_has_seen_is_told_to_the_next_one(scenario):
    async def test(world):
        first = await world.begin()
        await KeptLauncher(first).start(world.launch())
        gone(first)
        world.launcher.handles[0].end(Exit(signal=11))
        second = await world.next()
        assert await second.adopted["source", 0].handle.wait() == Exit(signal=11)
        again = await KeptLauncher(second).start(world.launch(1))
        gone(second)
        third = await world.next()
        assert third.adopted["source", 0].handle.id == again.id
        assert [handle.launch.incarnation for handle in world.launcher.handles] == [0, 1]
        await third.ask("end")

    scenario(test)


def test_what_a_dead_supervisor_had_asked_for_is_done_before_the_next_one_is_heard(scenario):
    async def test(world):
        first = await world.begin()
        request = {"number": 99, "do": "start", "launch": launch_to_value(world.launch())}
        first._writer.write(to_line(request) + b'{"number": 100, "do": "st')  # and was killed in the middle of a word
        gone(first)
        second = await world.next()
        assert list(second.adopted) == [("source", 0)]
        assert len(world.launcher.handles) == 1
        await second.ask("end")

    scenario(test)


def test_it_ends_when_nobody_comes(scenario):
    async def test(world):
        first = await world.begin()
        await KeptLauncher(first).start(world.launch())
        with world.folder.held():  # somebody is about to come
            gone(first)
            await asyncio.sleep(0.3)
            assert not world.launcher.handles[0].terminated
        await asyncio.wait_for(world.running, WAIT)
        assert world.launcher.handles[0].terminated
        assert not world.secrets.exists()
        assert world.kinds() == ["unattended", "cleaned up"]
        with pytest.raises(KeeperLostError):
            await world.next()

    scenario(test, patience=0.05)


def test_it_ends_at_once_where_nothing_was_started(scenario):
    async def test(world):
        gone(await world.begin())

    scenario(test)


def test_it_ends_at_once_where_the_run_was_just_being_ended(scenario):
    async def test(world):
        first = await world.begin()
        await KeptLauncher(first).start(world.launch())
        await KeptLauncher(first).close()
        with pytest.raises(EngineError, match="starts nothing any more"):
            await KeptLauncher(first).start(world.launch(1))
        gone(first)

    scenario(test)


def test_errors_come_back_as_what_they_are(scenario):
    async def test(world):
        first = await world.begin()
        world.launcher.failure = LaunchError("source", 0, "no such file")
        with pytest.raises(LaunchError, match="no such file"):
            await KeptLauncher(first).start(world.launch())
        await first.ask("end")

    scenario(test)


def test_events_of_the_launcher_reach_the_next_supervisor_if_the_first_has_not_written_them(scenario):
    async def test(world):
        first = await world.begin()
        assert await first.ask("events", written=0) == [["engine", {"engine": "none"}]]
        gone(first)
        second = await world.next()
        assert await second.ask("events", written=0) == [["engine", {"engine": "none"}]]
        await second.ask("end")

    scenario(test)


def test_a_keeper_that_is_lost_fails_what_was_asked(scenario):
    async def test(world):
        first = await world.begin()
        handle = await KeptLauncher(first).start(world.launch())
        asking = asyncio.create_task(first.ask("events", written=1))
        await first.ask("end")
        with pytest.raises(KeeperLostError, match="gone"):
            await asking
        assert (await handle.wait()).signal == 9

    scenario(test)
