"""`interactem pipeline run` and `resume`: a run in the foreground, with its progress, or detached."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactem.cli.failures import INTERRUPTED, InvalidError
from interactem.cli.graphs import LoadedPipeline, load_pipeline
from interactem.cli.output import console, counted, print_json, print_table, say
from interactem.cli.progress import plain_lines, progress_table
from interactem.cli.serving import both, serving
from interactem.engine import PreparedRun, RunResult, execute, prepare, reopen
from interactem.engine.connections import find_connections
from interactem.engine.detached import detach
from interactem.engine.interrupts import interrupts
from interactem.engine.kept_metrics import keep_metrics
from interactem.engine.path_rules import with_mapped_paths
from interactem.engine.plan import LauncherName
from interactem.engine.progress import OperatorProgress
from interactem.engine.supervisor import GRACE_SECONDS, Supervisor
from interactem.runtime.path_mapping import PathRule
from interactem.spec import Graph

if TYPE_CHECKING:
    from interactem.cli.serving import Served

PLAIN_SECONDS = 2.0
"""How often progress is printed where there is no terminal."""


def load(
    file: Path,
    sets: Iterable[str],
    replicas: Iterable[str],
    launcher: LauncherName,
    path_rules: Sequence[PathRule] = (),
) -> LoadedPipeline:
    """A pipeline file with these parameters and replicas, its mounts mapped by the rules, checked.

    Raises `SpecError`, `InvalidError`, and `ContainerError` where operators are named by their images.
    """
    engine = None if launcher == "process" else launcher
    loaded = load_pipeline(file, sets, engine=engine, progress=lambda name, text: say(text, stderr=True))
    pipeline = loaded.graph.pipeline.with_replicas(dict(map(_replicas, replicas)))
    graph = with_mapped_paths(Graph(pipeline, loaded.graph.catalog, source=str(file)), path_rules)
    loaded = LoadedPipeline(graph, loaded.catalog)
    loaded.check()
    return loaded


def _replicas(text: str) -> tuple[str, int]:
    operator, equals, count = text.partition("=")
    if not equals or not count.isdecimal():
        raise InvalidError(f"{text!r} does not set a number of replicas: write operator=N")
    return operator, int(count)


def run(
    loaded: LoadedPipeline,
    *,
    run_dir: Path | None,
    broker: str | None,
    launcher: LauncherName,
    locked: Path | None,
    shm: bool,
    detached: bool,
    path_rules: Sequence[PathRule] = (),
    **end: Any,
) -> int:
    """Runs it; returns the exit code. `end`: `seconds`, `allow_dead`, `as_json`, `watch`, `metrics`."""
    if locked is not None and launcher == "process":
        raise InvalidError("--locked is about images: give --launcher podman or --launcher docker with it")
    if end.get("watch") and detached:
        raise InvalidError("--watch is for a run in front of you: leave out --detach")

    async def ready(tell: Callable[[str, str], None]) -> PreparedRun:
        return await prepare(
            loaded.graph,
            loaded.catalog.folders,
            run_dir=run_dir,
            broker=broker,
            launcher=launcher,
            locked=locked,
            shm=shm,
            path_rules=path_rules,
            connections=find_connections(Path(loaded.graph.source)),
            progress=tell,
        )

    return _go(ready, detached=detached, **end)


def resume(folder: Path, *, broker: str | None, detached: bool, **end: Any) -> int:
    again = end.pop("again", False)

    async def ready(tell: Callable[[str, str], None]) -> PreparedRun:
        return await reopen(folder, broker=broker, again=again, progress=tell)

    return _go(ready, detached=detached, **end)


def _go(
    ready: Callable[[Callable[[str, str], None]], Awaitable[PreparedRun]],
    *,
    detached: bool,
    seconds: float | None,
    allow_dead: bool,
    as_json: bool,
    watch: bool = False,
    metrics: tuple[int | None, str | None] = (None, None),
) -> int:
    with serving(*metrics) as served:
        return _run_served(ready, detached, seconds, allow_dead, as_json, watch, served)


def _run_served(
    ready: Callable[[Callable[[str, str], None]], Awaitable[PreparedRun]],
    detached: bool,
    seconds: float | None,
    allow_dead: bool,
    as_json: bool,
    watch: bool,
    served: Served,
) -> int:
    screen = Screen(quiet=as_json)
    observe = screen.observe if served is None else both(served.metrics.show, screen.observe)

    async def whole() -> RunResult | PreparedRun:
        with interrupts(screen.note) as take:
            with screen.preparing() as tell:
                prepared = await ready(tell)
            if detached:
                return prepared
            screen.begin(prepared)
            if served is not None:
                served.metrics.begin(prepared.run, prepared.plan.name)
                screen.tell_metrics(served.url)

            def started(supervisor: Supervisor) -> None:
                take(supervisor)
                if seconds is not None:
                    words = f"its time of {seconds:g} s was up"
                    loop = asyncio.get_running_loop()
                    loop.call_later(seconds, partial(supervisor.drain, words, grace=GRACE_SECONDS))

            with screen.showing():
                return await execute(prepared, observe=observe, started=started, watch=screen.tell if watch else None)

    try:
        outcome = asyncio.run(whole())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if isinstance(outcome, PreparedRun):
        return _tell_detached(outcome, as_json, served)
    screen.end(outcome)
    return exit_code(outcome, screen, allow_dead)


def _tell_detached(prepared: PreparedRun, as_json: bool, served: Served) -> int:
    if served is not None:  # by the supervisor from now on
        keep_metrics(prepared.folder, served.host, served.port)
        served.close()
    record = detach(prepared)
    metrics = {} if served is None else {"metrics": served.url}
    if as_json:
        print_json({"run": record.run, "state": record.state, "folder": str(record.folder), **metrics})
    else:
        say(f"run {record.run} goes on in {record.folder}")
        if served is not None:
            say(f"metrics: {served.url}")
        say(
            f"follow it: interactem pipeline logs {record.run} --follow;  end it: interactem pipeline stop {record.run}"
        )
    return 0


def exit_code(result: RunResult, screen: Screen, allow_dead: bool) -> int:
    if result.state == "completed":
        return 1 if result.dead and not allow_dead else 0
    return INTERRUPTED if result.state == "stopped" and screen.interrupted else 1


class Screen:
    """What a person sees of a run: a table that updates in place, or plain lines where there is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self.interrupted = False
        self._quiet = quiet
        self._silent = False
        self._console = console(stderr=quiet)
        self._told: set[str] = set()
        self._live: Any = None
        self._printed = time.monotonic()
        self._printed_lines: list[str] = []

    def preparing(self) -> AbstractContextManager[Callable[[str, str], None]]:
        if not self._console.is_terminal:
            return nullcontext(self._say_preparing)
        return _Status(self._console)

    def _say_preparing(self, operator: str, text: str) -> None:
        if operator not in self._told:  # once each: the rest is for those who watch
            self._told.add(operator)
            say(f"{operator}: {text}", stderr=True)

    def begin(self, prepared: PreparedRun) -> None:
        if not self._quiet:
            say(f"run {prepared.run} of {prepared.plan.name}")

    def tell_metrics(self, url: str) -> None:
        say(f"metrics: {url}", stderr=self._quiet)

    def showing(self) -> AbstractContextManager[Any]:
        if self._quiet or not self._console.is_terminal:
            return nullcontext()
        from rich.live import Live

        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        return self._live  # type: ignore[no-any-return]

    def observe(self, state: str, rows: list[OperatorProgress]) -> None:
        try:
            self._show(state, rows)
        except OSError:  # nobody reads it any more, such as `head`: no reason to end the run
            self._silent = True

    def _show(self, state: str, rows: list[OperatorProgress]) -> None:
        if self._silent:
            return
        if self._live is not None:
            self._live.update(progress_table(state, rows), refresh=True)
        elif not self._quiet and time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            lines = plain_lines(state, rows)
            for line in lines:
                if line not in self._printed_lines:  # the others say what they said last time
                    sys.stdout.write(line + "\n")
            self._printed_lines = lines
            sys.stdout.flush()

    def note(self, text: str) -> None:
        self.interrupted = True
        self.tell(text)

    def tell(self, text: str) -> None:
        """Say something that is no part of the progress."""
        say(text, "yellow", stderr=True)

    def log(self, lines: Iterable[str]) -> None:
        """Print what replicas print."""
        for line in lines:
            if self._live is not None:
                self._console.print(line, soft_wrap=True)
            elif not self._quiet:
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def end(self, result: RunResult) -> None:
        if self._quiet:
            print_json(result.to_value())
            return
        from interactem.engine.summaries import late_messages

        operators = {name: {**each, "late": late_messages(each)} for name, each in result.operators.items()}
        some = [name for name in ("unwanted", "late") if any(each.get(name) for each in operators.values())]
        names = ("replicas", "received", "sent", *some, "retried", "dead", "restarts")
        rows = [(name, *(numbers[each] for each in names)) for name, numbers in operators.items()]
        print_table(("operator", *names), rows, right=names)
        style = {"completed": "green", "failed": "red"}.get(result.state, "yellow")
        reason = f": {result.reason}" if result.reason else ""
        say(f"{result.state} in {result.seconds:.1f} s{reason}", style)
        for file in result.outputs:
            say(file)
        self._end_of_letters(result)

    def _end_of_letters(self, result: RunResult) -> None:
        if result.dead:
            what = counted(result.dead, "dead letter")
            say(f"{what}: look at them with: interactem pipeline dead ls {result.run}", "bold red", stderr=True)
        if result.state != "completed":
            say(f"nothing is lost; to go on: interactem pipeline resume {result.run}", stderr=True)


class _Status:
    """What is prepared, on one line of the terminal."""

    def __init__(self, terminal: Any) -> None:
        self._status = terminal.status("preparing")

    def __enter__(self) -> Callable[[str, str], None]:
        self._status.start()
        return lambda operator, text: self._status.update(f"{operator}: {text}")

    def __exit__(self, *error: object) -> None:
        self._status.stop()
