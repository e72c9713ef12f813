"""A run's own broker, on the store in the run's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from interactem.engine.broker import MEBIBYTE, EmbeddedBroker, store_limit
from interactem.engine.errors import BrokerError
from interactem.engine.folders import RunFolder
from interactem.engine.permissions import all_permissions
from interactem.engine.plan import Plan

OWN_PAYLOAD = 8 * MEBIBYTE
MAX_STORE = 65_536 * MEBIBYTE
MIN_STORE = 64 * MEBIBYTE


async def start_own_broker(plan: Plan, folder: RunFolder, secrets: Path) -> tuple[EmbeddedBroker, int]:
    """The broker, and how many bytes its store may hold. `secrets` is a folder for the run's. Raises `BrokerError`."""
    stored = sum(file.stat().st_size for file in folder.broker.rglob("*") if file.is_file())
    store_bytes = min(MAX_STORE, store_limit(shutil.disk_usage(folder.path).free, stored))
    if store_bytes < MIN_STORE:
        raise BrokerError(f"the disk of {folder.path} is nearly full; make room, or give another folder with --run-dir")
    broker = await EmbeddedBroker.start(
        folder.broker,
        secrets,
        durability="process" if plan.durability == "process" else "power",
        store_bytes=store_bytes,
        max_payload=OWN_PAYLOAD,
        replicas=all_permissions(plan),
    )
    return broker, store_bytes
