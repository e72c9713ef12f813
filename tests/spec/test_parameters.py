"""Values for parameters: what is taken for what, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from interactem.spec import OperatorSpecParameter, ParameterValueError, SpecError, coerce, resolve_parameters

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ADAPTER = TypeAdapter(OperatorSpecParameter)
TYPES = ["str", "int", "float", "bool", "mount", "path", "str-enum"]


def parameter(type_, **more):
    options = {"options": ["", "plane", "interp"]} if type_ == "str-enum" else {}
    return ADAPTER.validate_python({"name": "p", "type": type_, **options, **more})


@pytest.mark.parametrize(
    ("type_", "given", "typed"),
    [
        ("int", "255", 255),
        ("int", 255, 255),
        ("int", 255.0, 255),
        ("int", "-1", -1),
        ("float", "0.5", 0.5),
        ("float", 1, 1.0),
        ("float", "1e3", 1000.0),
        ("bool", True, True),
        ("bool", "true", True),
        ("bool", "FALSE", False),
        ("bool", "1", True),
        ("bool", "0", False),
        ("str", "null", "null"),
        ("str", "", ""),
        ("mount", "data/scan.mib", "data/scan.mib"),
        ("path", "C:\\data\\scan.mib", "C:\\data\\scan.mib"),
        ("str-enum", "", ""),
        ("str-enum", "plane", "plane"),
        ("int", None, None),
        ("int", "null", None),
        ("bool", "null", None),
        ("str", None, None),
    ],
)
def test_values_are_typed(type_, given, typed):
    value = coerce(parameter(type_), given)
    assert value == typed
    assert type(value) is type(typed)


@pytest.mark.parametrize(
    ("type_", "given", "expected"),
    [
        ("int", True, "true is not an int"),
        ("int", 1.5, "1.5 is not an int"),
        ("int", "1.5", '"1.5" is not an int; give a whole number'),
        ("int", 2**63, "is not an int of 64 bits"),
        ("float", False, "false is not a finite float"),
        ("float", "nan", '"nan" is not a finite float'),
        ("float", math.inf, "is not a finite float"),
        ("float", 10**400, "is not a finite float"),
        ("bool", 1, "1 is not a bool; give true or false"),
        ("bool", "yes", '"yes" is not a bool'),
        ("str", 5, "5 is a number, not a str; put it in quotes"),
        ("mount", "", '"" is not a path'),
        ("str-enum", "plan", '"plan" is not one of its options; did you mean "plane"? give one of "", "plane"'),
        ("str-enum", ["plane"], '["plane"] is not one of its options'),
    ],
)
def test_what_does_not_fit_says_what_would(type_, given, expected):
    with pytest.raises(ParameterValueError) as caught:
        coerce(parameter(type_), given, "$.operators.a.parameters.p", source="p.json")
    assert str(caught.value).startswith("p.json: $.operators.a.parameters.p: parameter 'p': ")
    assert expected in str(caught.value)
    assert caught.value.parameter == "p"


@pytest.mark.parametrize("type_", TYPES)
def test_a_required_parameter_cannot_be_null(type_):
    with pytest.raises(ParameterValueError, match="is required and cannot be null"):
        coerce(parameter(type_, required=True), None)


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.binary()


@patient
@given(st.sampled_from(TYPES), st.booleans(), anything)
def test_coerce_raises_nothing_but_its_own_error(type_, required, value):
    one = parameter(type_, required=required)
    try:
        typed = coerce(one, value)
    except ParameterValueError as error:
        str(error).encode()
    else:
        assert coerce(one, typed) == typed


@patient
@given(st.integers(-(2**63), 2**63 - 1))
def test_the_text_of_an_integer_means_the_integer(number):
    assert coerce(parameter("int"), str(number)) == number


@patient
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_means_the_float(number):
    assert coerce(parameter("float"), repr(number)) == number


def test_resolving_takes_what_is_given_else_defaults_and_leaves_absent_ones_out(operator):
    spec = operator(
        parameters=[
            {"name": "crop", "type": "int", "default": "255"},
            {"name": "rate", "type": "float", "default": 0.5},
            {"name": "center", "type": "int", "default": "3"},
            {"name": "note", "type": "str"},
            {"name": "file", "type": "mount", "required": True},
        ]
    )
    values = resolve_parameters(spec, {"rate": "2", "center": None, "file": "scan.mib"})
    assert values == {"crop": 255, "rate": 2.0, "file": "scan.mib"}


def test_resolving_reports_every_problem(operator):
    spec = operator(
        parameters=[
            {"name": "crop", "type": "int", "required": True, "default": 1},
            {"name": "file", "type": "mount", "required": True},
        ]
    )
    with pytest.raises(SpecError) as caught:
        resolve_parameters(spec, {"crp": 1, "crop": "a"}, source="p.json", path="$.operators.a.parameters")
    assert str(caught.value).splitlines() == [
        "p.json: $.operators.a.parameters.crp: there is no parameter 'crp'; did you mean 'crop'?",
        "p.json: $.operators.a.parameters.crop: parameter 'crop': \"a\" is not an int; "
        "give a whole number, such as 255",
        "p.json: $.operators.a.parameters: the parameter 'file' is required and has no default; "
        "add 'file', of type mount",
    ]
    with pytest.raises(SpecError, match="'crop' is required and cannot be null"):
        resolve_parameters(spec, {"crop": None, "file": "x"})


def test_a_required_parameter_with_a_default_need_not_be_given(operator):
    spec = operator(parameters=[{"name": "crop", "type": "int", "required": True, "default": "1"}])
    assert resolve_parameters(spec, {}) == {"crop": 1}
