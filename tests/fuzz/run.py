"""Fuzzes the targets with atheris for a bounded time: `make fuzz`, or `python tests/fuzz/run.py --seconds 600 wire`.

Each target runs in a process of its own, one after the other, for its share of the time, and its corpus stays in the
folder given with `--corpus`, so that the next time goes on from there. Findings (an exception that the parser does not
document, an input that takes longer than ten seconds or more than 2 GB) are listed at the end, and the exit code is
then 1. What a target says while it runs is in `<corpus>/<target>.log`.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import re
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE.parents[1] / ".fuzz"
SECONDS_AN_INPUT = 10
MEBIBYTES = 2048


def load_targets():
    logging.getLogger("interactem").setLevel(logging.CRITICAL)  # of thousands of refusals nobody wants to hear
    spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_targets"] = module
    spec.loader.exec_module(module)
    return module.TARGETS


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=600, help="for all targets together")
    arguments.add_argument("--corpus", type=Path, default=CORPUS)
    arguments.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("targets", nargs="*")
    given = arguments.parse_args()
    if given.one:
        fuzz(given.targets[0], given.corpus / given.targets[0], given.seconds)
        return
    targets = load_targets()
    if unknown := set(given.targets) - set(targets):
        arguments.error(f"there are no targets {', '.join(sorted(unknown))}; there are: {', '.join(targets)}")
    chosen = [targets[name] for name in given.targets or targets]
    shares = sum(target.share for target in chosen)
    found = [
        line
        for target in chosen
        for line in fuzz_apart(target.name, given.corpus, given.seconds * target.share / shares)
    ]
    print(f"findings {len(found)}", *found, sep="\n")  # noqa: T201
    sys.exit(bool(found))


def fuzz_apart(name: str, corpus: Path, seconds: float) -> list[str]:
    """One target in a process of its own. Returns what it found."""
    (corpus / name).mkdir(parents=True, exist_ok=True)
    log = corpus / f"{name}.log"
    command = [sys.executable, __file__, "--one", "--seconds", str(seconds), "--corpus", str(corpus), name]
    with log.open("wb") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    said = log.read_text(errors="replace")
    executions = re.findall(r"number_of_executed_units: (\d+)", said) or re.findall(r"^#(\d+)", said, re.M) or ["0"]
    coverage = re.findall(r"cov: (\d+) ft: (\d+)", said) or [("0", "0")]
    print(f"{name:15} {int(executions[-1]):>10,} executions, coverage {' / '.join(coverage[-1])}", flush=True)  # noqa: T201
    found = sorted(set(re.findall(r"^FINDING .*", said, re.M)))
    return found if code == 0 or found else [f"FINDING {name}: ended with {code}, see {log}"]


def fuzz(name: str, corpus: Path, seconds: float) -> None:
    """In this process, until the time is over."""
    import atheris

    with atheris.instrument_imports(include=["interactem"]):
        target = load_targets()[name]
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    seen: set[tuple[str, ...]] = set()

    def test_one_input(data: bytes) -> None:
        try:
            target.run(data)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "interactem" in frame.filename] or frames
            kind = (type(error).__name__, f"{Path(ours[-1].filename).name}:{ours[-1].lineno}")
            if kind not in seen:
                seen.add(kind)
                told = f"{' '.join(kind)}: {error!r:.200} for {data[:300].hex()}"
                print(f"FINDING {name}: {told}", flush=True)  # noqa: T201

    options = {
        "max_total_time": max(1, int(seconds)),
        "timeout": SECONDS_AN_INPUT,
        "rss_limit_mb": MEBIBYTES,
        "print_final_stats": 1,
        "artifact_prefix": f"{corpus.parent}/{name}-",
        "verbosity": 1,
        "max_len": 4096,
    }
    atheris.Setup([sys.argv[0], str(corpus), *(f"-{key}={value}" for key, value in options.items())], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
