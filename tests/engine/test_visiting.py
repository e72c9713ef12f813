"""Visitors of runs that end at that moment."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from interactem.engine.index import ProcessIdentity, RunIndex, RunRecord
from interactem.engine.visiting import _visit
from interactem.runtime.errors import SettingsError


@pytest.fixture
def supervisor(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def record(supervisor, tmp_path):
    """A run whose broker is gone, and its credentials with it, while its supervisor is still there."""
    made = RunRecord(
        run="20260101-000000-abcd",
        name="test",
        folder=tmp_path,
        supervisor=ProcessIdentity.of(supervisor.pid),
        url="nats://127.0.0.1:1",
        credentials=tmp_path / "gone.json",
        started="2026-01-01T00:00:00+00:00",
        state="running",
    )
    RunIndex().register(made)
    return made


def test_a_run_that_ends_meanwhile_is_no_run_to_visit(supervisor, record):
    async def end():
        visiting = asyncio.create_task(_visit(record))
        await asyncio.sleep(0.2)
        assert not visiting.done()
        supervisor.kill()
        supervisor.wait()
        return await visiting

    assert asyncio.run(end()) is None


def test_a_run_that_never_has_its_broker_again_is_an_error(record, monkeypatch):
    monkeypatch.setattr("interactem.engine.visiting.START_SECONDS", 0.2)
    with pytest.raises(SettingsError, match=r"gone\.json: no user and password"):
        asyncio.run(_visit(record))
