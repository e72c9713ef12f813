"""There is no GPU where this is tested: a program in its place says what NVIDIA's says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from interactem.engine.gpus import (
    GpuProcess,
    GpuUse,
    GpuWatch,
    place_in_environment,
    read_devices,
    read_processes,
    uses,
)

PROCESSES = "101, GPU-a, 200\n102, GPU-b, 24\n103, GPU-a, [N/A]\n\nNo running processes found\n"
DEVICES = "GPU-a, 75\nGPU-b, 5\nGPU-c, [N/A]\n"


def test_its_lines_are_read():
    mebibyte = 2**20
    assert read_processes(PROCESSES) == [
        GpuProcess(101, "GPU-a", 200 * mebibyte),
        GpuProcess(102, "GPU-b", 24 * mebibyte),
        GpuProcess(103, "GPU-a", None),
    ]
    assert read_devices(DEVICES) == {"GPU-a": 0.75, "GPU-b": 0.05}


def test_a_replica_has_what_all_its_processes_use():
    places = {101: (0, 0), 102: (0, 0), 103: (1, 2)}
    found = uses(read_processes(PROCESSES + "999, GPU-b, 7"), read_devices(DEVICES), places.get)
    assert found == {(0, 0): GpuUse(224 * 2**20, 0.75), (1, 2): GpuUse(None, 0.75)}


def test_a_process_is_known_by_the_environment_that_it_was_started_with():
    environment = {**os.environ, "INTERACTEM_RUN": "r1", "INTERACTEM_OPERATOR": "3", "INTERACTEM_REPLICA": "1"}
    script = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.readline()  # until then the system may not have its environment in its place
        assert place_in_environment("r1", process.pid) == (3, 1)
        assert place_in_environment("r2", process.pid) is None
        process.communicate(b"\n")
    assert place_in_environment("r1", 2**22 + 1) is None


def program(folder, body):
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


async def watched(pids, until):
    watch = GpuWatch("r1", lambda: pids)
    async with asyncio.timeout(30):
        task = asyncio.create_task(watch.run())
        while not until(watch, task):  # noqa: ASYNC110 - it tells nobody that it has looked
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    return watch.uses


def test_the_program_is_asked(tmp_path, monkeypatch):
    program(tmp_path, 'case "$1" in *apps*) echo "42, GPU-a, 10";; *) echo "GPU-a, 50";; esac')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = asyncio.run(watched({42: (0, 1)}, lambda watch, task: watch.uses))
    assert found == {(0, 1): GpuUse(10 * 2**20, 0.5)}


@pytest.mark.parametrize("body", [None, "exit 9"])
def test_where_there_is_no_gpu_nothing_is_told(tmp_path, monkeypatch, body):
    if body is not None:
        program(tmp_path, body)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asyncio.run(watched({}, lambda watch, task: task.done())) == {}
