from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig

from interactem.engine.broker import BrokerSettings, EmbeddedBroker, server_config, server_program, store_limit
from interactem.engine.errors import BrokerError
from interactem.engine.halves import remove_half_made

MEBIBYTE = 1024 * 1024
WAIT = 60


def start(tmp_path: Path, **options):
    options = {"durability": "process", "store_bytes": 256 * MEBIBYTE} | options
    return EmbeddedBroker.start(tmp_path / "broker", tmp_path / "secrets", **options)


async def connect(broker: EmbeddedBroker, **options):
    login = json.loads(broker.credentials.read_text())
    return await nats.connect(broker.url, **login, **options)


def process_file(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def run(coroutine) -> None:
    asyncio.run(asyncio.wait_for(coroutine, WAIT))


def test_the_store_is_bounded_below_the_free_disk_space():
    gibibyte = 1024 * MEBIBYTE
    assert store_limit(100 * gibibyte) == 90 * gibibyte
    assert store_limit(5 * gibibyte) == 4 * gibibyte
    assert store_limit(400 * MEBIBYTE) == 300 * MEBIBYTE
    assert store_limit(0) == 0
    assert store_limit(400 * MEBIBYTE, stored_bytes=50) == 300 * MEBIBYTE + 50


@pytest.mark.parametrize(("durability", "sync"), [("power", "always"), ("process", "2m")])
def test_durability_is_when_the_server_syncs(tmp_path, durability, sync):
    settings = BrokerSettings(tmp_path, tmp_path, durability, 1000)
    config = server_config(settings, {"run": "p"})
    assert config["jetstream"]["sync_interval"] == sync
    assert config["listen"] == "127.0.0.1:-1"
    assert config["jetstream"]["max_file_store"] == 1000
    assert not any("http" in key for key in config)


def test_the_server_is_that_of_our_package():
    assert server_program().name == "nats-server"
    assert os.access(server_program(), os.X_OK)


@pytest.mark.broker
def test_only_with_the_credential(tmp_path):
    async def test() -> None:
        broker = await start(tmp_path)
        try:
            client = await connect(broker)
            assert client.max_payload == 8 * MEBIBYTE
            assert (await client.jetstream().account_info()).limits.max_storage == -1
            await client.close()
            stranger = nats.NATS()
            with pytest.raises(nats.errors.Error, match="Authorization Violation"):
                await stranger.connect(broker.url, allow_reconnect=False, error_cb=_ignore)
            await stranger.close()
        finally:
            await broker.stop()

    run(test())


async def _ignore(_: Exception) -> None:
    """The default writes refused connections to the log."""


@pytest.mark.broker
def test_secrets_are_for_the_user_only_and_nowhere_else(tmp_path):
    async def test() -> None:
        broker = await start(tmp_path)
        password = json.loads(broker.credentials.read_text())["password"]
        command = process_file(broker.pid, "cmdline")
        await broker.stop()
        assert password.encode() not in command
        assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
        for file in (tmp_path / "secrets").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        for file in (tmp_path / "broker").rglob("*"):
            assert not file.is_file() or password.encode() not in file.read_bytes(), file

    run(test())


@pytest.mark.broker
def test_after_a_kill_the_broker_comes_back_where_it_was(tmp_path):
    async def test() -> None:
        broker = await start(tmp_path, durability="power")
        try:
            again = asyncio.Event()

            async def reconnected() -> None:
                again.set()

            client = await connect(
                broker,
                reconnected_cb=reconnected,
                error_cb=_ignore,
                reconnect_time_wait=0.05,
                max_reconnect_attempts=-1,
            )
            context = client.jetstream()
            await context.add_stream(StreamConfig(name="S", subjects=["s"], max_bytes=MEBIBYTE))
            await context.publish("s", b"kept")
            url, pid = broker.url, broker.pid
            os.kill(pid, signal.SIGKILL)
            assert await broker.wait() == -signal.SIGKILL
            await broker.restart()
            assert broker.url == url
            assert broker.pid != pid
            await again.wait()
            assert (await context.get_msg("S", 1)).data == b"kept"
            await client.close()
        finally:
            await broker.stop()

    run(test())


@pytest.mark.broker
def test_a_later_server_takes_over_the_store(tmp_path):
    async def test() -> None:
        first = await start(tmp_path)
        client = await connect(first)
        await client.jetstream().add_stream(StreamConfig(name="S", subjects=["s"], max_bytes=MEBIBYTE))
        await client.jetstream().publish("s", b"kept")
        await client.close()
        await first.stop()
        second = await start(tmp_path)
        client = await connect(second)
        assert (await client.jetstream().get_msg("S", 1)).data == b"kept"
        await client.close()
        await second.stop()
        await second.stop()

    run(test())


@pytest.mark.broker
def test_two_servers_never_share_a_store(tmp_path, monkeypatch):
    monkeypatch.setattr("interactem.engine.broker.LOCK_SECONDS", 0.1)

    async def test() -> None:
        broker = await start(tmp_path)
        with pytest.raises(BrokerError, match="another server uses the store"):
            await start(tmp_path)
        await broker.stop()

    run(test())


@pytest.mark.broker
def test_a_server_that_does_not_start_says_why(tmp_path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "store").write_text("not a folder")

    async def test() -> None:
        with pytest.raises(BrokerError, match=r"ended as it started: Can't start JetStream: storage dir"):
            await start(tmp_path)

    run(test())


def killing(monkeypatch, times):
    """Kill the server so often as it starts, before it serves."""
    kills = []
    wait_for_port = EmbeddedBroker._port

    async def port(broker, process):
        if len(kills) < times:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            kills.append(process.pid)
        return await wait_for_port(broker, process)

    monkeypatch.setattr(EmbeddedBroker, "_port", port)
    return kills


@pytest.mark.broker
def test_a_server_that_is_killed_while_it_is_started_again(tmp_path, monkeypatch):
    async def test() -> None:
        broker = await start(tmp_path)
        try:
            url = broker.url
            kills = killing(monkeypatch, 3)
            os.kill(broker.pid, signal.SIGKILL)
            await broker.wait()
            await broker.restart()
            assert len(kills) == 3
            assert broker.url == url
            client = await connect(broker)
            await client.close()
        finally:
            await broker.stop()

    run(test())


@pytest.mark.broker
def test_a_server_that_is_killed_each_time_it_starts(tmp_path, monkeypatch):
    kills = killing(monkeypatch, 100)
    with pytest.raises(BrokerError, match="was killed by signal 9 as it started"):
        run(start(tmp_path))
    assert len(kills) == 5


@pytest.mark.broker
def test_the_broker_dies_with_the_process_that_started_it(tmp_path):
    code = """
        import asyncio, sys, time
        from pathlib import Path
        from interactem.engine.broker import EmbeddedBroker

        async def main():
            folder = Path(sys.argv[1])
            broker = await EmbeddedBroker.start(folder / "b", folder / "s", durability="process", store_bytes=10**8)
            print(broker.pid, flush=True)
            await broker.wait()

        asyncio.run(main())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE)
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    try:
        gone = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        import select

        assert select.select([gone], [], [], WAIT)[0], "the server outlived its parent"
    finally:
        os.close(gone)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 40 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.broker
def test_a_full_disk_loses_nothing_and_a_restart_recovers(small_disk, tmp_path):
    """On a full disk the server goes silent about what it cannot store, and stays so: that is why it is bounded."""

    async def test() -> None:
        folder, secrets = small_disk / "broker", tmp_path / "secrets"
        other = small_disk / "other"
        other.write_bytes(bytes(24 * MEBIBYTE))
        broker = await EmbeddedBroker.start(folder, secrets, durability="power", store_bytes=1024 * MEBIBYTE)
        try:
            client = await connect(broker)
            context = client.jetstream()
            await context.add_stream(StreamConfig(name="S", subjects=["s"], max_bytes=1024 * MEBIBYTE))
            stored = 0
            with pytest.raises(TimeoutError):
                while stored < 40:
                    await context.publish("s", bytes(MEBIBYTE), timeout=3)
                    stored += 1
            assert (await context.get_msg("S", stored)).data == bytes(MEBIBYTE), "what it has it still gives"
            other.unlink()
            with pytest.raises(TimeoutError):
                await context.publish("s", b"room again", timeout=3)
            await client.close()
            await broker.restart()
            client = await connect(broker)
            context = client.jetstream()
            assert (await context.stream_info("S")).state.messages == stored
            assert (await context.publish("s", b"after")).seq == stored + 1
            await client.close()
        finally:
            await broker.stop()

    run(test())


@pytest.mark.broker
def test_a_bounded_store_refuses_at_once_and_goes_on_when_there_is_room(tmp_path):
    async def test() -> None:
        broker = await start(tmp_path, store_bytes=4 * MEBIBYTE)
        try:
            client = await connect(broker)
            context = client.jetstream()
            with pytest.raises(nats.js.errors.ServerError):
                await context.add_stream(StreamConfig(name="T", subjects=["t"], max_bytes=5 * MEBIBYTE))
            await context.add_stream(StreamConfig(name="S", subjects=["s"]))
            with pytest.raises(nats.js.errors.ServiceUnavailableError):
                for _ in range(20):
                    await context.publish("s", bytes(MEBIBYTE))
            await context.purge_stream("S")
            assert (await context.publish("s", b"room")).stream == "S"
            await client.close()
        finally:
            await broker.stop()

    run(test())


@pytest.mark.broker
def test_what_was_made_by_half_when_the_server_was_killed_is_made_whole(tmp_path):
    """Stopped between what a stream or consumer is and the checksum of that: left as a kill at that point leaves it."""

    async def test() -> None:
        broker = await start(tmp_path)
        context = (await connect(broker)).jetstream()
        await context.add_stream(StreamConfig(name="S", subjects=["s"]))
        await context.add_stream(StreamConfig(name="K", subjects=["k"]))
        await context.publish("k", b"kept")
        await context._nc.close()
        await broker.stop()
        [whole] = (tmp_path / "broker" / "store").glob("jetstream/*/streams/S")
        (whole / "meta.sum").unlink()
        half = whole.with_name("K") / "obs" / "c"
        half.mkdir()
        (half / "meta.inf").write_text("{}")
        for time in range(3):
            broker = await start(tmp_path)
            context = (await connect(broker)).jetstream()
            if time == 0:  # whoever had no answer asks again
                await context.add_stream(StreamConfig(name="S", subjects=["s"]))
                await context.add_consumer("K", durable_name="c")
            assert (await context.consumer_info("K", "c")).num_pending == 1
            sequence = (await context.publish("s", b"stored")).seq
            assert (await context.get_msg("K", 1)).data == b"kept"
            await context._nc.close()
            os.kill(broker.pid, signal.SIGKILL)
            await broker.wait()
        assert sequence == 3, "none of them was forgotten"

    run(test())


def test_what_holds_messages_is_never_removed(tmp_path):
    streams = tmp_path / "jetstream" / "run" / "streams"
    for name, block in (("empty", b""), ("full", b"message")):
        (streams / name / "msgs").mkdir(parents=True)
        (streams / name / "msgs" / "1.blk").write_bytes(block)
        (streams / name / "meta.inf").write_text("{}")
    assert remove_half_made(tmp_path) == [streams / "empty"]
    assert [folder.name for folder in streams.iterdir()] == ["full"]
    assert remove_half_made(tmp_path / "nothing") == []
