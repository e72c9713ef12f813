from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from interactem.runtime.casefiles import read_cases
from interactem.runtime.cases import run_cases
from interactem.spec import SpecError

SCALE = """
import numpy as np
from interactem.runtime import BytesMessage, DATA_DIRECTORY, data_directory, operator

def last(context):
    np.save(context.outputs / "sum.npy", np.array([context.state["sum"]]))
    return BytesMessage(data=b"end")

@operator(finish=last)
def scale(inputs, parameters, context):
    print("a word from the kernel")
    if inputs.port == "text":
        if not inputs.data:
            raise ValueError("nothing in it")
        return BytesMessage(inputs.header, inputs.data.upper()).to("text")
    context.state["sum"] = context.state.get("sum", 0.0) + inputs.array.sum()
    offset = np.load(data_directory() / "offset") if "offset" in parameters.get("mode", "") else 0
    return BytesMessage.from_array(inputs.array * parameters["factor"] + offset, **inputs.meta).to("array")
"""

SPEC = {
    "id": "6a7d1a2c-5d0b-4f5e-9a30-0d1f7c3b2a11",
    "label": "Scale",
    "description": "Scales",
    "image": "scale",
    "inputs": [{"name": "array", "type": "array"}, {"name": "text", "type": "text", "required": False}],
    "outputs": [{"name": "array", "type": "array"}, {"name": "text", "type": "text"}],
    "parameters": [
        {"name": "factor", "type": "float", "default": "2"},
        {"name": "mode", "type": "str", "default": ""},
        {"name": "offset", "type": "mount"},
    ],
}


@pytest.fixture
def operator(tmp_path):
    folder = tmp_path / "scale"
    (folder / "tests").mkdir(parents=True)
    (folder / "run.py").write_text(SCALE)
    (folder / "operator.json").write_text(json.dumps(SPEC))
    return folder


def write(operator, case, name="case.json"):
    (operator / "tests" / name).write_text(json.dumps(case))


def outcome(operator, case):
    write(operator, case)
    [result] = run_cases(operator)
    assert result.passed == (not result.problems)
    return result.problems


def array(data, dtype=None):
    return {"data": data, "dtype": dtype} if dtype else {"data": data}


ONE = {"port": "array", "meta": {"n": 1}, "array": array([[1, 2], [3, None]])}


def test_arrays_within_a_tolerance(operator):
    expect = {"port": "array", "meta": {"n": 1}, "array": array([[2.0, 4.0], [6.1, None]]), "tolerance": 0.2}
    assert outcome(operator, {"inputs": [ONE], "expect": [expect]}) == []
    problems = outcome(operator, {"inputs": [ONE], "expect": [{**expect, "tolerance": 0.01}]})
    assert problems[0].startswith("message 0: array: 1 of 4 values differ by more than 0.01; first at (1, 0)")


def test_every_form_of_data(operator):
    (operator / "tests" / "beside.npy").write_bytes(b"")
    np.save(operator / "tests" / "beside.npy", np.array([1.0, 2.0]))
    np.save(operator / "tests" / "offset.npy", np.array([10.0, 20.0]))
    (operator / "tests" / "beside.txt").write_text("abc")
    case = {
        "parameters": {"mode": "offset"},
        "mounts": {"offset": "offset.npy"},
        "inputs": [
            {"port": "array", "file": "beside.npy"},
            {"port": "text", "data": "abc"},
            {"port": "text", "base64": "YWJj"},
            {"port": "text", "file": "beside.txt"},
        ],
        "expect": [
            {"array": array([12.0, 24.0], "float64")},
            {"data": "ABC"},
            {"base64": "QUJD"},
            {"port": "text"},
        ],
    }
    assert outcome(operator, case) == []
    case["expect"][1] = {"data": "ABD"}
    assert outcome(operator, case) == [
        "message 1: data differs (- expected, + got):",
        "@@ -1 +1 @@",
        "-ABD",
        "+ABC",
    ]


def test_the_end_of_the_stream_and_files(operator):
    case = {
        "inputs": [ONE | {"array": array([1.0, 2.0])}],
        "finish": True,
        "expect": [{"array": array([2.0, 4.0])}, {"data": "end"}],
        "outputs": {"sum.npy": {"array": array([3.5]), "tolerance": 1}},
    }
    assert outcome(operator, case) == []
    case["outputs"] = {"sum.npy": {"array": array([9.0])}, "other.npy": {}}
    problems = outcome(operator, case)
    assert problems[0].startswith("outputs/sum.npy: array: 1 of 1 values differ")
    assert problems[-1] == "outputs/other.npy: expected this file, and there is none (there are: sum.npy)"


def test_an_expected_error(operator):
    case = {"inputs": [{"port": "text"}], "error": "ValueError: nothing"}
    assert outcome(operator, case) == []
    problems = outcome(operator, {**case, "error": "KeyError"})
    assert problems[0] == "expected an error with 'KeyError', got another one"
    assert problems[-1] == "ValueError: nothing in it"
    problems = outcome(operator, {**case, "inputs": [{"port": "text", "data": "x"}]})
    assert problems[0] == "expected an error with 'ValueError: nothing', got 1 message"


def test_an_unexpected_error_shows_the_authors_frames_only(operator):
    problems = outcome(operator, {"inputs": [{"port": "text"}]})
    assert [line for line in problems if line.startswith("  File")] == [
        f'  File "{operator / "run.py"}", line 14, in scale'
    ]


def test_other_numbers_of_messages_and_ports(operator):
    given = {"inputs": [{"port": "text", "data": "x"}]}
    assert outcome(operator, given)[0] == "expected 0 messages, got 1"
    assert outcome(operator, {**given, "expect": [{"port": "array"}]}) == [
        "message 0: expected on port 'array', got on 'text'"
    ]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"input": []}, r"\$\.input: unknown key 'input'; did you mean 'inputs'\?"),
        ([{}, {"limit": 0}], r"\$\[1\]\.limit: 0 is too small"),
        ({"inputs": [{"data": "a", "base64": "YQ=="}]}, r"\$\.inputs\[0\]: has its data in several forms"),
        ({"inputs": [{"file": "no.npy"}]}, r"\$\.inputs\[0\]\.file: there is no file no\.npy; put it beside the case"),
        ({"inputs": [{"base64": "%"}]}, r"\$\.inputs\[0\]\.base64: is not base64"),
        ({"expect": [{"array": {"data": [[1], [2, 3]]}}]}, r"\$\.expect\[0\]\.array: is not an array"),
        ({"expect": [{"array": {"dtype": "unit8", "data": []}}]}, r"\$\.expect\[0\]\.array: is not an array"),
        ({"mounts": {"offset": "no"}}, r"\$\.mounts\.offset: there is no file no"),
        ({"error": "x", "expect": [{}]}, r"\$\.error: an expected error and expected messages exclude each other"),
        ({"parameters": {"factor": "many"}}, r"case\.json: parameters\.factor: .*is not a finite float"),
        ({"inputs": [{}]}, r"case\.json: say which port the message is for"),
        ({"inputs": [{"port": "up"}]}, r"there is no input port 'up' in scale; ports: array, text"),
    ],
)
def test_malformed_cases(operator, case, message):
    write(operator, case)
    with pytest.raises(SpecError, match=message):
        run_cases(operator)


def test_all_problems_of_all_files_are_told(operator):
    write(operator, {"nonsense": 1}, "a.json")
    (operator / "tests" / "b.json").write_text("{")
    with pytest.raises(SpecError) as caught:
        read_cases(operator)
    assert [problem.source.rpartition("/")[2] for problem in caught.value.problems] == ["a.json", "b.json"]


def test_an_operator_without_cases(operator):
    with pytest.raises(SpecError, match=r"has no cases; write one, such as tests/example\.json"):
        read_cases(operator)


def ran(operator, *options):
    command = [sys.executable, "-m", "interactem.runtime.cases", str(operator), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command(operator):
    good = {"description": "upper case", "inputs": [{"port": "text", "data": "x"}], "expect": [{"data": "X"}]}
    write(operator, [good, {**good, "expect": []}])
    done = ran(operator, "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert (document["passed"], document["failed"]) == (1, 1)
    assert [case["case"] for case in document["cases"]] == ["tests/case.json[0]", "tests/case.json[1]"]
    assert "a word from the kernel" in done.stderr

    done = ran(operator)
    assert done.stdout.splitlines()[0] == "passed  tests/case.json[0]  upper case"
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"

    write(operator, good)
    assert ran(operator).returncode == 0
    write(operator, {"x": 1})
    done = ran(operator, "--json")
    assert done.returncode == 2
    assert len(json.loads(done.stdout)["problems"]) == 1
    (operator / "run.py").write_text("1 / 0")
    assert ran(operator).returncode == 2
