"""Sources with positions of their own through the real command line: `kill -9` loses none of them, nor doubles any."""

from __future__ import annotations

import itertools
import signal

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 180


@pytest.fixture
def files(project):
    folder = project.path / "given"
    folder.mkdir()
    for number in range(COUNT):
        (folder / str(number)).touch()
    return folder


def test_a_source_that_reads_goes_on_where_it_was(project, files):
    operators = {
        "files": {"operator": "read-files", "parameters": {"folder": str(files)}},
        "keep": {"operator": "keep"},
    }
    turn = itertools.count()

    def next_one(run):
        """The source, and every third time the broker."""
        name = "broker" if next(turn) % 3 == 2 else ("files", 0)
        return [(name, {"broker": run.broker(), **run.replicas()}.get(name))]

    run = project.start(project.pipeline(operators, "files.out -> keep.in"))
    run.wait_for(lambda run: len(list(files.iterdir())) < COUNT, "some are forgotten")
    run.signal(signal.SIGKILL)
    run.end()
    run = project.resume()
    with run.killing(next_one, 0.7, rounds=9) as assassin:
        done = run.end(250)
    assert done.code == 0, done
    assert assassin.victims.count(("files", 0)) >= 3
    assert project.kept() == [[number, None, 0, 1] for number in range(COUNT)]
    assert done.json["dead"] == 0
    assert list(files.iterdir()) == []
