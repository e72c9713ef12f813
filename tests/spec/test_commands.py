"""Commands in an operator.json: what holds, and what is said of what does not, before anything is started."""

from __future__ import annotations

import json

import pytest

from interactem.spec import SpecError, parse_operator

SPEC = {
    "id": "70dd71a7-5ebf-4515-8bf9-941d1284328c",
    "label": "Sort",
    "description": "",
    "image": "sort",
    "parameters": [
        {"name": "column", "type": "int", "default": 1},
        {"name": "reverse", "type": "bool", "default": False},
        {"name": "values", "type": "str", "default": "v"},
        {"name": "table", "type": "mount"},
    ],
}


def parse(**command):
    return parse_operator(json.dumps({**SPEC, "command": command}), "operator.json").command


def problems(**command):
    with pytest.raises(SpecError) as raised:
        parse(**command)
    return [str(problem).removeprefix("operator.json: ") for problem in raised.value.problems]


@pytest.mark.parametrize(
    "arguments",
    [
        ["sort"],
        [],
        None,
        ["", "{{ folder }}", "{{ meta.a.b }}{{ meta['c d'] }}"],
        ["{{ parameters.column + 1 }}", "{{ parameters['values'] }}", "{{ parameters.get('column', 3) }}"],
        ["{% for name in parameters %}{{ name }}{% endfor %}", "{{ range(3)|join(',') }}"],
        ["{{ here }} {{ python }} {{ outputs }} {{ data }} {{ attempt }} {{ replica }} {{ replicas }}"],
        [{"when": "parameters.reverse and meta.n is defined", "arguments": ["-r", "{{ meta.n }}"]}],
    ],
)
def test_arguments_that_hold(arguments):
    assert len(parse(arguments=arguments).arguments) == len(arguments or [])


def test_all_of_it_survives_being_written_and_read():
    given = {
        "arguments": ["sort", {"when": "parameters.reverse", "arguments": ["-r"]}],
        "environment": {"LC_ALL": "C", "LEVEL": "{{ parameters.column }}"},
        "input": "file:in.{{ meta.kind }}",
        "output": "files:*.out",
        "patterns": {"progress": ["(\\d+)%"], "status": None, "callbacks": {"found": "found (.*)"}},
        "success_codes": [0, 1],
        "grace": 0.5,
        "keep_failed": True,
    }
    command = parse(**given)
    assert (command.input_file, command.output_files) == ("in.{{ meta.kind }}", "*.out")
    written = parse_operator({**SPEC, "command": given}, "x").model_dump(mode="json", exclude_none=True)
    assert parse_operator(written, "again").command == command


@pytest.mark.parametrize(
    ("command", "path", "part"),
    [
        (
            {"arguments": ["a", "{{ parameters.colum }}"]},
            "arguments[1]",
            "did you mean 'column'?",
        ),
        ({"arguments": ["{{ parameters.get('colum') }}"]}, "arguments[0]", "no parameter 'colum'"),
        ({"arguments": ["{{ parameters['x y'] }}"]}, "arguments[0]", "no parameter 'x y'"),
        ({"arguments": ["{{ column }}"]}, "arguments[0]", "which is a parameter; write parameters.column"),
        ({"arguments": ["{{ table }}"]}, "arguments[0]", "write {{ data }}/table"),
        ({"arguments": ["{{ parameters.table }}"]}, "arguments[0]", "'table' is a mount"),
        ({"arguments": ["{{ foldr }}"]}, "arguments[0]", "names 'foldr', which is not known; did you mean 'folder'?"),
        ({"arguments": ["{{ meta."]}, "arguments[0]", "is not a template of jinja2"),
        (
            {"arguments": ["{% if meta %}{{ meta|tojsn }}{% endif %}"]},
            "arguments[0]",
            "no filter 'tojsn'",
        ),
        ({"arguments": ["{{ meta is nothing }}"]}, "arguments[0]", "no test 'nothing'"),
        ({"arguments": ["{% include 'x' %}"]}, "arguments[0]", "takes something from another template"),
        ({"arguments": [{"when": "a b", "arguments": ["x"]}]}, "arguments[0].when", "is not an expression of jinja2"),
        ({"arguments": [{"when": "meta", "arguments": ["{{ x }}"]}]}, "arguments[0].arguments[0]", "names 'x'"),
        ({"arguments": [{"when": "meta", "arguments": []}]}, "arguments[0].arguments", "is empty"),
        ({"arguments": [{"if": "meta", "arguments": ["x"]}]}, "arguments[0].if", "unknown key 'if'"),
        ({"arguments": ["a", 3]}, "arguments[1]", "should be a string, not a number"),
        ({"arguments": "sort -n"}, "arguments", "should be a list, not a string"),
        ({"arguments": ["a\0b"]}, "arguments[0]", "is not"),
        ({"environment": {"A-B": "x"}}, "environment.A-B", "letters, digits and underscores"),
        ({"environment": {"A": "{{ no }}"}}, "environment.A", "names 'no'"),
        ({"input": "file"}, "input", 'give "stdin", or "file:"'),
        ({"input": "file:{{ input }}"}, "input", "names 'input', which is not known"),
        ({"arguments": ["{{ input }}"]}, "arguments[0]", 'the data goes to standard input; add "input": "file:NAME"'),
        ({"output": "files:{{ x }}"}, "output", "names 'x'"),
        ({"output": "nothing"}, "output", 'give "stdout", or "files:"'),
        ({"patterns": {"progres": []}}, "patterns.progres", "did you mean 'progress'?"),
        ({"patterns": {"status": ["a", "("]}}, "patterns.status[1]", "is not a regular expression"),
        ({"patterns": {"callbacks": {"f": "["}}}, "patterns.callbacks.f", "is not a regular expression"),
        ({"patterns": {"callbacks": {"1f": "x"}}}, "patterns.callbacks", "name a function of run.py"),
        ({"success_codes": [256]}, "success_codes[0]", "256 is too large; give 255 or less"),
        ({"success_codes": []}, "success_codes", "is empty"),
        ({"grace": -1}, "grace", "too small"),
        ({"persistent": True, "arguments": ["{{ meta.x }}"]}, "arguments[0]", "one process takes many messages"),
        ({"persistent": True, "output": "files:*"}, "output", "answers in lines"),
        ({"argumnts": []}, "argumnts", "did you mean 'arguments'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(command, path, part):
    found = problems(**command)
    assert any(one.startswith(f"$.command.{path}") and part in one for one in found), found


def test_all_is_told_at_once():
    assert len(problems(arguments=["{{ a }}", "{{ b"], environment={"C": "{{ c }}"}, grace="d")) == 4


@pytest.mark.parametrize("command", [[], "sort", 3, True])
def test_a_command_is_an_object(command):
    with pytest.raises(SpecError, match=r"\$\.command: should be an object"):
        parse_operator({**SPEC, "command": command}, "x")


def test_null_is_none():
    assert parse_operator({**SPEC, "command": None}, "x").command is None
