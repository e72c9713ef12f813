"""Resources: the most that one replica may have of its machine."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from interactem.spec.models import SpecModel, fitting
from interactem.spec.values import MisfitError
from interactem.spec.wording import show

LEAST_MEMORY = 32 * 2**20
"""Less than this, and Python itself does not start."""

MEMORY_TEXT = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]i?)?[bB]?\s*$"

_MEMORY = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<prefix>[kKmMgGtT]?)(?P<binary>i?)(?P<bytes>[bB]?)\s*")
_HINT = 'give a number of bytes, or a text such as "512 MiB" or "2 GiB"'


def to_bytes(value: object) -> int:
    """Takes whole numbers of bytes and texts with a unit: kB, MB, GB and TB of powers of 1000, KiB and so on of 1024.

    A letter alone, such as in `2g`, is of 1024, as the engines have it. Raises `MisfitError`.
    """
    number = _count(value)
    if number is None:
        raise MisfitError(f"{show(value)} is not an amount of memory", _HINT)
    if number < LEAST_MEMORY:
        least = f"give at least {LEAST_MEMORY // 2**20} MiB; the unit is bytes where there is none"
        raise MisfitError(f"{show(value)} is too little memory for any operator", least)
    return number


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _MEMORY.fullmatch(value if isinstance(value, str) else "")
    # MEMORY_TEXT is for people's editors, and leaves out that `i` stands before `B` alone
    if found is None or (found["binary"] and not found["bytes"]):
        return None
    decimal = bool(found["bytes"]) and not found["binary"]
    factor: int = (1000 if decimal else 1024) ** " KMGT".index(found["prefix"].upper() or " ")
    return round(float(found["number"]) * factor)


class Resources(SpecModel):
    """The most that one replica may have, where it runs in a container; what is absent is not limited."""

    memory: Annotated[
        int | None,
        BeforeValidator(
            fitting(to_bytes),
            json_schema_input_type=Annotated[int, Field(ge=LEAST_MEMORY)]
            | Annotated[str, Field(pattern=MEMORY_TEXT)]
            | None,
        ),
    ] = None
    """The memory: a number of bytes, or a text such as "2 GiB". A replica that needs more is killed."""
    cpus: float | None = Field(default=None, ge=0.01)
    """How many processors' worth of time, such as 1.5."""
    processes: int | None = Field(default=None, ge=8)
    """How many processes and threads."""
    gpus: int | None = Field(default=None, ge=0)
    """How many GPUs."""

    def over(self, other: Resources | None) -> Resources:
        """These, and of `other` what these leave open."""
        if other is None:
            return self
        return other.model_copy(update=self.model_dump(exclude_none=True))
