"""What the pytest plugin gives: pipelines in the test's own process, in memory and on a real broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interactem.engine.testing.operators import OperatorUnderTest
from interactem.engine.testing.pipelines import PipelineError, PipelineUnderTest
from interactem.runtime import BytesMessage
from interactem.spec import SpecError

ROOT = Path(__file__).parents[2]
OPERATOR = """{{"id": "{id}", "label": "x", "description": "x", "image": "x",
  "inputs": [{{"name": "in", "type": "any"}}], "outputs": [{{"name": "out", "type": "any"}}]}}"""

KERNEL = """import time
from interactem.runtime import operator

@operator
def kernel(inputs, parameters):
    """


@pytest.fixture
def project(tmp_path):
    """Makes operators of one input and one output, by what their kernels do."""

    def make(**operators):
        for number, (name, code) in enumerate(operators.items()):
            folder = tmp_path / "operators" / name
            folder.mkdir(parents=True)
            folder.joinpath("run.py").write_text(KERNEL + code)
            folder.joinpath("operator.json").write_text(OPERATOR.format(id=f"00000000-0000-4000-8000-{number:012d}"))
        return tmp_path

    return make


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.broker)])
def server(request):
    return request.getfixturevalue("broker") if request.param == "nats" else None


def texts(*words):
    return [BytesMessage(data=word.encode()) for word in words]


def test_each_replica_has_its_own_modules_and_mounts(tmp_path, server):
    records = "".join(f'{{"id": {number}, "key": "a1"}}\n' for number in range(50))
    (tmp_path / "records.jsonl").write_text(records + "nothing\n")
    run = PipelineUnderTest(ROOT / "pipelines", tmp_path / "runs")
    table = ROOT / "operators" / "lookup-table" / "tests" / "samples.csv"
    settings = {
        "lines": {"file": str(tmp_path / "records.jsonl")},
        "table": {"file": str(table)},
        "lookup": {"field": "key"},
    }
    result = run("records.json", settings, collect=["lookup.record"], broker=server)
    assert len(result["lookup.record"]) == 51
    assert sum(b'"site": "north"' in m.data for m in result["lookup.record"]) == 50
    assert result.counts["records"]["received"] == 51
    assert [path.read_bytes() for path in (result.outputs / "rejected").iterdir()] == [b"nothing"]
    assert result.dead == []


def test_dead_letters_are_in_the_result(project, server):
    root = project(divide="return 1 / int(inputs.data)")
    run = PipelineUnderTest(root, root / "runs")
    value = {"name": "n", "operators": {"d": {"operator": "divide", "max_attempts": 1}}}
    result = run(value, given={"d.in": texts("0")}, collect=["d.out"], broker=server)
    [letter] = result.dead
    assert (letter.message.data, letter.error, letter.attempts) == (b"0", "ZeroDivisionError: division by zero", 1)
    assert result["d.out"] == []


def test_what_fails_is_named(project):
    wrong = "raise type('Gone', (BaseException,), {})"
    slow = "time.sleep(1)"
    root = project(wrong=wrong, slow=slow)
    run = PipelineUnderTest(root, root / "runs")
    with pytest.raises(PipelineError, match="w: Gone"):
        run({"name": "n", "operators": {"w": {"operator": "wrong"}}}, given={"w.in": texts("a")})
    with pytest.raises(PipelineError, match=r"after 0.1 s these have not come to their end: s"):
        run({"name": "n", "operators": {"s": {"operator": "slow"}}}, given={"s.in": texts("a")}, timeout=0.1)
    with pytest.raises(SpecError, match="nothing is connected to its input 'in'"):
        run({"name": "n", "operators": {"s": {"operator": "slow"}}})


def test_an_operator_is_found_above_its_test(tmp_path):
    operator = OperatorUnderTest.above(ROOT / "operators" / "gzip" / "tests" / "test_it.py")
    assert operator.folder == ROOT / "operators" / "gzip"
    with pytest.raises(FileNotFoundError, match="there is no operator above"):
        OperatorUnderTest.above(tmp_path / "test_it.py")


def test_a_case_that_fails_is_an_assertion(project):
    root = project(same="return inputs")
    folder = root / "operators" / "same"
    (folder / "tests").mkdir()
    (folder / "tests" / "a.json").write_text('{"inputs": [{"data": "a"}], "expect": [{"data": "b"}]}')
    with pytest.raises(AssertionError, match="1 of 1 cases failed"):
        OperatorUnderTest(folder).check_cases()


def test_the_plugin_costs_nothing_where_nobody_asks_for_it():
    code = "import sys, interactem.engine.testing.plugin; print([m for m in sys.modules if m.split('.')[0] in ('pydantic', 'nats', 'numpy', 'msgpack') or m.startswith('interactem.runtime')])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
