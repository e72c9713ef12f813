"""The example pipelines on recorded and simulated frames; killed or not, the result is the same, bit for bit."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]

ROWS = [[128.805, 128.262, 127.761, 127.432], [129.146, 128.790, 128.069, 127.780]]
COLUMNS = [[41.851, 42.130, 42.311, 42.488], [42.158, 42.475, 42.554, 42.816]]
PNG = b"\x89PNG\r\n\x1a\n"
REPLICAS = [
    (name, replica)
    for name, replicas in (
        ("frames", 1),
        ("count", 1),
        ("reduce", 1),
        ("partial", 2),
        ("array", 1),
        ("plot", 1),
        ("image", 1),
    )
    for replica in range(replicas)
]
SCAN = ("--set", "frames.scan_rows=96", "--set", "frames.frames_per_message=6")


@pytest.fixture
def recorded(data_folder):
    def find(name):
        file = data_folder / name
        if not file.is_file():
            pytest.skip(f"{file} is not there: recorded scans are kept beside the checkout")
        return file

    return find


@pytest.fixture(scope="module")
def undisturbed(make_project, root):
    """The outputs of a run that nobody disturbs: the array's file, and how long it took."""
    project = make_project("undisturbed")
    done = project.run(root / "pipelines" / "center-of-mass.json", *SCAN, seconds=200)
    assert done.code == 0, done
    return project.path / "run" / "outputs"


def outputs(done):
    return {path.rpartition("/")[2]: path for path in done.json["outputs"]}


def test_the_figures_of_a_recorded_scan(project, root, recorded):
    file = recorded("merlin_4x2_6bit.mib")
    done = project.run(root / "pipelines" / "center-of-mass-file.json", "--set", f"frames.file={file}")
    assert done.code == 0, done
    found = outputs(done)
    maps = np.load(found["center-of-mass.npy"])
    assert (maps.dtype, maps.shape) == (np.float64, (2, 2, 4))
    np.testing.assert_allclose(maps, [ROWS, COLUMNS], atol=0.0005)
    with open(found["center-of-mass.png"], "rb") as picture:
        assert picture.read(8) == PNG


def test_another_format(project, root, recorded):
    file = recorded("precession_3x2.blo")
    done = project.run(root / "pipelines" / "center-of-mass-file.json", "--set", f"frames.file={file}")
    assert done.code == 0, done
    maps = np.load(outputs(done)["center-of-mass.npy"])
    assert (maps.dtype, maps.ndim, maps[0].size) == (np.float64, 3, 6)
    assert np.isfinite(maps).all()


def test_a_simulated_scan(undisturbed):
    maps = np.load(undisturbed / "center-of-mass.npy")
    assert (maps.dtype, maps.shape) == (np.float64, (2, 96, 64))
    assert np.isfinite(maps).all()
    assert (undisturbed / "center-of-mass.png").read_bytes().startswith(PNG)


def same(undisturbed, project):
    """Whether both files of arrays are equal, byte for byte."""
    found = project.path / "run" / "outputs" / "center-of-mass.npy"
    expected = undisturbed / "center-of-mass.npy"
    assert np.array_equal(np.load(found), np.load(expected), equal_nan=True)
    return found.read_bytes() == expected.read_bytes()


@pytest.fixture
def disturb(project, root):
    """Starts the pipeline with a passage for its frames, with these parameters, where the run may be held up."""

    def start(*arguments, **passage):
        (project.path / "operators" / "examples").symlink_to(root / "operators")
        pipeline = json.loads((root / "pipelines" / "center-of-mass.json").read_text())
        operators = pipeline["operators"]
        operators |= {"passage": {"operator": "passage", "parameters": passage}, "witness": {"operator": "witness"}}
        edges = [f"{edge['from']} -> {edge['to']}" for edge in pipeline["edges"]]
        edges[edges.index("frames.frames -> count.frames")] = "frames.frames -> passage.in"
        edges += ["passage.out -> count.frames", "passage.out -> witness.in"]
        return project.start(project.pipeline(operators, *edges), *arguments)

    return start


def hurry(run):
    (run.folder / "outputs" / ".hurry").touch()


SLOW = 0.05
"""Seconds for each of 1,024 messages, until the test has done what it wanted: it never comes too late."""


def test_every_second_a_replica_is_killed(project, disturb, undisturbed):
    turn = itertools.cycle([*REPLICAS, ("passage", 0), ("witness", 0)])

    def next_one(run):
        # whose turn it is may be done already; the last ones must not be killed sooner than they can start
        name = next(turn)
        return [(name, run.replicas().get(name))]

    run = disturb(*SCAN, seconds=SLOW)
    # the source is the first in turn, and may be done before it is its turn again
    run.wait_for(lambda run: run.replicas().get(("frames", 0)), "the source to start")
    with run.killing(next_one, 1.0) as assassin:
        run.wait_for(lambda run: len(assassin.victims) >= 12 and set(assassin.victims) >= set(REPLICAS), "kills")
        hurry(run)
        done = run.end(300)
    assert done.code == 0, done
    assert done.json["dead"] == 0
    assert same(undisturbed, project)


def test_every_second_all_replicas_are_killed(project, disturb, undisturbed):
    run = disturb(*SCAN, seconds=SLOW)
    run.wait_for(lambda run: run.replicas().keys() >= set(REPLICAS), "replicas")
    parents = {}

    def everyone(run):
        found = run.replicas().items()
        for name, pid in found:
            parents.setdefault(name, set()).add(parent_of(pid))
        return found

    # to the end, but not for ever: on a slow machine a message that takes a second would be blamed in the end
    with run.killing(everyone, 1.0, rounds=25) as assassin:
        run.wait_for(lambda run: assassin.rounds >= 8, "kills")
        assert set(assassin.victims) >= set(REPLICAS)
        # those that were started again are forks: each of these operators can have a standby
        assert [name for name in REPLICAS if not parents[name] - {None, run.process.pid}] == []
        hurry(run)
        done = run.end(300)
    assert done.code == 0, done
    assert done.json["dead"] == 0
    assert same(undisturbed, project)


def test_the_broker_is_killed_again_and_again(project, disturb, undisturbed):
    run = disturb(*SCAN, seconds=SLOW)
    run.wait_for(lambda run: broker_bytes(run) > 1_000_000, "frames on their way")
    with run.killing(lambda run: [("broker", run.broker())], 1.5) as assassin:
        run.wait_for(lambda run: len(assassin.victims) >= 4, "kills")
        hurry(run)
        done = run.end(300)
    assert done.code == 0, done
    assert done.json["dead"] == 0
    assert sum(numbers["restarts"] for numbers in done.json["operators"].values()) == 0
    assert same(undisturbed, project)


def test_the_broker_is_killed_between_an_output_and_its_inputs_acknowledgement(project, disturb, undisturbed):
    run = disturb(*SCAN, "--set", "frames.frames_per_message=48", kills=6)
    done = run.end(300)
    assert done.code == 0, done
    assert len(run.events("broker")) == 12  # each death, and the start after it
    assert done.json["operators"]["passage"]["restarts"] == 3
    assert done.json["dead"] == 0
    assert same(undisturbed, project)


def test_the_supervisor_is_killed_and_the_run_resumed(project, root, undisturbed):
    run = project.start(root / "pipelines" / "center-of-mass.json", *SCAN)
    for share in (3, 2):
        # some way into the run, as the maps fill
        run.wait_for(lambda run, share=share: broker_bytes(run) > 2_000_000 // share, "frames on their way")
        # replicas that were started again, as children of others, must go as well
        killed = [(name, pid) for name, pid in run.replicas().items() if run.kill(pid)]
        run.wait_for(lambda run, killed=killed: started_again(run, killed), "them to be started again")
        run.signal(signal.SIGKILL)
        run.end()
        assert project.nothing_is_left()
        run = project.resume()
    done = run.end(300)
    assert done.code == 0, done
    assert same(undisturbed, project)


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def started_again(run, killed):
    """Whether all of these, as (operator, replica) with the process id, were started again, or were done."""
    last = {(event["operator"], event["replica"]): event for event in run.events("replica")}
    return all(last[name]["state"] == "stopped" or last[name].get("id", str(pid)) != str(pid) for name, pid in killed)


def broker_bytes(run):
    return sum(file.stat().st_size for file in (run.folder / "broker").rglob("*.blk"))
