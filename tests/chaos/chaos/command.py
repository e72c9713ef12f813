"""The command: `python tests/chaos`."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chaos.campaign import Total, kinds, plan
from chaos.cases import OPERATORS, Case, Report, carry_out
from chaos.engines import ENGINES, Engine
from chaos.runs import INTERACTEM, CommandError, make_surroundings
from chaos.shapes import SHAPES, named

ROOT = Path(__file__).parents[3]
SHORT = {"faults": 200, "messages": 40_000, "rounds": 1}
LONG = {"faults": 2_000, "messages": 10_100_000, "rounds": 4}  # what ends as a dead letter is not counted
SEEDS = 1_000_000
JOBS = 2


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").partition("\n")[0])
    parser.description = (
        "run pipelines of every shape while they are disturbed, and check that nothing is lost or doubled"
    )
    parser.add_argument("--seed", type=_natural, help="chooses the faults; one of its own without it")
    parser.add_argument("--faults", type=_positive, help=f"how many, about (default {SHORT['faults']})")
    parser.add_argument(
        "--messages", type=_positive, help=f"how many come to sinks, about (default {SHORT['messages']})"
    )
    parser.add_argument("--rounds", type=_positive, help="how often each shape is run (default 1)")
    names = [shape.name for shape in SHAPES]
    parser.add_argument("--jobs", type=_positive, default=JOBS, help=f"runs at once (default {JOBS})")
    parser.add_argument("--shape", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--launcher", choices=("process", *ENGINES), default="process", help="what starts replicas")
    parser.add_argument("--long", action="store_true", help="2,000 faults and 10 million messages")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output at the end")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs", help="where runs take place")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    return _number(text, 1)


def _natural(text: str) -> int:
    return _number(text, 0)


def _number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is not a number from {least}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where nothing was lost or doubled and every run came to its end, else 1; 2 for wrong usage, 130 interrupted."""
    options = parse(arguments)
    if not sys.platform.startswith("linux"):
        return _refuse("processes are found by /proc, which only Linux has")
    if not INTERACTEM.is_file():
        return _refuse(f"there is no command {INTERACTEM}: install interactem into this Python, or use: make chaos")
    for name, value in (LONG if options.long else SHORT).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.seed is None:
        options.seed = time.time_ns() % SEEDS
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way, what runs is ended
    try:
        return _carry_out(options)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except CommandError as error:
        return _refuse(str(error))


def _refuse(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 2


def _carry_out(options: argparse.Namespace) -> int:
    def tell(line: str) -> None:
        (sys.stderr if options.json else sys.stdout).write(f"{line}\n")
        (sys.stderr if options.json else sys.stdout).flush()

    tell(f"seed {options.seed}")
    place = options.folder.absolute() / f"chaos-{options.seed}-{time.time_ns() % SEEDS}"
    shapes = [named(name) for name in options.shape] if options.shape else SHAPES
    cases = plan(shapes, seed=options.seed, faults=options.faults, messages=options.messages, rounds=options.rounds)
    with ExitStack() as stack:
        engine = _engine(options.launcher, place, cases, stack)
        again = "" if engine is None else f" --launcher {engine.name}"
        reports = _carry_out_all(
            cases, place, options.jobs, lambda report: tell("\n".join(_lines(report, again))), engine
        )
    if all(report.good for report in reports):
        shutil.rmtree(place)
    total = Total.of(reports)
    tell(", ".join(f"{kind} {times}" for kind, times in sorted(kinds(reports).items())))
    if options.json:
        sys.stdout.write(json.dumps(_to_value(options.seed, total, reports), indent=2) + "\n")
    tell(total.line())
    return 0 if total.good else 1


def _engine(launcher: str, place: Path, cases: Sequence[Case], stack: ExitStack) -> Engine | None:
    """What has the images of all operators until the stack is closed; None for processes. Raises `CommandError`."""
    if launcher == "process":
        return None
    engine = Engine(launcher, place)
    stack.callback(engine.close)
    values = [value for case in cases for value in case.shape.operators(case.count).values()]
    engine.build(OPERATORS, sorted({value["operator"] for value in values}))
    return engine


def _carry_out_all(
    cases: Sequence[Case], place: Path, jobs: int, tell: Callable[[Report], object], engine: Engine | None
) -> list[Report]:
    """The reports, in the order of the cases. On an interruption, what runs is ended, and all folders stay."""
    surroundings = make_surroundings(place / "user")
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        carried = [pool.submit(carry_out, case, place / case.name, surroundings, stop, engine) for case in cases]
        try:
            for done in as_completed(carried):
                tell(done.result())
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [done.result() for done in carried]


def _lines(report: Report, again: str) -> list[str]:
    case, verdict = report.case, report.verdict
    broker = "a broker behind a proxy" if case.proxied else "a broker of its own"
    lines = [
        f"{case.shape.name}, {broker}: faults {report.faults}, messages {verdict.messages}, lost {verdict.lost}, "
        f"doubled {verdict.doubled}, {report.seconds:.0f} s"
    ]
    lines += [f"  {line}" for line in (*report.problems, *verdict.examples)]
    if not report.good:
        lines += [f"  kept in {report.folder}", f"  again with: {_again(report, again)}"]
    return lines


def _again(report: Report, more: str) -> str:
    case = report.case
    per_source = case.count * case.shape.deliveries
    return (
        f"make chaos CHAOS='--shape {case.shape.name} --seed {case.seed} "
        f"--faults {case.faults} --messages {per_source}{more}'"
    )


def _to_value(seed: int, total: Total, reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "seed": seed,
        "faults": total.faults,
        "messages": total.messages,
        "lost": total.lost,
        "doubled": total.doubled,
        "wrong": total.wrong,
        "failed": total.failed,
        "kinds": dict(kinds(reports)),
        "cases": [
            {
                "shape": report.case.shape.name,
                "seed": report.case.seed,
                "proxied": report.case.proxied,
                "faults": report.faults,
                "messages": report.verdict.messages,
                "lost": report.verdict.lost,
                "doubled": report.verdict.doubled,
                "wrong": report.verdict.wrong,
                "examples": report.verdict.examples,
                "problems": report.problems,
                "seconds": round(report.seconds, 1),
                "folder": str(report.folder) if report.folder else None,
            }
            for report in reports
        ],
    }
