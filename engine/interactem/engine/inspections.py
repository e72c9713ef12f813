"""Whether each `run.py` loads, asked of its own environment before anything starts.

An answer is remembered for as long as neither the folder nor the environment changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from interactem.engine.environments import Environment, cache_folder
from interactem.engine.errors import OperatorError
from interactem.engine.processes import child_environment

SIDE_BY_SIDE = 2

Kernel = dict[str, Any]
"""What is known of a kernel without calling it: see `interactem.runtime.fitting`."""


async def inspect_all(
    folders: Mapping[str, Path], environments: Mapping[str, Environment], *, cache: Path | None = None
) -> dict[str, Kernel]:
    """What is known of the kernels. Raises `OperatorError` for all that do not load, each with its own words."""
    store = (cache or cache_folder()) / "inspections"
    turns = asyncio.Semaphore(SIDE_BY_SIDE)

    async def inspect(name: str) -> Kernel:
        marker = store / _fingerprint(folders[name], environments[name].key)
        if (known := _remembered(marker)) is not None:
            return known
        async with turns:
            kernel = await inspect_folder(folders[name], environments[name].python)
        if "error" not in kernel:
            store.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps(kernel), encoding="utf-8")
        return kernel

    found = dict(zip(folders, await asyncio.gather(*map(inspect, folders)), strict=True))
    errors = [str(kernel["error"]) for kernel in found.values() if "error" in kernel]
    if errors:
        raise OperatorError(errors)
    return found


def _remembered(marker: Path) -> Kernel | None:
    """What was found out before; None where nothing was, or less than all of it is written down so far."""
    try:
        known = json.loads(marker.read_bytes())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


async def inspect_folder(folder: Path, python: Path) -> Kernel:
    """What is known of the `run.py` in a folder, tried with this interpreter; its `error` where it does not load."""
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "interactem.runtime.inspection", str(folder), "--look"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(os.environ, {}),
        start_new_session=True,  # Ctrl-C is for us: what it ends would look like code that does not load
    )
    try:
        answer, noise = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    try:
        document: Kernel = json.loads(answer)
    except ValueError:
        last = noise.decode(errors="replace").strip()[-2000:]
        why = f"{folder / 'run.py'}: its process ended with {process.returncode} while it was imported\n{last}"
        return {"error": why}
    return document


def _fingerprint(folder: Path, environment: str) -> str:
    digest = hashlib.blake2b(environment.encode(), digest_size=16)
    for file in sorted([*folder.rglob("*.py"), *folder.glob("operator.json")]):
        digest.update(f"\0{file.relative_to(folder)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
