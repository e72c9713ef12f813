"""What a person sees of a bake: a table that updates in place, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from interactem.cli.output import console, print_table, say
from interactem.engine.images.outcomes import Outcome, State

if TYPE_CHECKING:
    from rich.console import RenderableType

DOING = ("building", "pushing", "pulling")
STYLES = {"built": "green", "pushed": "green", "pulled": "green", "failed": "red", "skipped": "yellow"}
REFRESHES = 4
"""A second: the table counts time by itself."""


@dataclass
class Row:
    state: State
    step: str
    start: float = field(default_factory=time.monotonic)
    seconds: float | None = None

    def cells(self, name: str) -> tuple[str, str, str, str]:
        seconds = time.monotonic() - self.start if self.seconds is None else self.seconds
        return name, self.state, f"{seconds:.1f} s", self.step


class BakeScreen:
    """Is told what happens, from any thread, and shows it."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = console()
        self._rows: dict[str, Row] = {}
        self._lock = Lock()

    def begin(self, heading: str, note: str = "") -> None:
        self._rows.clear()
        self.note(f"{heading} ({note})" if note else heading, "bold")

    def note(self, text: str, style: str | None = None) -> None:
        if not self._quiet:
            say(text, style)

    def warn(self, text: str) -> None:
        if not self._quiet:
            say(text, "yellow", stderr=True)

    def showing(self) -> AbstractContextManager[Any]:
        if self._quiet or not self._console.is_terminal:
            return nullcontext()
        from rich.live import Live

        return Live(console=self._console, get_renderable=self._table, refresh_per_second=REFRESHES, transient=True)

    def observe(self, name: str, state: State, step: str) -> None:
        with self._lock:
            new = name not in self._rows
            row = self._rows.setdefault(name, Row(state, step))
            changed = new or row.state != state or bool(step)
            row.state, row.step = state, step
            if state not in DOING:
                row.seconds = time.monotonic() - row.start
            elif row.seconds is None and not self._quiet and not self._console.is_terminal and changed:
                say(f"{name}: {step or state}")

    def end(self, outcomes: Iterable[Outcome]) -> None:
        """Plain lines are told once more how each ended, in the order of the plan."""
        if not self._quiet and not self._console.is_terminal:
            for outcome in outcomes:
                say(f"{outcome.name}: {outcome.state} in {outcome.seconds:.1f} s")

    def _table(self) -> RenderableType:
        from interactem.cli.output import table

        with self._lock:
            rows = [row.cells(name) for name, row in self._rows.items()]
        return table(("image", "state", "time", "step"), rows, right=("time",))


def print_outcomes(done: Mapping[str, Sequence[Outcome]], seconds: float) -> None:
    """The summary: each image once a thing that was done with it; then what failed, and why."""
    from rich.text import Text

    every = [outcome for outcomes in done.values() for outcome in outcomes]
    rows = [
        (
            outcome.name,
            Text(outcome.state, STYLES.get(outcome.state, "")),
            f"{outcome.seconds:.1f} s",
            sized(outcome.size) if outcome.size else "",
            short(outcome.digest or outcome.id),
            outcome.image,
        )
        for outcome in every
    ]
    print_table(("name", "state", "time", "size", "digest", "image"), rows, right=("time", "size"))
    for outcome in every:
        if not outcome.ok:
            say(f"{outcome.name} {outcome.state}: {outcome.reason}", "red", stderr=True)
    states = dict.fromkeys(outcome.state for outcome in every)
    told = ", ".join(f"{sum(o.state == state for o in every)} {state}" for state in states) or "nothing to do"
    say(f"{told} in {seconds:.1f} s", "red" if any(not outcome.ok for outcome in every) else "green")


def sized(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def short(digest: str) -> str:
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}" if value else digest[:12]
