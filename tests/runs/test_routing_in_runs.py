"""The pipeline that splits a CSV file: tags and keys through the real command, while replicas are killed."""

from __future__ import annotations

import json
import random

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

ROWS = 20_000
REGIONS = ("north", "south", "east", "west", "a/b")
HEAD = "region,item,price\n"


@pytest.fixture
def sales(project):
    """A file of sales, and what belongs into which file."""
    chance, expected = random.Random(5), {}
    lines = []
    for number in range(ROWS):
        region = chance.choice(REGIONS)
        price = "" if number % 97 == 0 else str(number)
        lines.append(f"{region},item {number},{price}\n")
        name = f"rows-{region.replace('/', '%2F')}.csv" if price else "incomplete.csv"
        expected.setdefault(name, []).append(lines[-1])
    file = project.path / "sales.csv"
    file.write_text(HEAD + "".join(lines))
    return file, {name: HEAD + "".join(rows) for name, rows in expected.items()}


@pytest.fixture
def split_while_killed(project, sales):
    """Runs a pipeline on the sales, killing replicas; what it has written, by file."""
    file, expected = sales
    chance = random.Random(1)

    def one_of_them(run):
        return [chance.choice(sorted(run.replicas().items()))] if run.replicas() else []

    def split(pipeline):
        run = project.start(pipeline, "--set", f"rows.file={file}")
        with run.killing(one_of_them, 0.4, rounds=8) as assassin:
            done = run.end(200)
        assert done.code == 0, done
        assert len(assassin.victims) >= 2
        assert done.json["dead"] == 0
        assert done.json["operators"]["rows"]["unwanted"] == 0
        found = {path.name: path.read_text() for path in (project.path / "run" / "outputs").glob("*.csv")}
        assert found.keys() == expected.keys()
        return found

    return split


def test_a_file_is_split_by_a_column_while_replicas_are_killed(split_while_killed, sales, root):
    found = split_while_killed(root / "pipelines" / "csv-split.json")
    for name, rows in sales[1].items():
        assert sorted(found[name].splitlines()) == sorted(rows.splitlines()), name


def test_where_edges_are_ordered_each_file_is_in_the_order_of_the_one_that_was_split(
    split_while_killed, sales, root, project
):
    pipeline = json.loads((root / "pipelines" / "csv-split.json").read_text())
    for edge in pipeline["edges"]:
        edge["ordered"] = True
    file = project.path / "ordered" / "csv-split.json"
    file.parent.mkdir()
    (file.parent / "operators").symlink_to(root / "operators")
    file.write_text(json.dumps(pipeline))
    assert split_while_killed(file) == sales[1]
