"""What a script would do with tasks in a file: read lines, call a function, write lines. Nothing is kept if it dies.

Prints a JSON object with the seconds that it took.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path


def same(data: str) -> str:
    return data


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    with arguments.tasks.open() as tasks, (arguments.folder / "results.jsonl").open("w") as results:
        for line in tasks:
            task = json.loads(line)
            result = {"id": task["id"], "status": "success", "data": same(task["data"])}
            results.write(json.dumps(result) + "\n")
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - begun}) + "\n")


if __name__ == "__main__":
    main()
