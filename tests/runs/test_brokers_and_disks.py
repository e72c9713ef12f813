"""Other brokers than the run's own, and disks that are full."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from interactem.engine.broker import server_program

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

MEBIBYTE = 2**20
PASSWORD = "s3cret-" + secrets.token_hex(8)


class Server:
    """A NATS server of the user's own."""

    def __init__(self, folder, *, password=PASSWORD, **more):
        folder.mkdir(exist_ok=True)
        config = {
            "listen": "127.0.0.1:-1",
            "ports_file_dir": str(folder),
            "authorization": {"users": [{"user": "me", "password": password}]},
            "jetstream": {"store_dir": str(folder / "store"), "max_file_store": 10 * 1024 * MEBIBYTE},
            **more,
        }
        (folder / "nats.conf").write_text(json.dumps(config))
        self.process = subprocess.Popen([server_program(), "-c", folder / "nats.conf", "-l", folder / "log"])
        from_file = folder / f"nats-server_{self.process.pid}.ports"
        while not from_file.exists() or not from_file.read_text().strip():
            assert self.process.poll() is None
        self.url = json.loads(from_file.read_text())["nats"][0].replace("//", f"//me:{password}@")

    def streams(self):
        async def ask():
            client = await nats.connect(self.url)
            try:
                return [info.config.name for info in await client.jetstream().streams_info()]
            finally:
                await client.close()

        return asyncio.run(ask())

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(**options):
        servers.append(Server(tmp_path / f"server{len(servers)}", **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def told(project, run):
    """All that could give a password away: files of the run, environments and command lines."""
    for path in run.folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
    for pid, command in project.processes():
        if pid != run.process.pid:  # what the user has typed
            yield pid, command.encode() + Path(f"/proc/{pid}/environ").read_bytes()


def test_an_existing_server(project, chain, exactly_once, serve):
    server = serve()
    run = project.start(chain(300, numbers={"rate": 60.0}), "--broker", server.url)
    run.wait_for(lambda run: len(run.replicas()) == 6, "replicas")
    assert server.streams()
    found = list(told(project, run))
    assert len(found) > 6
    assert not [where for where, what in found if PASSWORD.encode() in what]
    done = run.end()
    assert done.code == 0, done
    exactly_once(project, 300)
    assert server.streams() == []
    assert not (run.folder / "broker" / "store").exists()


def test_an_existing_server_in_the_background_stopped_resumed_and_with_dead_letters(
    project, chain, exactly_once, serve
):
    server = serve()
    broker = ("--broker", server.url)
    file = chain(300, numbers={"rate": 60.0}, trouble={"mode": "raise", "every": 100}, max_attempts=1)
    place = project.path / "run"
    assert project.do("pipeline", "run", file, "--detach", "--run-dir", place, *broker).code == 0
    assert server.streams()
    assert not (place / "broker" / "store").exists()
    assert project.do("pipeline", "stop", "last", "--json").json["state"] == "stopped"
    done = project.do("pipeline", "resume", "last")
    assert done.code == 2
    assert "--broker URL" in done.err
    done = project.resume("run", *broker).end()
    assert (done.code, done.json["state"], done.json["dead"]) == (1, "completed", 3), done
    assert project.do("pipeline", "dead", "ls", "last").code == 2
    assert len(project.do("pipeline", "dead", "ls", "last", *broker, "--json").json) == 3
    assert project.do("pipeline", "set", "last", "trouble.mode=none", *broker).code == 0
    done = project.do("pipeline", "dead", "retry", "last", *broker, "--json")
    assert (done.code, done.json["state"]) == (0, "completed"), done
    exactly_once(project, 300)
    assert server.streams() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jetstream": "disabled"}, "has no JetStream"),
        ({"jetstream": {"max_file_store": 8 * MEBIBYTE}}, "has no room for the run's streams"),
        ({"max_payload": 65_536, "max_pending": MEBIBYTE}, "its max_payload is 65,536 bytes"),
    ],
    ids=["no-jetstream", "no-room", "small-messages"],
)
def test_a_server_of_no_use(project, chain, serve, tmp_path, options, words):
    if isinstance(options.get("jetstream"), dict):
        options = {"jetstream": {"store_dir": str(tmp_path / "store"), **options["jetstream"]}}
    server = serve(**options)
    done = project.run(chain(10), "--broker", server.url)
    assert done.code == 1, done
    assert words in done.out
    assert PASSWORD not in done.out + done.err
    if words == "has no room for the run's streams":
        assert server.streams() == []
    else:
        assert not (project.path / "run").exists()


def test_a_wrong_password(project, chain, serve):
    server = serve()
    done = project.run(chain(10), "--broker", server.url.replace(PASSWORD, "guessed"))
    assert done.code == 1
    assert "refuses these credentials" in done.json["error"]
    assert "guessed" not in done.out + done.err
    assert not (project.path / "run").exists()


def test_a_server_with_little_room(project, chain, exactly_once, serve, tmp_path):
    server = serve(jetstream={"store_dir": str(tmp_path / "store"), "max_file_store": 150 * MEBIBYTE})
    done = project.run(chain(100), "--broker", server.url)
    assert done.code == 0, done
    exactly_once(project, 100)


# disks


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 220 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can make a small disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220m", "tmpfs", place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be made here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk, leave):
    """Take the room on the disk, but for so many bytes."""
    size = shutil.disk_usage(disk).free - leave
    with (disk / "junk").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


LARGE = {"size": 100_000}


def test_a_slow_receiver_makes_the_sender_wait_before_the_disk_is_full(project, chain, small_disk):
    """100 MB go through a store of less; nothing fails."""
    file = chain(1000, numbers=LARGE, keep={"seconds": 0.005})
    run = project.start(file, folder=small_disk / "run")
    least = shutil.disk_usage(small_disk).free
    while run.running:
        least = min(least, shutil.disk_usage(small_disk).free)
    done = run.end()
    assert done.code == 0, done
    assert least > 16 * MEBIBYTE
    assert project.kept(small_disk / "run") == [[number, number**2, 100_000, 1] for number in range(1000)]


def test_somebody_fills_the_disk(project, chain, small_disk):
    run = project.start(chain(300, numbers={"rate": 60.0, **LARGE}), folder=small_disk / "run")
    run.wait_for(lambda run: len(run.replicas()) == 6, "replicas")
    fill(small_disk, 0)
    done = run.end()
    assert (done.code, done.json["state"]) == (1, "failed"), done
    assert "is full" in done.json["reason"]
    assert "make room" in done.json["reason"]
    assert project.nothing_is_left()
    done = project.resume(small_disk / "run").end()
    assert done.code == 1  # there is still no room
    assert "nearly full" in done.out
    (small_disk / "junk").unlink()
    fill(small_disk, 120 * MEBIBYTE)  # less than there was in the beginning
    done = project.resume(small_disk / "run").end()
    assert done.code == 0, done
    assert project.kept(small_disk / "run") == [[number, number**2, 100_000, 1] for number in range(300)]


def test_no_room_from_the_beginning(project, chain, small_disk):
    fill(small_disk, 20 * MEBIBYTE)
    done = project.run(chain(10), folder=small_disk / "run")
    assert done.code == 2
    assert "nearly full" in done.json["error"]
    assert not (small_disk / "run").exists()
