"""Fails on a share of the messages, always the same ones, and passes on the others."""

import hashlib
from typing import Any

from interactem.runtime import BytesMessage, Context, operator


class ChosenFailure(RuntimeError):
    """What a chosen message fails with."""


def is_chosen(key: bytes, rate: float, seed: int = 0) -> bool:
    """Whether a message fails: for a share `rate` of all keys, and for the same ones every time."""
    digest = hashlib.blake2b(key, digest_size=8, salt=seed.to_bytes(8, "big", signed=True)).digest()
    return int.from_bytes(digest, "big") < rate * 2**64


@operator
def fail(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> BytesMessage:
    rate, attempts = parameters.get("rate", 0.1), parameters.get("attempts", 1)
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is from 0 to 1, not {rate}")
    # outside a run a message has no id
    key = bytes(inputs.data) if context.message_id is None else context.message_id.encode()
    still = attempts == 0 or context.attempt <= attempts
    if still and is_chosen(key, rate, parameters.get("seed", 0)):
        which = "every attempt" if attempts == 0 else f"attempt {context.attempt} of {attempts} that fail"
        raise ChosenFailure(f"this message was chosen to fail on {which} (rate {rate:g})")
    return inputs
