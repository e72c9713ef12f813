"""What docs/bundled.md says is so."""

import re
from pathlib import Path

import numpy as np

from distiller_streaming import BatchedFrames, FramesHeader
from interactem.runtime.testing import call
from interactem.spec import parse_operator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bundled.md").read_text()


def test_the_table_lists_every_operator_with_its_types():
    rows = re.findall(r"^\| \[`([a-z-]+)`\]\(\.\./operators/\1\) \| (.*?) ?\| (.*?) ?\|", PAGE, re.MULTILINE)
    listed = {name: (taken.strip("`"), sent.strip("`")) for name, taken, sent in rows}
    specs = {
        path.parent.name: parse_operator(path.read_text(), str(path))
        for path in (ROOT / "operators").glob("*/operator.json")
    }
    assert listed == {
        name: ("".join({port.type for port in spec.inputs}), "".join({port.type for port in spec.outputs}))
        for name, spec in specs.items()
    }


def test_the_example_operator_works(tmp_path):
    (code,) = re.findall(r"```python operator\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "run.py").write_text(code)
    frames = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)
    batch = BatchedFrames(FramesHeader((1, 2), (3, 4), [0, 1]), frames)
    (message,) = call(tmp_path, batch.to_bytes_message(), {"column": 2})
    masked = BatchedFrames.from_bytes_message(message)
    assert masked.header == batch.header
    assert (masked.array[:, :, 2] == 0).all()
    np.testing.assert_array_equal(np.delete(masked.array, 2, axis=2), np.delete(frames, 2, axis=2))
