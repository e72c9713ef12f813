"""What loads as an operator.json, and how what does not is reported."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from interactem.spec import OperatorSpec, SpecError, parse_operator

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def problems(value, source="operator.json"):
    with pytest.raises(SpecError) as caught:
        parse_operator(value, source)
    return [str(problem) for problem in caught.value.problems]


def test_the_published_spec_loads_as_it_is(partial_text):
    spec = parse_operator(partial_text, "operator.json")
    assert spec.id == UUID("70dd71a7-5ebf-4515-8bf9-941d1284328c")
    assert [(port.name, port.type, port.required) for port in spec.inputs] == [("in", "frame", True)]
    assert spec.embarrassing
    parameter = spec.parameter("crop_to_x")
    assert parameter is not None
    assert parameter.default == 255
    assert isinstance(parameter.default, int)


def test_bytes_with_a_byte_order_mark_load(partial_text):
    assert parse_operator(b"\xef\xbb\xbf" + partial_text.encode(), "operator.json").label == "Partial Center of Mass"


@pytest.mark.parametrize(
    ("type_", "default", "typed"),
    [
        ("int", "0", 0),
        ("int", "-12", -12),
        ("int", 3, 3),
        ("int", 3.0, 3),
        ("float", "25", 25.0),
        ("float", "0.5", 0.5),
        ("float", "1e-3", 0.001),
        ("float", 2, 2.0),
        ("bool", "true", True),
        ("bool", "False", False),
        ("bool", False, False),
        ("str", "", ""),
        ("mount", "~/data", "~/data"),
        ("mount", "", None),
        ("int", None, None),
    ],
)
def test_defaults_are_typed(operator, type_, default, typed):
    parameter = operator(parameters=[{"name": "p", "type": type_, "default": default}]).parameters[0]
    assert parameter.default == typed
    assert type(parameter.default) is type(typed)


def test_quirks_of_published_files_load(operator):
    spec = operator(
        inputs=None,
        outputs=None,
        tags=[{"value": "gpu"}],
        triggers=None,
        parallel_config=None,
        parameters=[
            {"name": "offsets.emd", "type": "mount", "default": "~/offsets.emd", "required": True, "options": None},
            {"name": "mode", "type": "str-enum", "default": "", "options": ["", "plane"], "required": False},
        ],
    )
    assert spec.inputs == spec.outputs == spec.triggers == ()
    assert not spec.embarrassing
    assert [parameter.default for parameter in spec.parameters] == ["~/offsets.emd", ""]
    assert not operator(parallel_config={"type": "none"}).embarrassing
    assert not operator(parallel_config={}).embarrassing


def test_our_additions_are_optional(operator):
    plain = operator()
    assert (plain.timeout, plain.max_attempts) == (None, None)
    spec = operator(timeout=2, max_attempts=0, inputs=[{"name": "in", "type": "any", "required": False}])
    assert (spec.timeout, spec.max_attempts, spec.inputs[0].required) == (2.0, 0, False)


def test_triggers(operator):
    spec = operator(triggers=[{"name": "save", "label": "Save", "mode": "drain"}, {"name": "reset"}])
    assert [trigger.mode for trigger in spec.triggers] == ["drain", "single"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lable": 1}, "$.lable: unknown key 'lable'; did you mean 'label'?"),
        ({"id": "x"}, '$.id: "x" is not a UUID; give a UUID of its own, such as the one that `uuidgen` prints'),
        ({"label": 3}, "$.label: should be a string, not a number; give the name that people read"),
        ({"inputs": {}}, "$.inputs: should be a list, not an object"),
        ({"inputs": ["in"]}, "$.inputs[0]: should be an object, not a string"),
        ({"inputs": [{"name": "in"}]}, "$.inputs[0].type: is missing"),
        ({"outputs": [{"name": "a b", "type": "x"}]}, '$.outputs[0].name: "a b" is not a name that fits here'),
        ({"outputs": [{"name": "..", "type": "x"}]}, '$.outputs[0].name: ".." is not a name that fits here'),
        ({"outputs": [{"name": "a", "type": "x", "required": True}]}, "$.outputs[0].required: unknown key 'required'"),
        ({"parallel_config": {"type": "many"}}, "$.parallel_config.type: \"many\" is not allowed here; give 'none'"),
        ({"parallel_config": {"kind": "none"}}, "$.parallel_config.kind: unknown key 'kind'; known keys: type"),
        ({"timeout": 0}, "$.timeout: 0 is too small; give a number above 0"),
        ({"timeout": True}, "$.timeout: should be a number, not a boolean"),
        ({"max_attempts": -1}, "$.max_attempts: -1 is too small; give 0 or more"),
        ({"max_attempts": 1.5}, "$.max_attempts: should be a whole number, not a number"),
        ({"parameters": [{"name": "p", "type": "string"}]}, "there is no parameter type 'string'; did you mean 'str'?"),
        ({"parameters": [{"name": "p"}]}, '$.parameters[0]: has no type; add "type": one of str, int'),
        (
            {"parameters": [{"name": "p", "type": "int", "default": "a"}]},
            '$.parameters[0].default: "a" is not an int; give a whole number, such as 255',
        ),
        (
            {"parameters": [{"name": "p", "type": "int", "default": True}]},
            "$.parameters[0].default: true is not an int",
        ),
        (
            {"parameters": [{"name": "p", "type": "int", "defualt": 1}]},
            "$.parameters[0].defualt: unknown key 'defualt'; did you mean 'default'?",
        ),
        (
            {"parameters": [{"name": "p", "type": "int", "options": ["a"]}]},
            "$.parameters[0].options: should be absent or null, not a list; only a str-enum has options",
        ),
        (
            {"parameters": [{"name": "p", "type": "str-enum", "options": ["a", "b"], "default": "c"}]},
            '$.parameters[0].default: "c" is not one of its options; give one of "a", "b"',
        ),
        ({"parameters": [{"name": "p", "type": "str-enum"}]}, "$.parameters[0].options: is missing"),
        ({"parameters": [{"name": "p", "type": "str-enum", "options": []}]}, "$.parameters[0].options: is empty"),
        ({"parameters": [{"name": "a/b", "type": "mount"}]}, '$.parameters[0].name: "a/b" is not a name'),
        ({"triggers": [{"name": "t", "mode": "all"}]}, '$.triggers[0].mode: "all" is not allowed here'),
    ],
)
def test_each_mistake_says_where_what_and_what_is_right(operator_value, changes, expected):
    found = problems(operator_value(**changes))
    assert len(found) == 1
    assert found[0].startswith("operator.json: ")
    assert expected in found[0]


@pytest.mark.parametrize("field", ["inputs", "outputs", "parameters", "triggers"])
def test_a_name_twice_is_a_mistake(operator_value, field):
    item = {"name": "same"} | ({} if field == "triggers" else {"type": "str"})
    value = operator_value(**{field: [item, item]})
    assert problems(value) == [
        f"operator.json: $.{field}[1].name: there is another {field[:-1]} named 'same'; give each its own name"
    ]
    with pytest.raises(ValidationError, match="the name 'same' is there twice"):
        OperatorSpec.model_validate(value)


def test_an_input_and_an_output_may_share_a_name(operator):
    port = [{"name": "frames", "type": "frame"}]
    assert operator(inputs=port, outputs=port).output("frames").type == "frame"


def test_all_mistakes_are_reported_at_once(partial_value):
    del partial_value["label"]
    partial_value["inputs"] += [{"name": "in", "type": 3}]
    partial_value["parameters"][0]["default"] = "a"
    assert [line.split(": ")[1] for line in problems(partial_value)] == [
        "$.inputs[1].name",
        "$.label",
        "$.inputs[1].type",
        "$.parameters[0].default",
    ]


def test_the_error_has_a_line_for_each_problem(operator_value):
    with pytest.raises(SpecError) as caught:
        parse_operator(operator_value(a=1, b=2), "x/operator.json")
    assert len(str(caught.value).splitlines()) == len(caught.value.problems) == 2
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,\n }', "line 2 column 2"),
        ("{'a': 1}", "line 1 column 2: invalid JSON: Expecting property name enclosed in double quotes; JSON strings"),
        ("", "line 1 column 1: invalid JSON: Expecting value; the file is empty"),
        ('{\n  // note\n "a": 1}', "line 2 column 3: invalid JSON"),
        ('{"a": 1, "a": 2}', 'the key "a" is twice in one object; keep one of them'),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "invalid JSON"),
        (b"\xff\xfe", "is not UTF-8 text (byte 0); save it as UTF-8"),
        ("[]", "$: should be an object, not a list"),
    ],
)
def test_what_is_no_json_says_where(text, expected):
    (found,) = problems(text)
    assert expected in found


def test_a_removed_comma_is_suggested_where_one_is_too_many():
    (found,) = problems('{"a": [1,]}')
    assert "remove the comma before it" in found or "Illegal trailing comma" in found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
spec_keys = st.sampled_from(list(OperatorSpec.model_json_schema()["properties"]))


@patient
@given(st.dictionaries(spec_keys, json_values) | json_values)
def test_any_value_either_loads_or_is_a_spec_error(value):
    try:
        parse_operator(value if not isinstance(value, str) else json.dumps(value), "any")
    except SpecError as error:
        assert error.problems
        str(error).encode()


@patient
@given(st.text() | st.binary())
def test_any_text_either_loads_or_is_a_spec_error(text):
    with pytest.raises(SpecError):
        parse_operator(text, "any")


def test_a_side_input_has_nothing_else(operator_value):
    port = [{"name": "in", "type": "any"}]
    for name, value in {"inputs": port, "outputs": port, "triggers": [{"name": "now"}], "side_inputs": port}.items():
        with pytest.raises(SpecError, match=f"a side input has no {name}: it gives one value"):
            parse_operator(operator_value(**{"side_input": {"type": "any"}, name: value}), "x")


def test_a_source_has_no_fallback(operator_value):
    with pytest.raises(SpecError, match="the output 'lost' is a fallback, and nothing is sent to a source"):
        parse_operator(operator_value(inputs=[], outputs=[{"name": "lost", "type": "any", "fallback": True}]), "x")
