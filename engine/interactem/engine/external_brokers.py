"""Brokers that are not a run's own: an existing NATS server, given by its address."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client

from interactem.engine.broker import MEBIBYTE
from interactem.engine.errors import BrokerError
from interactem.engine.files import write_private
from interactem.engine.folders import RunFolder
from interactem.engine.index import remove_secrets, secrets_folder
from interactem.runtime.connections import Address, Storer, connect
from interactem.runtime.errors import TransportError

NO_STORE = "has no store of its own any more; if it used a broker of yours, name that with --broker URL"
LEAST_PAYLOAD = MEBIBYTE // 2
"""A batch must fit in."""
EXTERNAL_STORE = 4096 * MEBIBYTE
"""What a run takes of such a broker, at most."""
CHECK_SECONDS = 5.0


async def reachable(run: str, broker: str) -> tuple[Address, int]:
    """Where it is, and how large a message it takes. Raises `BrokerError` or `TransportError` for one of no use."""
    address = address_of(run, broker)
    try:
        client = await connect(address, f"{run} check", patience=CHECK_SECONDS)
        try:
            await _check_jetstream(client, address)
        finally:
            await client.close()
    except BaseException:
        remove_secrets(run)
        raise
    return address, client.max_payload


async def _check_jetstream(client: Client, address: Address) -> None:
    if client.max_payload < LEAST_PAYLOAD:
        least = f"its max_payload is {client.max_payload:,} bytes, and at least {LEAST_PAYLOAD:,} are needed"
        raise BrokerError(f"the broker at {address.url} is of no use: {least}")
    storer = Storer(client)
    await storer.open()
    try:
        answer = await storer.ask("$JS.API.INFO", None, patience=CHECK_SECONDS)
    except TransportError:
        silent = f"has no JetStream, or does not answer within {CHECK_SECONDS:g} s"
        raise BrokerError(
            f"the broker at {address.url} {silent}: start it with nats-server -js, or try again"
        ) from None
    if "error" in answer:
        why = answer["error"].get("description", answer["error"])
        raise BrokerError(f"the broker at {address.url} does not let this user store anything: {why}")


def address_of(run: str, url: str) -> Address:
    """A password in the address goes into a file that only the user reads: nothing else is passed on."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if parts.username is None:
        return Address(bare)
    credentials = secrets_folder(run) / "broker.json"
    login = {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    write_private(credentials, json.dumps(login))
    return Address(bare, credentials)


def was_external(folder: RunFolder) -> bool:
    """Whether the run was started before, and not with a broker of its own."""
    return not (folder.broker / "store").is_dir() and folder.events.stat().st_size > 0
