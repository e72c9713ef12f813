"""What a standby imports ahead."""

from __future__ import annotations

import ast
import textwrap

import pytest

from interactem.runtime.standby import imports


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Draws."""\nimport io\nfrom numpy import linalg as l', ["import io", "from numpy import linalg as l"]),
        ("from __future__ import annotations\nimport io", ["from __future__ import annotations", "import io"]),
        ("import io\nos.environ['THREADS'] = '4'\nimport numpy", ["import io"]),
        ("import io\nif TYPE_CHECKING:\n    import numpy\nimport json", ["import io"]),
        (
            "import io, beside\nimport json\nimport package.inner\nfrom beside import x\nfrom . import y",
            ["import json"],
        ),
        ("", []),
    ],
)
def test_the_imports_at_the_head_of_what_does_not_lie_beside(tmp_path, source, expected):
    (tmp_path / "beside.py").touch()
    (tmp_path / "package").mkdir()
    assert [ast.unparse(found) for found in imports(textwrap.dedent(source), tmp_path)] == expected
