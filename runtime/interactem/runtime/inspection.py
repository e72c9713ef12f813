"""What is in a `run.py`, found by importing it in a process of its own, in the operator's environment.

`python -m interactem.runtime.inspection PATH [--look]` prints one JSON document: `kernel` (the function's name),
`generator` and so on (see `fitting`); or `error`, and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from interactem.runtime.errors import LoadError
from interactem.runtime.fitting import describe
from interactem.runtime.loading import load
from interactem.runtime.standard_output import reserved_output

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m interactem.runtime.inspection", description=__doc__)
    parser.add_argument("path", type=Path, help="the operator's run.py, or its folder")
    parser.add_argument("--look", action="store_true", help="look for the program of a command here")
    options = parser.parse_args(arguments)
    path: Path = options.path
    with reserved_output() as output:
        try:
            document, code = describe(load(path / "run.py" if path.is_dir() else path, look=options.look)), 0
        except LoadError as error:
            document, code = {"error": str(error)}, 2
        output.write(json.dumps(document) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
