from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench import machine, programs, report
from bench.environment import Environment
from bench.measurements import QUIET, Measurement, Reference, Result, Round, Row, Spread, Taken, enough, quietest
from bench.measuring import measure
from bench.processes import Growth, Sampler, cpu_seconds, parse_stat, replicas, resident
from bench.programs import ProgramError
from bench.rows import ROWS, latency, lines, memory
from bench.workspace import BENCHMARKS, ROOT, workspace
from rich.console import Console

from interactem.engine.catalog import read_spec

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")


def taken(value: float, others: float = 0.0, load: float = 0.0, **details: float) -> Taken:
    return Taken(Measurement(value, 1.0, details), load, others)


def take(place) -> Measurement:
    return Measurement(1, 0)


def other(place) -> Measurement:
    return Measurement(2, 0)


def row(**given) -> Row:
    given = {"name": "hop", "unit": "messages/s", "about": "one hop", "ours": take, **given}
    return Row(**given)


def beside(*values: tuple[Taken, Taken], at_least: float | None = None, **given) -> Result:
    """The result of a row with one reference, of rounds of ours and the reference's."""
    reference = Reference("another", other, at_least)
    rounds = tuple(Round(ours, {other: theirs}) for ours, theirs in values)
    return Result(row(references=(reference,), **given), rounds, reference)


# figures


def test_spread():
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_ratio_is_of_pairs_not_of_medians():
    """The machine is half as fast in two of the pairs: each pair's own ratio does not see it."""
    pairs = [(100, 10), (50, 5), (50, 5), (100, 10), (120, 10)]
    result = beside(*((taken(ours), taken(reference)) for ours, reference in pairs))
    assert result.ratio == Spread(10, 10, 12)
    assert result.ours == Spread(100, 50, 120)
    assert result.reference == Spread(10, 5, 10)


def test_where_less_is_better_the_ratio_still_says_how_many_times_better_ours_is():
    result = beside((taken(2), taken(6)), at_least=3, less=True, ours_at_least=2)
    assert result.ratio == Spread(3, 3, 3)
    assert result.reached is True
    assert beside((taken(2), taken(6)), less=True, ours_at_least=1.9).reached is False


@pytest.mark.parametrize(
    ("asked", "reached"),
    [
        ({}, None),
        ({"at_least": 10}, True),
        ({"at_least": 10.1}, False),
        ({"ours_at_least": 100}, True),
        ({"ours_at_least": 101}, False),
        ({"at_least": 10, "ours_at_least": 101}, False),
        ({"at_least": 10, "ours_at_least": 100}, True),
    ],
)
def test_reached(asked, reached):
    assert beside((taken(100), taken(10)), **asked).reached is reached


def test_details_are_medians_of_ours_and_of_the_reference():
    result = beside(*((taken(1, cost=cost), taken(1, cost=10 * cost)) for cost in (1, 9, 2)))
    assert result.details() == {"cost": 2}
    assert result.reference_details() == {"cost": 20}


def test_one_measurement_may_hold_several_figures():
    fast, slow = Reference("fast", other, name="p50", detail="p50"), Reference("slow", other, name="p99", detail="p99")
    rounds = (Round(taken(0, p50=1, p99=4), {other: taken(0, p50=3, p99=8)}),)
    named = row(references=(fast, slow), less=True)
    results = [Result(named, rounds, reference) for reference in named.references]
    assert [(result.name, result.ratio.median) for result in results] == [("hop p50", 3), ("hop p99", 2)]


def test_disturbed_rounds_give_way_to_quiet_ones():
    rounds = [Round(taken(1, 0.9)), Round(taken(2, 0.1)), Round(taken(3), {other: taken(9, 0.8)}), Round(taken(4, 0.2))]
    assert quietest(rounds, 2) == (rounds[1], rounds[3])
    assert not enough(rounds[:3], 2), "only one of the three is quiet"
    assert enough(rounds, 2)
    loud = Round(taken(1, 2 * QUIET))
    assert not enough([loud] * 3, 2)
    assert enough([loud] * 4, 2), "the machine is never quiet: that must end too"


# measuring


def counted(calls: list[str], name: str):
    return lambda place: calls.append(name) or Measurement(1, 1e9)  # so much that nothing is left for others


def test_ours_and_the_references_in_turns(tmp_path):
    calls: list[str] = []
    references = tuple(Reference(name, counted(calls, name), name=name) for name in "xy")
    with workspace(tmp_path, short=False) as place:
        asked = row(ours=counted(calls, "o"), references=references)
        measured = measure(asked, place, repeat=3, tell=lambda line: None)
    assert "".join(calls) == "o" + "oxy" + "yxo" + "oxy", "the first warms up and does not count"
    assert [(result.name, len(result.rounds)) for result in measured.results] == [("hop x", 3), ("hop y", 3)]


def test_a_reference_that_fails_is_left_out_and_named(tmp_path):
    calls: list[str] = []

    def fails(place) -> Measurement:
        calls.append("f")
        raise ProgramError(["dora"], "ended with 1", "no such library")

    references = (Reference("a", fails, name="vs a"), Reference("b", counted(calls, "b"), name="vs b"))
    with workspace(tmp_path, short=True) as place:
        asked = row(ours=counted(calls, "o"), references=references)
        measured = measure(asked, place, repeat=2, tell=lambda line: None)
    assert "".join(calls) == "ofb" + "bo", "it is not tried again"
    assert [result.name for result in measured.results] == ["hop vs b"]
    assert measured.missing == {"hop vs a": "dora: ended with 1\nno such library"}


def test_a_row_of_minutes_is_measured_once(tmp_path):
    calls: list[int] = []

    def take(place) -> Measurement:
        calls.append(1)
        return Measurement(7, 0)  # which leaves all of the machine's work to others

    with workspace(tmp_path, short=True) as place:
        [result] = measure(row(ours=take, once=True), place, repeat=5, tell=lambda line: None).results
    assert len(calls) == 1
    assert result.ours.median == 7


def test_a_workspace_leaves_nothing(tmp_path):
    with workspace(tmp_path, short=True) as place, place.folder() as folder:
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


# programs


def test_program(tmp_path):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))']); print('done')"
    seen: list[int] = []
    finished = programs.run([sys.executable, "-c", code], folder=tmp_path, limit=60, watch=seen.append)
    assert finished.out == "done\n"
    assert seen, "it was watched"
    alone = programs.run([sys.executable, "-c", "pass"], folder=tmp_path, limit=60)
    assert finished.cpu_seconds > alone.cpu_seconds, "what it started counts too"


def test_program_that_fails(tmp_path):
    code = "import sys; print('half'); sys.exit('it is broken')"
    with pytest.raises(ProgramError, match="ended with 1\nit is broken") as caught:
        programs.run([sys.executable, "-c", code], folder=tmp_path, limit=60)
    assert caught.value.out == "half\n"


def test_program_that_does_not_end(tmp_path):
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    file = tmp_path / "pid"
    command = [sys.executable, "-c", code.replace("'pid'", repr(str(file)))]
    with pytest.raises(ProgramError, match="did not end within 2 s"):
        programs.run(command, folder=tmp_path, limit=2)
    if file.exists():  # on a very busy machine it did not even come to that
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


# the machine and its processes


def test_busy_time_leaves_out_waiting():
    assert machine.parse_busy("cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 1 2\n", 100) == 1.71


def test_stat_of_a_process_with_an_odd_name():
    assert parse_stat("12 (odd) name (x) S 3 12 12 0") == (12, "odd) name (x", 3)


def test_growth_compares_quarters():
    growth = Growth.of([10, 10, 50, 50, 50, 50, 12, 12])
    assert (growth.first, growth.last, growth.factor) == (10, 12, 1.2)
    with pytest.raises(ValueError, match="3 samples"):
        Growth.of([1, 2, 3])


def test_replicas_from_events():
    events = [
        {"kind": "state", "state": "running"},
        {"kind": "replica", "operator": "a", "replica": 0, "state": "starting", "id": "7"},
        {"kind": "replica", "operator": "b", "replica": 1, "state": "starting", "id": "8"},
        {"kind": "replica", "operator": "b", "replica": 1, "state": "failed"},
        {"kind": "replica", "operator": "b", "replica": 1, "state": "starting", "id": "9"},
        {"kind": "replica", "operator": "a", "replica": 0, "state": "stopped"},
    ]
    lines = [json.dumps(event) + "\n" for event in events]
    assert replicas([*lines[:3], '{"kind": "repl']) == [("a.0", 7), ("b.1", 8)]
    assert replicas(lines) == [("b.1", 9)]


@linux
def test_sampler_sees_a_process(tmp_path):
    sampler = Sampler(resident, period=0)
    for _ in range(4):
        sampler.watch(os.getpid(), tmp_path)
    assert sampler.growths()["supervisor"].first > 2**20


@linux
def test_cpu_time_of_a_process():
    before = os.times()
    told = cpu_seconds(os.getpid())
    after = os.times()
    tick = 1 / os.sysconf("SC_CLK_TCK")  # times are cut off to whole ticks, user's and system's each
    assert before.user + before.system - 2 * tick <= told <= after.user + after.system + 2 * tick


def test_memory_is_judged_by_the_replica_that_grows_most():
    growths = {"broker": Growth(10, 90), "a.0": Growth(10, 11), "b.0": Growth(10, 13)}
    assert memory.worst(growths) == 1.3


def test_an_environment_that_cannot_be_made_is_tried_once(tmp_path):
    lock = tmp_path / "locked.txt"
    lock.write_text("no requirement at all")
    environment = Environment(tmp_path / "environment", lock)
    with pytest.raises(ProgramError, match=r"locked\.txt") as caught:
        environment.python()
    lock.unlink()
    with pytest.raises(ProgramError) as again:
        environment.python()
    assert again.value is caught.value


# rows and results


def test_missing_messages_are_no_measurement():
    with pytest.raises(ValueError, match="99 messages arrived of 100"):
        lines.seconds_of(100, {"messages": 99, "seconds": 1.0})


def test_a_line_of_operators():
    line = lines.Line("three", count=9, short=1, size=5, passes=1).pipeline(7)
    assert line["operators"]["sender"]["parameters"] == {"size": 5, "count": 7}
    assert line["edges"] == [{"from": "sender.out", "to": "pass-1.in"}, {"from": "pass-1.out", "to": "receiver.in"}]


def test_costs_are_of_a_million_messages():
    assert lines.costs(1_000, 2.0, {"broker": 0.5}) == {
        "CPU seconds per million messages": 2_000,
        "of that broker": 500,
    }


def test_latency_leaves_out_the_first_messages():
    seconds = [9.0] * latency.LEAD + [0.001] * 98 + [0.002, 0.003]
    found = latency.measurement(len(seconds), seconds, 1.0)
    assert (found.details["p50"], found.details["p99"], found.details["longest"]) == (1.0, 3.0, 3.0)
    with pytest.raises(ValueError, match="messages arrived of"):
        latency.measurement(len(seconds) + 1, seconds, 1.0)


def test_result_as_value():
    result = beside((taken(100, 0.1, 0.5, cost=3), taken(10, 0.2, 0.7)), at_least=5)
    assert report.to_value(result, {"cores": 2}) == {
        "row": "hop",
        "unit": "messages/s",
        "ours": 100,
        "reference": 10,
        "ratio": 10,
        "at_least": 5,
        "ours_at_least": None,
        "reached": True,
        "spread": [10, 10],
        "repetitions": 1,
        "details": {"cost": 3},
        "reference_details": {},
        "others_cores": 0.2,
        "load_before": 0.7,
        "machine": {"cores": 2},
    }


def results() -> list[Result]:
    alone = Result(row(name="start", unit="1/s", ours_at_least=2), (Round(taken(0.51234, 0.9)),))
    return [beside((taken(123_456), taken(4_567)), at_least=30), alone]


def test_table():
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(report.to_table(results()))
    printed = console.export_text().splitlines()
    first, second = next(line for line in printed if "hop" in line), next(line for line in printed if "start" in line)
    assert [cell.strip() for cell in first.split("│")[1:-1]] == [
        *("hop", "123,456 messages/s", "4,567", "27 x", "27 to 27", "30 x", "NO", "0.00"),
    ]
    assert [cell.strip() for cell in second.split("│")[1:-1]] == [
        *("start", "0.512 1/s", "-", "-", "0.512 to 0.512", "2 1/s", "NO", "0.90 !"),
    ]


def test_table_for_a_page():
    printed = report.to_markdown(results(), machine.description()).splitlines()
    assert printed[2] == "| `hop` | 123,456 messages/s | 4,567 | 27 x | 27 to 27 | 30 x | NO |"
    assert printed[3] == "| `start` (!) | 0.512 1/s | - | - | 0.512 to 0.512 | 2 1/s | NO |"
    assert printed[-1].startswith("Machine: ")


def test_rows_have_names_of_their_own_and_stand_in_the_page():
    names = [each.name for each in ROWS]
    assert len(set(names)) == len(names)
    page = (ROOT / "docs" / "performance.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("folder", sorted((BENCHMARKS / "operators").iterdir()), ids=lambda folder: folder.name)
def test_own_operators_are_valid(folder: Path):
    spec = read_spec(folder)
    assert spec.inputs or spec.outputs


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_unknown_row():
    done = run("--row", "chian")
    assert done.returncode == 2
    assert "chain" in done.stderr


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(600)
def test_interrupted(tmp_path):
    """What runs then ends with it, and its folder goes."""
    place = tmp_path / "runs"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--row", "memory", "--folder", str(place)]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "results.json")], stderr=subprocess.PIPE, text=True)
    with process:
        while not (events := list(place.glob("*/*/run/events.jsonl"))) and process.poll() is None:
            time.sleep(0.05)
        while '"replica"' not in events[0].read_text() and process.poll() is None:
            time.sleep(0.05)
        started = [pid for _, pid in replicas(events[0].read_text().splitlines(keepends=True))]
        process.terminate()
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert started
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(place.iterdir()) == []
    assert not (tmp_path / "results.json").exists()


@linux
@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(600)
def test_end_to_end(tmp_path):
    out = tmp_path / "results.json"
    done = run("--short", "--repeat", "1", "--json", "--out", str(out), "--folder", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values == json.loads(out.read_text())
    expected = [f"{each.name} {ref.name}".strip() for each in ROWS for ref in each.references or (Reference("", take),)]
    assert [value["row"] for value in values] == expected
    assert all(value["ours"] > 0 for value in values)
    alone = {each.name for each in ROWS if not each.references}
    assert {value["row"] for value in values if value["ratio"] is None} == alone
    assert all(value["ratio"] > 0 for value in values if value["row"] not in alone)
    assert {"broker MB", "sender.0 MB", "middle.0 MB", "receiver.0 MB"} <= set(values[-1]["details"])
    assert list((tmp_path / "runs").iterdir()) == [], "nothing is left behind"
