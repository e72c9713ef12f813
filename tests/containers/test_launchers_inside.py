"""What a replica is allowed, seen from inside of its container and by the engine; and what is left of it: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import textwrap
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from interactem.engine.containers.arguments import NOBODYS_USER
from interactem.engine.containers.connecting import connect
from interactem.engine.containers.guard import ContainerGuard
from interactem.engine.containers.launcher import ContainerLauncher
from interactem.engine.containers.leftovers import find_leftovers, remove_leftovers, remove_of_run
from interactem.engine.errors import LaunchError
from interactem.engine.launchers import Exit, Launch, Place
from interactem.spec import Resources

pytestmark = pytest.mark.containers

IMAGE = "ghcr.io/nersc/interactem/operator"
WAIT = 60
BEHIND_INIT = "from interactem.runtime.init import stand_behind_init; stand_behind_init()\n"


class World:
    """An engine, and a launcher that starts small programs in it."""

    def __init__(self, engine, launcher, folder, run, events):
        self.engine = engine
        self.launcher = launcher
        self.folder = folder
        self.run = run
        self.events = events
        self.lines = []
        self.news = asyncio.Event()

    def log(self, line):
        self.lines.append(line)
        self.news.set()

    async def line(self, number=0):
        while len(self.lines) <= number:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), WAIT)
        return self.lines[number]

    async def start(self, code, **launch):
        made = Launch(
            operator="partial",
            replica=launch.pop("replica", 1),
            incarnation=0,
            command=("python", "-c", BEHIND_INIT + textwrap.dedent(code)),
            environment={},
            folder=self.folder,
            log=self.log,
            run=self.run,
            image=launch.pop("image", IMAGE),
        )
        return await self.launcher.start(replace(made, **launch))

    async def ask(self, code, **launch):
        """What a program prints as JSON; it must end well."""
        handle = await self.start(code, **launch)
        ended = await asyncio.wait_for(handle.wait(), WAIT)
        assert ended == Exit(code=0), b"\n".join(self.lines).decode()
        return json.loads(self.lines[-1])

    def containers(self):
        return self.engine.containers({"interactem.run": self.run})


@asynccontextmanager
async def world(name, folder, engine=None):
    events = []
    engine = engine or await asyncio.to_thread(connect, name)
    launcher = ContainerLauncher(engine, record=lambda kind, **details: events.append({"kind": kind, **details}))
    try:
        yield World(engine, launcher, folder, f"test-{os.getpid()}-{folder.name}"[:60], events)
    finally:
        await launcher.close()


@pytest.fixture
def within(engine, tmp_path):
    """Runs a test with a world in the engine."""

    def run(test, wrap=lambda made: made):
        async def main():
            made = await asyncio.to_thread(connect, engine.name)
            async with world(engine.name, tmp_path, wrap(made)) as around:
                await test(around)

        asyncio.run(main())

    return run


LOOK = """
    import json, os
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    def attempt(do):
        try:
            do()
            return "done"
        except OSError as error:
            return error.strerror
    seen = {
        "capabilities": {name: int(status[name], 16) for name in status if name.startswith("Cap")},
        "no_new_privileges": int(status["NoNewPrivs"]),
        "seccomp": int(status["Seccomp"]),
        "users": [int(number) for number in status["Uid"].split()],
        "groups": [int(number) for number in status["Gid"].split()],
        "root": attempt(lambda: open("/app/new", "w")),
        "temporary": attempt(lambda: open("/tmp/new", "w")),
        "home": os.path.expanduser("~"),
        "become_root": attempt(lambda: os.setuid(0)),
        "owner": attempt(lambda: os.chown("/tmp/new", 0, 0)),
        "device": attempt(lambda: os.mknod("/tmp/device", 0o60666, os.makedev(8, 0))),
        "mounts": {line.split()[4]: line.split()[5].split(",") for line in open("/proc/self/mountinfo")},
    }
    print(json.dumps(seen))
"""


def test_a_replica_has_no_rights(within):
    async def test(world):
        seen = await world.ask(LOOK)
        assert set(seen["capabilities"].values()) == {0}, "not even among those that it could get"
        assert seen["no_new_privileges"] == 1
        assert seen["seccomp"] == 2
        assert 0 not in (*seen["users"], *seen["groups"])
        assert "ro" in seen["mounts"]["/"]
        assert seen["root"] == "Read-only file system"
        assert seen["temporary"] == "done"
        assert {"rw", "nosuid", "nodev"} <= set(seen["mounts"]["/tmp"])
        assert seen["home"] == "/tmp"
        assert {seen[what] for what in ("become_root", "owner", "device")} == {"Operation not permitted"}

    within(test)


def test_a_replica_is_not_root_but_owns_its_places(within, tmp_path):
    """Also where the supervisor is root, and nobody else can read what is the replica's own."""

    async def test(world):
        (tmp_path / "secret").write_text("password")
        (tmp_path / "secret").chmod(0o600)
        (tmp_path / "outputs" / "earlier").mkdir(parents=True)
        places = {
            "SECRET": Place(tmp_path / "secret", "/interactem/secret", owned=True),
            "OUTPUTS": Place(tmp_path / "outputs", "/interactem/outputs", writable=True, owned=True),
        }
        code = """
            import json, os
            outputs = os.environ["OUTPUTS"]
            for name in ("new", "earlier/new"):
                open(os.path.join(outputs, name), "w").write("x")
            try:
                open(os.environ["SECRET"], "a")
                refused = ""
            except OSError as error:
                refused = error.strerror
            print(json.dumps([open(os.environ["SECRET"]).read(), refused, os.getuid()]))
        """
        secret, refused, uid = await world.ask(code, places=places)
        assert secret == "password"
        assert refused == "Read-only file system"
        about = (tmp_path / "secret").stat()
        assert stat.S_IMODE(about.st_mode) == 0o600
        if os.getuid() == 0:
            assert uid == about.st_uid == NOBODYS_USER
            assert (tmp_path / "outputs" / "earlier" / "new").stat().st_uid == NOBODYS_USER

    within(test)


def test_mounts_are_read_only_unless_they_are_said_to_be_writable(within, tmp_path):
    async def test(world):
        for name in ("read", "write"):
            (tmp_path / name).mkdir(mode=0o777)
            (tmp_path / name).chmod(0o777)
        binds = (Place(tmp_path / "read", "/mnt/read"), Place(tmp_path / "write", "/mnt/write", writable=True))
        code = """
            import json
            def attempt(path):
                try:
                    open(path, "w").write("x")
                    return "done"
                except OSError as error:
                    return error.strerror
            print(json.dumps([attempt("/mnt/read/new"), attempt("/mnt/write/new")]))
        """
        assert await world.ask(code, binds=binds) == ["Read-only file system", "done"]
        assert not (tmp_path / "read" / "new").exists()
        assert (tmp_path / "write" / "new").read_text() == "x"

    within(test)


LIMITS = """
    import json
    def read(*paths):
        for path in paths:
            try:
                return open("/sys/fs/cgroup/" + path).read().split()
            except OSError:
                continue
        return None
    print(json.dumps({
        "memory": read("memory.max", "memory/memory.limit_in_bytes"),
        "swap": read("memory.swap.max", "memory/memory.memsw.limit_in_bytes"),
        "cpu": read("cpu.max") or read("cpu/cpu.cfs_quota_us") + read("cpu/cpu.cfs_period_us"),
        "processes": read("pids.max", "pids/pids.max"),
    }))
"""


def test_limits_are_in_force(within):
    async def test(world):
        can = world.engine.abilities()
        if not (can.memory and can.cpus and can.processes):
            pytest.skip(f"this machine cannot limit everything: {can}")
        seen = await world.ask(LIMITS, resources=Resources(memory=64 * 2**20, cpus=0.5, processes=100))
        assert seen["memory"] == [str(64 * 2**20)]
        if can.swap:
            assert seen["swap"] in ([str(64 * 2**20)], ["0"]), "none beyond the memory: v1 counts both together"
        quota, period = map(int, seen["cpu"])
        assert quota / period == 0.5
        assert seen["processes"] == ["100"]

    within(test)


def test_processes_are_bounded_also_where_nothing_is_said(within):
    async def test(world):
        if not world.engine.abilities().processes:
            pytest.skip("this machine cannot limit processes")
        seen = await world.ask(LIMITS)
        assert seen["processes"] == ["1024"]

    within(test)


def test_one_that_is_killed_for_memory_says_so(within):
    async def test(world):
        if not world.engine.abilities().memory:
            pytest.skip("this machine cannot limit memory")
        code = """
            import mmap
            print("ready", flush=True)
            memory = mmap.mmap(-1, 512 * 2**20)
            for at in range(0, len(memory), 4096):
                memory[at] = 1
        """
        handle = await world.start(code, resources=Resources(memory=64 * 2**20))
        ended = await asyncio.wait_for(handle.wait(), WAIT)
        assert ended == Exit(signal=signal.SIGKILL, out_of_memory=True)
        assert str(ended) == "killed: out of memory"

    within(test)


class Unable:
    """An engine on a machine that cannot limit memory."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def abilities(self):
        return replace(self._engine.abilities(), memory=False, swap=False)


def test_a_limit_that_cannot_be_set_is_told_once(within):
    async def test(world):
        for replica in range(2):
            await world.ask("print(1)", replica=replica, resources=Resources(memory=2**26))
        (event,) = world.events
        assert (event["kind"], event["operator"]) == ("limit", "partial")
        assert "limit of memory is not set" in event["reason"]

    within(test, Unable)


def inspect(engine, container):
    return engine.command("inspect", container).stdout


def test_what_inspect_shows(within, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:proxy-password@proxy.example")

    async def test(world):
        (tmp_path / "secret").write_text("broker-password")
        places = {"INTERACTEM_CREDENTIALS": Place(tmp_path / "secret", "/interactem/secret", owned=True)}
        handle = await world.start("import signal; print('ready', flush=True); signal.pause()", places=places)
        await world.line()
        text = await asyncio.to_thread(inspect, engine, handle.id)
        assert "broker-password" not in text
        assert "proxy-password" not in text
        (shown,) = json.loads(text)
        labels = shown["Config"]["Labels"]
        assert labels["interactem.run"] == world.run
        assert (labels["interactem.operator"], labels["interactem.replica"]) == ("partial", "1")
        host = shown["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["Privileged"] is False
        assert host["NetworkMode"] == "host"
        assert host["CapAdd"] in (None, [])
        assert "no-new-privileges" in " ".join(host["SecurityOpt"])
        handle.kill()
        await handle.wait()

    within(test)


def test_two_replicas_are_two_containers(within):
    async def test(world):
        handles = [await world.start("import signal; signal.pause()", replica=replica) for replica in range(2)]
        found = world.containers()
        assert sorted(each.name for each in found) == sorted(handle.id for handle in handles)
        assert sorted(each.labels["interactem.replica"] for each in found) == ["0", "1"]

    within(test)


def things(engine):
    """Volumes, networks, and containers of this test."""
    return [sorted(engine.command(kind, "ls", "-q").stdout.split()) for kind in ("volume", "network")]


def test_nothing_is_left(within, engine, tmp_path):
    """Also where the image asks for a volume, however the container ends, and where it could not be started."""
    (tmp_path / "Containerfile").write_text(f"FROM {IMAGE}\nVOLUME /somewhere\n")
    image = f"localhost/test-volume-{os.getpid()}"
    built = engine.command("build", "-q", "-t", image, "-f", str(tmp_path / "Containerfile"), str(tmp_path))
    assert built.returncode == 0, built.stderr
    before = things(engine)

    async def test(world):
        ended = await world.start("print(1)", image=image)
        killed = await world.start("import signal; signal.pause()", replica=2, image=image)
        await ended.wait()
        killed.kill()
        await killed.wait()
        with pytest.raises(LaunchError):
            await world.start("", replica=3, image=image, command=("no-such-program",))
        await world.start("import signal; signal.pause()", replica=4, image=image)
        await world.launcher.close()

    try:
        within(test)
        assert things(engine) == before
        listed = engine.command("ps", "-aq", "--filter", f"ancestor={image}")
        assert listed.stdout.split() == []
    finally:
        engine.command("rmi", "-f", image)


def test_an_image_that_is_gone_is_said(within):
    async def test(world):
        with pytest.raises(LaunchError, match=r"partial\.1 cannot be started: .*(?i:no such image|image not known)"):
            await world.start("print(1)", image="sha256:" + "0" * 64)

    within(test)


def test_gpus_that_are_not_there_are_said(within, engine):
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")

    async def test(world):
        with pytest.raises(LaunchError, match="it asks for GPUs, which need the NVIDIA Container Toolkit"):
            await world.start("print(1)", resources=Resources(gpus=1))
        assert world.containers() == []

    within(test)


@contextmanager
def left(engine, run, supervisor):
    """A container as a supervisor leaves it that was killed together with its guard."""
    labels = {
        "interactem.run": run,
        "interactem.user": str(os.getuid()),
        "interactem.supervisor": supervisor,
    }
    flags = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    made = engine.command("create", *flags, "--entrypoint", "sleep", IMAGE, "1000")
    assert made.returncode == 0, made.stderr
    container = made.stdout.strip()
    try:
        yield container
    finally:
        engine.command("rm", "-f", container)


def ids(found):
    return {each.id for each in found}


def test_what_a_killed_supervisor_left_is_removed_and_nothing_else(engine):
    used = connect(engine.name)
    alive = ContainerLauncher(used)._identity.supervisor
    with (
        left(engine, f"test-dead-{os.getpid()}", "1:0:another-machine") as dead,
        left(engine, f"test-alive-{os.getpid()}", alive) as living,
    ):
        assert dead in ids(find_leftovers(used))
        assert living not in ids(find_leftovers(used))
        remove_leftovers(used)
        there = ids(used.containers({"interactem.run": None}))
        assert dead not in there
        assert living in there
        assert len(remove_of_run(used, f"test-alive-{os.getpid()}")) == 1
        assert living not in ids(used.containers({"interactem.run": None}))
    used.close()


def test_one_that_podman_made_anew_was_killed_for_all_that_is_known(base_images):
    """To attach to one that has just ended does that: so it may be after the service was away."""
    base_images["podman"]
    used = connect("podman")
    made = base_images["podman"].command("create", "--entrypoint", "true", IMAGE)
    container = made.stdout.strip()
    try:
        used.start(container)
        assert used.wait(container).code == 0
        with closing(used.attach(container)):
            assert not used.runs(container)
            assert used.wait(container).code == 128 + signal.SIGKILL
    finally:
        used.remove(container)
        used.close()


def test_a_guard_that_was_killed_is_replaced(tmp_path):
    guard = ContainerGuard(str(tmp_path / "no.sock"), "interactem.supervisor=none")
    guard.watch()
    first = guard.pid
    guard.watch()
    assert guard.pid == first
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    guard.watch()
    assert guard.pid != first
    guard.close()


def serve(path):
    """A podman service of our own, which the test may end."""
    return subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{path}"], stderr=subprocess.DEVNULL)


async def served(path):
    async with asyncio.timeout(WAIT):
        while True:
            try:
                return await asyncio.to_thread(connect, "podman", {"CONTAINER_HOST": f"unix://{path}"})
            except OSError:
                await asyncio.sleep(0.05)


def test_a_replica_outlives_a_restart_of_podmans_service(base_images, tmp_path):
    base_images["podman"]
    path = tmp_path / "podman.sock"
    services = [serve(path)]

    async def main():
        async with world("podman", tmp_path, await served(path)) as around:
            (tmp_path / "go").touch()
            code = """
                import os, time
                print("before", flush=True)
                while not os.path.getsize(os.environ["GO"]): time.sleep(0.01)
                print("after", flush=True)
                raise SystemExit(7)
            """
            handle = await around.start(code, places={"GO": Place(tmp_path / "go", "/go", owned=True)})
            await around.line()
            services[0].kill()
            services[0].wait()
            path.unlink()
            services.append(serve(path))
            again = await served(path)
            again.close()
            (tmp_path / "go").write_text("go")
            assert await asyncio.wait_for(handle.wait(), WAIT) == Exit(code=7)

    try:
        asyncio.run(main())
    finally:
        for service in services:
            service.kill()
            service.wait()
