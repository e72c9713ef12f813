"""Compile what was installed, so that no start has to, and show that it can be imported.

Runs while an image is built: `python ready.py MODULE...`.
"""

from __future__ import annotations

import compileall
import importlib
import os
import sys
import sysconfig
from pathlib import Path


def main(modules: list[str]) -> int:
    packages = Path(sysconfig.get_path("purelib"))
    others = [path.name for path in packages.parent.parent.glob("python3*") if path != packages.parent]
    if others:
        sys.stderr.write(f"packages for {others[0]} were laid out, and this is Python {sys.version.split()[0]}\n")
        return 1
    if not compileall.compile_dir(packages, quiet=1, workers=os.cpu_count() or 1):
        return 1
    for module in modules:
        importlib.import_module(module)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
