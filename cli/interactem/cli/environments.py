"""The interpreter that an operator's code runs in."""

from __future__ import annotations

import sys
from pathlib import Path


def operator_environment(folder: Path) -> list[str]:
    return [sys.executable]
