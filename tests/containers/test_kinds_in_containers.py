"""Bundled pipelines with kernels of each kind give in containers what they give in processes."""

from __future__ import annotations

import importlib.util
import json
import lzma
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.containers


def _shared():
    spec = importlib.util.spec_from_file_location("container_runs", Path(__file__).with_name("runs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _shared()
PIPELINES = shared.ROOT / "pipelines"


@pytest.fixture
def project(engine, tmp_path):
    made = shared.Project(tmp_path, engine)
    (tmp_path / "given").mkdir()
    yield made
    made.close()


def both_ways(project, name, *settings):
    """What the pipeline leaves in `outputs/`, by files' names: run as processes, and in containers."""
    value = json.loads((PIPELINES / f"{name}.json").read_text())
    for operator in {each["operator"] for each in value["operators"].values()}:
        folder = project.folder / "operators" / operator
        shutil.copytree(shared.ROOT / "operators" / operator, folder)
        spec = json.loads((folder / "operator.json").read_text())
        (folder / "operator.json").write_text(json.dumps({**spec, "image": f"{shared.PREFIX}/{operator}"}))
        project.build(operator)
    file = project.folder / f"{name}.json"
    file.write_text(json.dumps(value))
    chosen = [word for setting in settings for word in ("--set", setting)]
    found = []
    for launcher in ("process", project.engine.name):
        place = project.folder / launcher
        result = project.do("pipeline", "run", file, "--launcher", launcher, "--run-dir", place, *chosen)
        assert result["state"] == "completed"
        assert not project.containers(launcher)
        outputs = place / "outputs"
        found.append({str(path.relative_to(outputs)): content(path) for path in outputs.rglob("*") if path.is_file()})
    return found


def content(path):
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as database:
            return sorted(database.execute("SELECT * FROM records").fetchall())
    return sorted(path.read_bytes().splitlines()) if path.suffix == ".csv" else path.read_bytes()


def test_rows_by_key_and_tags(project):
    rows = project.folder / "given" / "sales.csv"
    prices = [str(number) if number % 7 else "" for number in range(300)]
    lines = [f"{price},{'north' if number % 3 else 'south'}" for number, price in enumerate(prices)]
    rows.write_text("\n".join(["price,region", *lines]) + "\n")
    processes, containers = both_ways(project, "csv-split", f"rows.file={rows}")
    assert containers == processes
    assert len(containers) > 2


def test_windows(project):
    rows = project.folder / "given" / "readings.csv"
    lines = [f"{1_700_000_000 + number},s{number % 5},{number}" for number in range(600)]
    rows.write_text("\n".join(["time,sensor,value", *lines]) + "\n")
    processes, containers = both_ways(project, "sensor-minutes", f"rows.file={rows}")
    assert containers == processes
    assert sum(map(len, containers.values())) > 50


def test_side_inputs_sources_that_read_and_fallbacks(project):
    given = project.folder / "given"
    (given / "records.jsonl").write_text(
        "".join(f'{{"id": {number}, "sample": "a"}}\n' for number in range(50)) + "?\n"
    )
    (given / "table.csv").write_text("id,site\na,north\n")
    settings = [f"lines.file={given / 'records.jsonl'}", f"table.file={given / 'table.csv'}", "lookup.field=sample"]
    processes, containers = both_ways(project, "records", *settings)
    assert containers == processes
    assert len(containers["records.sqlite"]) == 50
    assert [data for name, data in containers.items() if name.startswith("rejected/")] == [b"?"]


def test_stages(project):
    given = project.folder / "given"
    names = [f"{number}.bin" for number in range(10)]
    for name in names:
        (given / name).write_bytes(name.encode() * 10_000)
    (project.folder / "list.txt").write_text("\n".join(names) + "\n")
    settings = [f"list.file={project.folder / 'list.txt'}", f"pack.folder={given}"]
    processes, containers = both_ways(project, "archive", *settings)
    assert containers == processes
    assert {name: lzma.decompress(containers[f"{name}.xz"]) for name in names} == {
        name: name.encode() * 10_000 for name in names
    }
