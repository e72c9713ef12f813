"""`@dependencies` in a `run.py`: found, checked, and around every call."""

from __future__ import annotations

import pytest

from interactem.runtime import BytesMessage, dependencies, operator
from interactem.runtime.errors import KernelError, SetUpError
from interactem.runtime.testing import Operator, call

RUN = """
import sys
from interactem.runtime import BytesMessage, dependencies, operator

up = []

@dependencies
def first(context):
    up.append(context.operator)
    yield
    up.remove(context.operator)
    (context.outputs / "down").write_text("down")

@operator
def kernel(inputs, parameters):
    return BytesMessage(data=",".join(up).encode())

@dependencies
def second():
    up.append("second")
    yield
    up.remove("second")
"""

HERE = []


@dependencies
def around():
    HERE.append("up")
    yield
    HERE.append("down")


@operator
def beside(inputs, parameters):
    return BytesMessage(data=",".join(HERE).encode())


def test_those_of_a_run_py_are_around_its_kernel_wherever_they_stand(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    (folder / "run.py").write_text(RUN)
    with Operator(folder, outputs=tmp_path) as started:
        assert [m.data for m in started.handle(BytesMessage(data=b"1"))] == [b"camera,second"]
        assert not (tmp_path / "down").exists()
    assert (tmp_path / "down").read_text() == "down"


def test_those_of_a_function_are_what_its_module_has():
    HERE.clear()
    assert [m.data for m in call(beside, BytesMessage(data=b"1"))] == [b"up"]
    assert HERE == ["up", "down"]


def test_a_set_up_that_fails_says_which(tmp_path):
    (tmp_path / "run.py").write_text(RUN.replace('up.append("second")', 'raise OSError("no camera")'))
    with pytest.raises(SetUpError, match=r"^second: its set-up failed: OSError: no camera$"):
        call(tmp_path, BytesMessage(data=b"1"))


def not_a_generator():
    return 1


def too_curious(parameters):
    yield parameters


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (not_a_generator, "not_a_generator has no yield between set-up and tear-down"),
        (too_curious, "dependencies take context, or nothing; not parameters"),
        (print, "print has no yield"),
    ],
)
def test_what_cannot_be_one_is_refused_where_it_is_defined(function, said):
    with pytest.raises(KernelError, match=said):
        dependencies(function)


def test_a_keyword_only_argument_with_a_default_is_no_hindrance():
    @operator
    def kernel(inputs, parameters, *, trigger=None):
        return BytesMessage(data=repr(trigger).encode())

    assert [m.data for m in call(kernel, BytesMessage(data=b"1"))] == [b"None"]
