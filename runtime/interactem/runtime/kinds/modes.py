"""Modes: how many calls of a kernel go on at once in one replica, and where. Which kinds go with which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interactem.runtime.errors import KernelError

__all__ = ["MODES", "NO_MODE", "Mode", "ModeName", "refusal", "refuse", "required"]

ModeName = Literal["threads", "concurrency", "processes", "ordered"]
MODES: tuple[ModeName, ...] = ("threads", "concurrency", "processes", "ordered")
_MOST = 1_024
"""Calls at once: more is a mistake."""


@dataclass(frozen=True, slots=True)
class Mode:
    """`threads`, `concurrency` and `processes` are how many calls go on at once; 0 is not said, and one at most is.

    With `ordered`, results leave in the order in which messages came, whatever takes how long, and also where a message
    fails: it is tried again in its place.
    """

    threads: int = 0
    concurrency: int = 0
    processes: int = 0
    ordered: bool = False

    @property
    def wanted(self) -> list[ModeName]:
        """What was asked for."""
        return [name for name in MODES if getattr(self, name)]

    @property
    def width(self) -> int:
        """How many calls go on at once."""
        return max(self.threads, self.concurrency, self.processes, 1)

    def __str__(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.wanted)


NO_MODE = Mode()
_NO_SOURCE = "a source makes its messages one after the other, each at its position"
_ONE_VALUE = "it gives one value after the other, on its schedule"
_OWN_POOLS = "its stages have their own: prepare_concurrency, max_concurrency, output_concurrency"
_ONE_WINDOW = "windows are told one after the other, as they end; a key on its edges divides them among replicas"
_REFUSED: dict[tuple[str, ModeName], str] = {
    **{("reduce", name): _ONE_WINDOW for name in MODES},
    **{("source", name): _NO_SOURCE for name in MODES},
    **{("side input", name): _ONE_VALUE for name in MODES},
    ("staged", "threads"): _OWN_POOLS,
    ("staged", "concurrency"): _OWN_POOLS,
    ("staged", "processes"): _OWN_POOLS,
}


def refusal(kind: str, mode: ModeName) -> str:
    """Why kernels of this kind cannot have the mode; empty where they can."""
    return _REFUSED.get((kind, mode), "")


def refuse(kind: str, options: Mapping[str, object]) -> None:
    """Options that no kernel of this kind has. Raises `KernelError`, for a mode with the reason."""
    for name, value in options.items():
        if name not in MODES:
            raise KernelError(f"@operator.{kind.replace(' ', '_')} has no option {name!r}")
        if value:
            raise KernelError(f"{name}= does not go with {kind}: {refusal(kind, name)}")


def required(name: str, kind: str, mode: Mode, *, coroutine: bool) -> None:
    """Raises `KernelError` where a kernel cannot be run so."""
    for wanted in mode.wanted:
        if why := refusal(kind, wanted):
            raise KernelError(f"{name}: {wanted}= does not go with {kind}: {why}")
    pools = [wanted for wanted in mode.wanted if wanted != "ordered"]
    for pool in pools:
        number = getattr(mode, pool)
        if type(number) is not int or not 1 <= number <= _MOST:
            raise KernelError(f"{name}: {pool}={number!r} must be a whole number from 1 to {_MOST:,}")
    if len(pools) > 1:
        raise KernelError(f"{name}: {' and '.join(f'{pool}=' for pool in pools)} exclude each other; keep one")
    if mode.threads and coroutine:
        raise KernelError(f"{name}: threads= is for plain functions; a coroutine takes concurrency={mode.threads}")
    if mode.concurrency and not coroutine:
        raise KernelError(f"{name}: concurrency= is for coroutines; a plain function takes threads={mode.concurrency}")
