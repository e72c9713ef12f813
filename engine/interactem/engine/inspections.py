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


async def inspect_all(
    folders: Mapping[str, Path], environments: Mapping[str, Environment], *, cache: Path | None = None
) -> None:
    """Raises `OperatorError` for all operators that do not load, each with its own words."""
    store = (cache or cache_folder()) / "inspections"
    turns = asyncio.Semaphore(SIDE_BY_SIDE)

    async def inspect(name: str) -> str | None:
        marker = store / _fingerprint(folders[name], environments[name].key)
        if marker.exists():
            return None
        async with turns:
            error = await inspect_folder(folders[name], environments[name].python)
        if error is None:
            store.mkdir(parents=True, exist_ok=True)
            marker.touch()
        return error

    errors = [error for error in await asyncio.gather(*map(inspect, folders)) if error is not None]
    if errors:
        raise OperatorError(errors)


async def inspect_folder(folder: Path, python: Path) -> str | None:
    """What is wrong with the `run.py` in a folder, tried with this interpreter; None where it loads."""
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "interactem.runtime.inspection", str(folder), "--look"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(os.environ, {}),
    )
    try:
        answer, noise = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    try:
        document: dict[str, Any] = json.loads(answer)
    except ValueError:
        last = noise.decode(errors="replace").strip()[-2000:]
        return f"{folder / 'run.py'}: its process ended with {process.returncode} while it was imported\n{last}"
    return document.get("error")


def _fingerprint(folder: Path, environment: str) -> str:
    digest = hashlib.blake2b(environment.encode(), digest_size=16)
    for file in sorted([*folder.rglob("*.py"), *folder.glob("operator.json")]):
        digest.update(f"\0{file.relative_to(folder)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
