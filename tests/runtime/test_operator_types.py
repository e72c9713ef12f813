"""What type checkers see of `@operator`: a decorated function keeps its type. mypy reads this file with the tests."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

SAMPLE = """
    from typing import Any, assert_type
    from collections.abc import Iterator
    from interactem.runtime import BytesMessage, Context, operator

    @operator
    def bare(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
        return inputs

    @operator()
    def called(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
        return inputs

    def end(parameters: dict[str, Any], context: Context) -> None:
        return None

    @operator(finish=end, replayable=False)
    def source(inputs: None, parameters: dict[str, Any]) -> Iterator[BytesMessage]:
        yield BytesMessage()

    @operator.batch(max_size=8, threads=2, ordered=True)
    def batched(inputs: list[BytesMessage], parameters: dict[str, Any]) -> list[BytesMessage]:
        return inputs

    @operator.staged(prepare=bare, max_concurrency=2)
    async def staged(prepared: BytesMessage) -> BytesMessage:
        return prepared

    @operator.map(concurrency=4)
    async def mapped(inputs: BytesMessage) -> BytesMessage:
        return inputs

    message = BytesMessage()
    assert_type(bare(message, {}), BytesMessage)
    assert_type(called(message, {}), BytesMessage)
    assert_type(source(None, {}), Iterator[BytesMessage])
    assert_type(batched([message], {}), list[BytesMessage])

    async def ask() -> None:
        assert_type(await staged(message), BytesMessage)
        assert_type(await mapped(message), BytesMessage)
"""


def test_a_decorated_function_keeps_its_type(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(textwrap.dedent(SAMPLE))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)],
        cwd=root / "runtime",
        capture_output=True,
        text=True,
        env={"MYPYPATH": f"{root / 'runtime'}:{root / 'spec'}", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
