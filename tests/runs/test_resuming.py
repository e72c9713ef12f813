"""What was acknowledged before an interruption is not computed again after it."""

from __future__ import annotations

import asyncio
import base64
import os
import signal

import pytest

from interactem.engine.index import RunIndex
from interactem.engine.visiting import connected
from interactem.runtime import wire

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 200
NOTING = """
import os
from interactem.runtime import operator

@operator
def note(inputs, parameters, context):
    with open(context.outputs / f"calls.{os.getpid()}", "a") as file:
        file.write(f"{inputs.meta['number']}\\n")
    return inputs
"""


@pytest.fixture
def noting(project, monkeypatch):
    """Numbers, each of which an operator without state notes before it passes it on."""
    for name in ("XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, project.environment[name])
    (project.path / "operators" / "passage" / "run.py").write_text(NOTING)
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": COUNT, "rate": 40.0}},
        "note": {"operator": "passage"},
        "keep": {"operator": "keep"},
    }
    return project.pipeline(operators, "numbers.out -> note.in", "note.out -> keep.in")


def calls(run, since=()):
    """The numbers that the kernel was given, by processes that are not among those; and these processes."""
    files = [file for file in (run.folder / "outputs").glob("calls.*") if file.name not in since]
    return [int(line) for file in files for line in file.read_text().split()], {file.name for file in files}


async def unacknowledged(record):
    """The numbers that the broker still has for the operator: streams keep what was not acknowledged."""
    async with connected(record) as (plan, storer):
        stream = plan.names.stream(plan.operator("numbers").assignment.outputs[0].stream)
        state = (await storer.ask(f"$JS.API.STREAM.INFO.{stream}", None))["state"]
        found = set()
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            answer = await storer.ask(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": sequence})
            if "message" in answer:
                messages = wire.decode(base64.b64decode(answer["message"]["data"])).messages
                found |= {message.header.meta["number"] for message in messages}
        return found


def test_nothing_that_was_acknowledged_is_computed_again(project, noting):
    run = project.start(noting)
    run.wait_for(lambda run: len(calls(run)[0]) >= COUNT / 2, "half of the numbers")
    os.kill(run.process.pid, signal.SIGKILL)
    run.end()
    assert project.nothing_is_left()
    before, processes = calls(run)
    left = asyncio.run(unacknowledged(RunIndex().find(str(run.folder))))
    acknowledged = set(before) - left
    assert len(acknowledged) >= COUNT / 4
    assert project.resume().end().code == 0
    after, _ = calls(run, since=processes)
    assert acknowledged.isdisjoint(after)
    assert acknowledged | set(after) == set(range(COUNT))
    assert [(number, times) for number, _, _, times in project.kept()] == [(number, 1) for number in range(COUNT)]
