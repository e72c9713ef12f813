"""Connections in real runs: the kernel has the values, and nobody else ever does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "hunter2-and-some-more"
VALUES = {"db": {"main": {"password": "${TEST_DB}", "url": "db://me:${TEST_DB}@${TEST_HOST:here}", "port": 5432}}}


@pytest.fixture
def connected(project):
    """A pipeline whose sink connects to something, and the file with its values."""
    project.environment["TEST_DB"] = SECRET
    (project.path / "connections.json").write_text(json.dumps(VALUES))

    def write(count=5, db="@db.main", rate=0.0, **parameters):
        operators = {
            "numbers": {"operator": "count-up", "parameters": {"count": count, "rate": rate}},
            "store": {"operator": "connected", "parameters": {"db": db, **parameters}, "max_attempts": 1},
        }
        return project.pipeline(operators, "numbers.out -> store.in")

    return write


def files_with(text, *folders):
    """The files below these folders in which a text stands."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in found if text.encode() in path.read_bytes()]


def test_the_kernel_has_the_values_and_nothing_else_ever_does(project, connected):
    done = project.run(connected(fail=3), "--allow-dead")
    assert done.code == 0, done
    found = json.loads((project.path / "run" / "outputs" / "found.json").read_text())
    assert found == {"hash": hashlib.sha256(SECRET.encode()).hexdigest(), "port": 5432, "spare": False}
    runtime, cache = (Path(project.environment[name]) for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME"))
    assert files_with(SECRET, project.path, runtime, cache / "interactem" / "runs") == []
    assert SECRET not in done.out + done.err
    log = (project.path / "run" / "logs" / "store.0.log").read_text()
    assert "printed {'password': '***', 'url': '***', 'port': 5432}" in log
    assert "logged ***" in log
    letters = project.do("pipeline", "dead", "show", "last", "--json").out
    assert "ConnectionError: cannot reach ***" in letters
    assert SECRET not in letters


def test_all_that_is_missing_is_said_before_anything_starts(project, connected):
    del project.environment["TEST_DB"]
    file = connected(spare="@db.spare")
    done = project.run(file)
    assert done.code == 2
    problems = done.json["problems"]
    assert [problem.split(": ", 1)[1].split(";")[0] for problem in problems] == [
        "line 1, $.db.main.password: the variable TEST_DB is not set",
        "line 1, $.db.main.url: the variable TEST_DB is not set",
        "line 1, $.operators.store.parameters.spare: there is no connection '@db.spare' in "
        + str(project.path / "connections.json"),
    ]
    assert not (project.path / "run").exists()
    assert project.do("pipeline", "validate", file, "--json").json["problems"] == problems


def test_a_run_is_resumed_with_the_values_of_then(project, connected):
    run = project.start(connected(150, rate=30.0))
    run.wait_for(lambda run: (run.folder / "outputs" / "found.json").exists(), "the first message")
    run.signal(2)
    assert run.end().code == 130
    project.environment["TEST_DB"] = "another-secret"
    done = project.resume().end()
    assert done.code == 0, done
    found = json.loads((project.path / "run" / "outputs" / "found.json").read_text())
    assert found["hash"] == hashlib.sha256(b"another-secret").hexdigest()
    del project.environment["TEST_DB"]
