"""Shared memory around a run: how much, for whom, what becomes of it in between and in the end."""

from __future__ import annotations

import json
import os

import pytest

from interactem.engine import arenas
from interactem.engine.arenas import LEAST, MOST, Room
from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord
from interactem.engine.plan import make_plan
from interactem.runtime.arena import Arena
from interactem.spec import Graph, OperatorSpec, PipelineSpec

MEBIBYTE = 2**20
RUN = "20261121-180000-abcd"


def spec(**ports):
    value = {
        "id": "1527da26-6b3e-57f2-b1fc-b795fb908e3a", "label": "x", "description": "x", "image": "x",
        "parallel_config": {"type": "embarrassing"},
    }  # fmt: skip
    made = {
        key: [{"name": n, "label": n, "type": "any", "description": n} for n in names] for key, names in ports.items()
    }
    return OperatorSpec.model_validate({**value, **made})


CATALOG = {
    "source": spec(outputs=["out", "other"]),
    "pass": spec(inputs=["in"], outputs=["out"]),
    "sink": spec(inputs=["in"]),
}
PIPELINE = {
    "name": "test",
    "operators": {
        "s": {"operator": "source"},
        "m": {"operator": "pass", "replicas": 2},
        "a": {"operator": "sink", "replicas": 3},
        "b": {"operator": "sink"},
    },
    "edges": [
        {"from": "s.out", "to": "m.in"},
        {"from": "m.out", "to": "a.in"},
        {"from": "m.out", "to": "b.in"},
    ],
}


def plan(arena=16 * MEBIBYTE, **changed):
    graph = Graph(PipelineSpec.model_validate({**PIPELINE, **changed}), CATALOG).check()
    return make_plan(graph, RUN, {}, max_payload=MEBIBYTE, max_message=2**30, arena=arena)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    made = tmp_path / "shm"
    made.mkdir()
    monkeypatch.setattr(arenas, "PLACE", made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


@pytest.fixture
def saved(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    return run / "arenas"


def fill(made, name="0.0", count=3, edges=(0,)):
    arena = Arena(arenas.folder_of(made.run) / name, 16 * MEBIBYTE, edges)
    for number in range(count):
        placed = arena.place(memoryview(bytes([number + 1]) * MEBIBYTE), edges)
        arena.handed([placed])
        arena.stored([placed], [(0, 0)], number + 1, again=False)
    return arena


def test_the_plan_says_who_sends_and_reads_in_shared_memory():
    given = {operator.key: operator.assignment for operator in plan().operators}
    assert {key: one.arena for key, one in given.items()} == {"s": 16 * MEBIBYTE, "m": 16 * MEBIBYTE, "a": 0, "b": 0}
    assert [(output.port, output.shm) for output in given["s"].outputs] == [("out", True), ("other", False)]
    [out] = given["m"].outputs
    assert (out.edges, out.edge_partitions) == ((1, 2), (3, 1))
    assert [(entry.shm, entry.sender, entry.senders) for entry in given["a"].inputs] == [(True, 1, 2)]
    assert given["a"].most_kept == 16 * MEBIBYTE // (4 * 4)
    without = {operator.key: operator.assignment for operator in plan(0).operators}
    assert not any(one.arena or any(output.shm for output in one.outputs) for one in without.values())
    assert not any(entry.shm for one in without.values() for entry in one.inputs)


def test_an_arena_is_no_larger_than_its_operators_limit_of_memory():
    limited = {**PIPELINE["operators"]["m"], "resources": {"memory": "100 MiB"}}
    made = plan(256 * MEBIBYTE, operators={**PIPELINE["operators"], "m": limited})
    given = {operator.key: operator.assignment for operator in made.operators}
    assert (given["s"].arena, given["m"].arena) == (256 * MEBIBYTE, 100 * MEBIBYTE)
    assert given["a"].most_kept == 100 * MEBIBYTE // (4 * 4)
    assert given["m"].most_kept == 256 * MEBIBYTE // (4 * 4)


def test_a_container_has_its_own_arena_and_sees_those_that_it_reads_from():
    made = plan()
    own, other = arenas.binds(RUN, made.operator("m"), 1)
    assert (own.path.name, own.inside, own.writable, own.owned) == ("1.1", "/interactem/arenas/1.1", True, True)
    assert (other.path.name, other.writable, other.owned) == ("0.0", False, False)
    assert [bind.path.name for bind in arenas.binds(RUN, made.operator("b"), 0)] == ["1.0", "1.1"]
    assert not arenas.is_used(plan(0).operator("m"))


@pytest.mark.parametrize(
    ("room", "senders", "found"),
    [(10 * MOST, 3, MOST), (64 * MEBIBYTE, 4, 16 * MEBIBYTE), (LEAST, 1, LEAST), (LEAST, 2, 0), (0, 1, 0)],
)
def test_what_there_is_is_shared_out(room, senders, found):
    size, why = Room(room).each(senders)
    assert (size, bool(why)) == (found, not found)


def test_why_there_is_no_room(tmp_path):
    assert arenas.find_room(tmp_path).bytes > 0
    assert Room(0, "there is none").each(1) == (0, "there is none")
    assert "there is no" in arenas.find_room(tmp_path / "gone").why


def test_it_is_there_for_the_run_and_gone_afterwards(saved, place):
    made = plan()
    assert arenas.make(made, saved) is False
    assert sorted(path.name for path in arenas.folder_of(RUN).iterdir() if path.is_dir()) == ["0.0", "1.0", "1.1"]
    fill(made)
    arenas.put_away(RUN, saved, keep=False)
    assert not list(place.iterdir())
    assert [path.name for path in saved.iterdir()] == ["state"]


def test_what_is_not_worked_off_is_kept_for_resume(saved, place):
    made = plan()
    arenas.make(made, saved)
    arena = fill(made)
    first, last = sorted(arena._held)[0], sorted(arena._held)[-1]
    arena.release(0, [(first, arena._held[first].generation)])
    identity, offset = arena.identity, arena._held[last].offset
    arenas.put_away(RUN, saved, keep=True)
    assert not list(place.iterdir())
    assert (saved / "0.0" / "data").stat().st_blocks * 512 <= 2 * MEBIBYTE + 2**16, "only what is held"
    assert arenas.make(made, saved) is False
    again = Arena(arenas.folder_of(RUN) / "0.0", 16 * MEBIBYTE, (0,))
    assert (again.held, again.identity) == (2, identity)
    with (arenas.folder_of(RUN) / "0.0" / "data").open("rb") as file:
        file.seek(offset)
        assert file.read(MEBIBYTE) == bytes([last + 1]) * MEBIBYTE
    assert [path.name for path in saved.iterdir()] == ["state"], "it is in memory again"


def test_after_a_kill_it_is_found_where_it_was(saved):
    made = plan()
    arenas.make(made, saved)
    fill(made)
    assert arenas.make(made, saved) is False
    assert Arena(arenas.folder_of(RUN) / "0.0", 16 * MEBIBYTE, (0,)).held == 3


def test_a_loss_is_told(saved):
    made = plan()
    arenas.make(made, saved)
    fill(made)
    arenas.shutil.rmtree(arenas.folder_of(RUN))
    assert arenas.make(made, saved) is True
    assert arenas.make(made, saved) is False


def test_without_shared_memory_nothing_is_made(saved, place):
    assert arenas.make(plan(0), saved) is False
    assert not list(place.iterdir()) and not saved.exists()


def test_what_killed_runs_have_left_is_found_by_their_own_index(saved, place, tmp_path):
    arenas.make(plan(), saved)
    (place / "interactem-something").mkdir()
    (place / "interactem-20261121-180000-wxyz").mkdir()
    assert arenas.left_behind() == {RUN: saved.parent, "20261121-180000-wxyz": None}
    me = ProcessIdentity.of(os.getpid())
    RunIndex().register(RunRecord(RUN, "test", saved.parent, me, "", None, "2026-11-21T18:00:00", "running"))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "another")  # undone with the fixture
    assert RUN not in arenas.left_behind(), "it runs, as another index says"
    owner = json.loads((arenas.folder_of(RUN) / "owner.json").read_text())
    assert owner["folder"] == str(saved.parent)
