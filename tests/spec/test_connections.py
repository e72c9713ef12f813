"""Connections: what is found, what is put into their values, and what is said of what cannot be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.spec import SpecError, resolve_parameters
from interactem.spec.connections import ConnectionsFile, ConnectionUse, resolve_connections
from interactem.spec.dotenv import parse_dotenv
from interactem.spec.lines import line_numbers
from interactem.spec.templates import fill

TEXT = """{
  "db": {
    "main": {
      "host": "db.example.org",
      "port": 5432,
      "password": "${DB_PASSWORD}",
      "url": "postgres://${DB_USER:reader}:${DB_PASSWORD}@db",
      "options": {"schemas": ["${SCHEMA:public}", 1, null]}
    },
    "broken": {
      "a": "${UNSET_A}",
      "b": "${UNSET_B} ${UNSET_A}",
      "c": "${",
      "d": "${not a name}"
    }
  }
}
"""


def use(reference, operator="store", parameter="db"):
    return ConnectionUse(operator, parameter, reference, "pipeline.json", f"$.operators.{operator}.{parameter}")


def problems(*uses, text=TEXT, variables=None):
    with pytest.raises(SpecError) as caught:
        file = None if text is None else ConnectionsFile(text, "connections.json")
        resolve_connections(uses, file, variables or {})
    return [str(problem) for problem in caught.value.problems]


def test_variables_are_put_into_texts_at_any_depth():
    file = ConnectionsFile(TEXT, "connections.json")
    found = resolve_connections([use("@db.main")], file, {"DB_PASSWORD": "hunter2", "SCHEMA": "em"})
    connection = found["store", "db"]
    assert connection.values == {
        "host": "db.example.org",
        "port": 5432,
        "password": "hunter2",
        "url": "postgres://reader:hunter2@db",
        "options": {"schemas": ["em", 1, None]},
    }
    assert set(connection.secrets) == {"hunter2", "postgres://reader:hunter2@db", "em"}
    assert "hunter2" not in repr(connection)


def test_everything_that_is_wrong_is_said_at_once_with_file_and_line():
    assert problems(use("@db.broken"), use("@db.broken", "other"), use("@db.mian"), use("@queue.main")) == [
        "connections.json: line 11, $.db.broken.a: the variable UNSET_A is not set; "
        "set it, in the environment or in a .env file, or write ${UNSET_A:default}",
        "connections.json: line 12, $.db.broken.b: the variable UNSET_B is not set; "
        "set it, in the environment or in a .env file, or write ${UNSET_B:default}",
        "connections.json: line 12, $.db.broken.b: the variable UNSET_A is not set; "
        "set it, in the environment or in a .env file, or write ${UNSET_A:default}",
        "connections.json: line 13, $.db.broken.c: there is a ${ that no } closes; "
        "write ${NAME} or ${NAME:default}, and $${ for a literal ${",
        "connections.json: line 14, $.db.broken.d: what stands in ${…} is not the name of a variable; "
        "write ${NAME} or ${NAME:default}, and $${ for a literal ${",
        "pipeline.json: $.operators.store.db: there is no connection '@db.mian' in connections.json; "
        "did you mean 'main'?",
        "pipeline.json: $.operators.store.db: there is no connection '@queue.main' in connections.json; "
        "known families: db",
    ]


def test_what_is_not_used_need_not_be_set():
    file = ConnectionsFile(TEXT, "connections.json")
    assert resolve_connections([], file, {}) == {}
    assert resolve_connections([use("@db.main")], file, {"DB_PASSWORD": "x"})


def test_without_a_file_each_use_is_told():
    assert problems(use("@db.main"), use("@db.main", "other"), text=None) == [
        f"pipeline.json: $.operators.{operator}.db: '@db.main' names a connection, and there is no connections.json; "
        'put one beside the pipeline or into a folder above it: {"family": {"alias": {"key": value}}}'
        for operator in ("store", "other")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "line 1, $: should be an object with families, not a list"),
        ('{"db":\n "secret"}', "line 1, $.db: should be an object with aliases, not a string"),
        ('{"db": {\n "main": 7}}', "line 2, $.db.main: should be an object with a connection's values, not a number"),
        ('{"db": {"main": {"a": ' + "[" * 900 + "]" * 900 + "}}}", "nested too deeply"),
        ('{"db": }', "line 1 column 8: invalid JSON: Expecting value"),
        ('{"db": {"main": {"a": 1, "a": 2}}}', 'the key "a" is twice in one object'),
    ],
)
def test_a_file_of_another_shape_is_refused_and_not_quoted(text, said):
    (problem,) = problems(use("@db.main"), text=text)
    assert said in problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}${B:2}z", "x12z"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $ } {", "$A $ } {"),
        ("${EMPTY}", ""),
        ("${B:}", ""),
        ("${B:a:b}", "a:b"),
        ("${A:2}", "1"),
    ],
)
def test_templates(text, filled):
    found = fill(text, {"A": "1", "EMPTY": ""})
    assert (found.text, found.unset, found.malformed) == (filled, (), ())


def test_only_what_comes_from_a_variable_is_a_secret():
    assert fill("${A} ${B:default} literal", {"A": "one"}).secrets == ("one",)


@given(st.text(), st.text(min_size=1))
def test_a_value_is_never_read_as_a_template(before, value):
    assert fill("${A}", {"A": value}).text == value
    assert fill(before.replace("$", "") + "$${", {}).text == before.replace("$", "") + "${"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 0, 2]))
def test_every_value_has_a_line(value, indent):
    text = json.dumps(value, indent=indent)
    found = line_numbers(text)
    lines = text.split("\n")
    assert found["$"] == 1
    assert list(found.values()) == sorted(found.values())
    assert all(1 <= line <= len(lines) for line in found.values())
    assert len(found) == count(value)


def count(value):
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, below))


def test_lines_are_those_of_the_keys():
    text = '\ufeff\n{"a": [1,\n{"b": "}\\""}],\n"c":\n\n2}'
    assert line_numbers(text) == {"$": 2, "$.a": 2, "$.a[0]": 2, "$.a[1]": 3, "$.a[1].b": 3, "$.c": 4}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b c  # comment", "b c"),
        ("A=b#c", "b#c"),
        ("A=#c", "#c"),
        ("A= # c", ""),
        ("A=", ""),
        ("A='b # \\n' # d", "b # \\n"),
        ('A="b\\n\\"c\\\\"', 'b\n"c\\'),
        ("A=it's", "it's"),
        ("A=x=y", "x=y"),
        ("\ufeffA=b", "b"),
        ("A=1\n# A=2\n\nA=3", "3"),
        ("A=${B}", "${B}"),
    ],
)
def test_dotenv(line, value):
    assert parse_dotenv(line, ".env") == {"A": value}


def test_lines_that_set_nothing_are_told_and_not_quoted():
    with pytest.raises(SpecError) as caught:
        parse_dotenv("A=b\nsecret\n1=secret\nB='secret\nC='x'secret\n", "/here/.env")
    assert [str(problem) for problem in caught.value.problems] == [
        f"/here/.env: line {number}: does not set a variable; write NAME=value" for number in (2, 3, 4, 5)
    ]


def test_a_parameter_that_names_a_connection(operator):
    spec = operator(parameters=[{"name": "db", "type": "connection", "default": "@db.main", "required": True}])
    assert resolve_parameters(spec, {}) == {"db": "@db.main"}
    assert resolve_parameters(spec, {"db": "@db.test.one"}) == {"db": "@db.test.one"}


@pytest.mark.parametrize("value", ["db.main", "@db", "@.main", "@db.", "@db.a b", 7, {"host": "x"}, ""])
def test_what_does_not_name_a_connection(operator, value):
    spec = operator(parameters=[{"name": "db", "type": "connection"}])
    with pytest.raises(
        SpecError, match=r"does not name a connection; give \"@family.alias\", as in connections.json"
    ) as it:
        resolve_parameters(spec, {"db": value})
    assert value == "@.main" or "main" not in str(it.value)
    with pytest.raises(SpecError):
        operator(parameters=[{"name": "db", "type": "connection", "default": value}])
