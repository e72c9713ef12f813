"""The JSON Schemas: as the models make them, as shipped, and in agreement with parsing."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from interactem.spec import SpecError, parse_operator, parse_pipeline, schema
from interactem.spec.schemas import schema_text

PARSE = {"operator": parse_operator, "pipeline": parse_pipeline}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "discriminator", "format"}
TYPES = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}


@pytest.mark.parametrize("kind", ["operator", "pipeline"])
def test_the_shipped_file_is_what_the_models_make(kind):
    shipped = files("interactem.spec").joinpath("schemas", f"{kind}.schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(kind), (
        f"write interactem.spec.schemas.schema_text({kind!r}) to spec/interactem/spec/schemas/{kind}.schema.json"
    )


def is_type(value, name):
    if name in ("number", "integer"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (name == "number" or float(value).is_integer())
    return isinstance(value, TYPES[name])


def accepts(rule, value, root):
    """Whether a schema accepts a value: the keywords that ours use, and an error for any other."""
    return all(holds(keyword, rule, value, root) for keyword in rule.keys() - ANNOTATIONS)


def holds(keyword, rule, value, root):
    want = rule[keyword]
    match keyword:
        case "$ref":
            return accepts(root["$defs"][want.rpartition("/")[2]], value, root)
        case "type":
            return any(is_type(value, name) for name in ([want] if isinstance(want, str) else want))
        case "anyOf":
            return any(accepts(one, value, root) for one in want)
        case "oneOf":
            return sum(accepts(one, value, root) for one in want) == 1
        case "const":
            return value == want and isinstance(value, bool) == isinstance(want, bool)
        case "enum":
            return value in want
        case "pattern":
            return not isinstance(value, str) or re.search(want, value) is not None
        case "minLength" | "minItems" | "minProperties":
            return not isinstance(value, str | list | dict) or len(value) >= want
        case "minimum":
            return not is_type(value, "number") or value >= want
        case "maximum":
            return not is_type(value, "number") or value <= want
        case "exclusiveMinimum":
            return not is_type(value, "number") or value > want
        case "items":
            return not isinstance(value, list) or all(accepts(want, item, root) for item in value)
        case "required":
            return not isinstance(value, dict) or all(key in value for key in want)
        case "properties":
            return not isinstance(value, dict) or all(accepts(want[k], v, root) for k, v in value.items() if k in want)
        case "patternProperties":
            pairs = value.items() if isinstance(value, dict) else ()
            return all(accepts(one, v, root) for p, one in want.items() for k, v in pairs if re.search(p, k))
        case "additionalProperties":
            patterns = rule.get("patternProperties", {})
            extra = [
                v
                for k, v in (value.items() if isinstance(value, dict) else ())
                if k not in rule.get("properties", {}) and not any(re.search(p, k) for p in patterns)
            ]
            return not extra if want is False else all(accepts(want, v, root) for v in extra)
        case _:
            raise AssertionError(f"this test does not know the keyword {keyword!r}")


def agree(kind, value):
    """What both say of the value; fails where they differ."""
    root = schema(kind)
    by_schema = accepts(root, value, root)
    try:
        PARSE[kind](json.loads(json.dumps(value)), "x")
        parsed = True
    except SpecError:
        parsed = False
    assert by_schema == parsed, f"schema: {by_schema}, parsing: {parsed}: {value}"
    return parsed


def parameter(type_, **more):
    return {"parameters": [{"name": "p", "type": type_, **more}]}


RIGHT = [
    {},
    {"$schema": "https://example.org/operator.schema.json"},
    {"inputs": None, "outputs": None, "parameters": None, "tags": None, "triggers": None, "parallel_config": None},
    {"timeout": 0.5, "max_attempts": 0},
    {"command": None},
    {"command": {"arguments": ["a", {"when": "true", "arguments": ["b"]}], "environment": {"A": "b"}, "grace": 0}},
    {"command": {"arguments": None, "patterns": {"status": None, "callbacks": {"f": "x"}}, "success_codes": [0, 255]}},
    {"parallel_config": {}},
    {"inputs": [{"name": "a.b", "type": "partial frame", "required": False}]},
    {"triggers": [{"name": "t", "mode": "drain"}]},
    parameter("int", default="255"),
    parameter("int", default=-3),
    parameter("float", default="1e-3"),
    parameter("float", default=1),
    parameter("bool", default="True"),
    parameter("str-enum", options=[""], default=""),
    parameter("mount", default="", options=None),
]
WRONG = [
    {"id": None},
    {"label": 1},
    {"image": ""},
    {"lable": "x"},
    {"inputs": "in"},
    {"inputs": [{"name": "a"}]},
    {"inputs": [{"name": "a b", "type": "x"}]},
    {"outputs": [{"name": "a", "type": "x", "required": False}]},
    {"timeout": 0},
    {"timeout": True},
    {"command": {"arguments": "a b"}},
    {"command": {"arguments": ["a", 3]}},
    {"command": {"arguments": [{"when": "true"}]}},
    {"command": {"environment": {"A B": "c"}}},
    {"command": {"input": "file:"}},
    {"command": {"success_codes": []}},
    {"command": {"patterns": {"callbacks": {"f g": "x"}}}},
    {"max_attempts": 1.5},
    {"parallel_config": {"type": "x"}},
    {"tags": [{}]},
    {"tags": ["gpu"]},
    {"triggers": [{"name": "t", "mode": "x"}]},
    parameter("string"),
    parameter("int", default="1.5"),
    parameter("int", default=1.5),
    parameter("int", default=True),
    parameter("int", default=2**63),
    parameter("int", options=["a"]),
    parameter("float", default="nan"),
    parameter("bool", default=1),
    parameter("bool", default="yes"),
    parameter("str", default=1),
    parameter("str-enum"),
    parameter("str-enum", options=[]),
    parameter("str-enum", options=[1]),
    parameter("mount", required="true"),
]


@pytest.mark.parametrize("changes", RIGHT)
def test_both_accept_operators(operator_value, changes):
    assert agree("operator", operator_value(**changes))


@pytest.mark.parametrize("changes", WRONG)
def test_both_refuse_operators(operator_value, changes):
    assert not agree("operator", operator_value(**changes))


def test_both_accept_the_published_spec(partial_value):
    assert agree("operator", partial_value)


def one(**more):
    return {"operators": {"a": {"operator": "x", **more}}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"version": 1},
        {"version": "1.2"},
        {"edges": None},
        {"durability": "process", "description": "x"},
        one(parameters={"a b": None, "c": True, "d": 1.5, "e": "x"}, replicas=3, timeout=1, max_attempts=0),
    ],
)
def test_both_accept_pipelines(pipeline_value, changes):
    assert agree("pipeline", pipeline_value | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "2"},
        {"version": True},
        {"name": ""},
        {"operators": {}},
        {"operators": {"A": {"operator": "x"}}},
        {"operators": {"a": {}}},
        {"edges": [{"from": "a.b"}]},
        {"edges": [{"from": "a.b", "to": "b"}]},
        {"edges": [{"from": "a.b\n", "to": "b."}]},
        {"durability": "none"},
        {"extra": 1},
        one(replicas=0),
        one(parameters={"x": []}),
        one(parameters=[]),
        one(timeout="1"),
    ],
)
def test_both_refuse_pipelines(pipeline_value, changes):
    assert not agree("pipeline", pipeline_value | changes)
