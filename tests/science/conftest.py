import importlib.util
import itertools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data" / "4dstem"

_numbers = itertools.count()


@pytest.fixture
def run_module():
    """Imports an operator's run.py by the operator's name."""

    def load(name: str):
        path = ROOT / "operators" / name / "run.py"
        spec = importlib.util.spec_from_file_location(f"run_{name.replace('-', '_')}_{next(_numbers)}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def recorded():
    """The path of a recorded scan, by its name; skips where the recorded scans are not there."""

    def find(name: str) -> Path:
        path = RECORDED / name
        if not path.is_file():
            pytest.skip(f"the recorded scan {name} is not there: it is expected in {RECORDED}")
        return path

    return find
