"""Pipeline files: what loads, what is reported, and changes from a command line."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interactem.spec import (
    PipelineEdge,
    PipelineSpec,
    PortReference,
    SpecError,
    parse_assignment,
    parse_pipeline,
)

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def problems(value):
    with pytest.raises(SpecError) as caught:
        parse_pipeline(value, "pipeline.json")
    return [str(problem) for problem in caught.value.problems]


def test_a_pipeline_loads(pipeline_value):
    pipeline = parse_pipeline(json.dumps(pipeline_value), "pipeline.json")
    assert list(pipeline.operators) == ["frames", "partial", "reduce"]
    assert pipeline.operators["partial"].replicas == 2
    assert pipeline.operators["frames"].replicas == 1
    assert pipeline.edges[0].source == PortReference("frames", "frames")
    assert str(pipeline.edges[0]) == "frames.frames -> partial.in"
    assert pipeline.durability == "power"


def test_what_is_written_loads_as_the_same(pipeline_value):
    pipeline = parse_pipeline(pipeline_value, "pipeline.json")
    text = pipeline.model_dump_json(by_alias=True)
    assert json.loads(text)["edges"][0] == {"from": "frames.frames", "to": "partial.in"}
    assert parse_pipeline(text, "again") == pipeline


def test_an_operator_may_be_named_by_its_image(pipeline_value):
    pipeline_value["operators"]["partial"] = {"image": "localhost:5001/partial"}
    pipeline = parse_pipeline(pipeline_value, "p")
    assert (pipeline.operators["partial"].operator, pipeline.operators["partial"].image) == (
        "localhost:5001/partial",
    ) * 2
    assert parse_pipeline(pipeline.model_dump(mode="json", by_alias=True), "p") == pipeline
    assert pipeline.operators["frames"].image is None


def test_a_reference_splits_at_its_first_dot():
    edge = PipelineEdge.between("frames.offsets.emd", PortReference("a", "in"))
    assert edge.source == ("frames", "offsets.emd")
    assert edge.target == ("a", "in")


@pytest.mark.parametrize("version", [1, "1", "1.7"])
def test_versions_that_are_read(pipeline_value, version):
    assert parse_pipeline(pipeline_value | {"version": version}, "p").version == str(version)


@pytest.mark.parametrize("version", [2, "2", "2.0", "11", "", 1.5, True])
def test_an_unknown_major_version_is_refused(pipeline_value, version):
    (found,) = problems(pipeline_value | {"version": version})
    assert f'$.version: version {json.dumps(version)} is not one that this program reads; it reads version "1"' in found


@pytest.mark.parametrize("value", [None, True, 1, 0.5, "x"])
def test_parameters_keep_their_values_and_types(pipeline_value, value):
    pipeline_value["operators"]["frames"]["parameters"] = {"file": value}
    kept = parse_pipeline(pipeline_value, "p").operators["frames"].parameters["file"]
    assert kept == value
    assert type(kept) is type(value)


def operator_with(**changes):
    return {"operators": {"a": {"operator": "x", **changes}}}


def edge(**changes):
    return {"edges": [{"from": "frames.frames", "to": "partial.in", **changes}]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"operators": {}}, "$.operators: is empty; give the operators"),
        ({"operators": []}, "$.operators: should be an object, not a list"),
        ({"operators": {"A b": {"operator": "x"}}}, '$.operators["A b"]: "A b" is not a name that fits here'),
        ({"operators": {"a" * 64: {"operator": "x"}}}, "is not a name that fits here"),
        ({"operators": {"a": "x"}}, "$.operators.a: should be an object, not a string"),
        (operator_with(replica=2), "$.operators.a.replica: unknown key 'replica'; did you mean 'replicas'?"),
        (operator_with(replicas=0), "$.operators.a.replicas: 0 is too small; give 1 or more"),
        (operator_with(replicas="2"), "$.operators.a.replicas: should be a whole number, not a string"),
        (operator_with(operator=None), "$.operators.a.operator: should be a string, not null"),
        (operator_with(image="y"), "$.operators.a: it is named twice, by operator and by image; keep one of both"),
        (operator_with(image=1), "$.operators.a.image: should be a string, not a number"),
        ({"operators": {"a": {}}}, "$.operators.a.operator: is missing"),
        (operator_with(timeout=-1), "$.operators.a.timeout: -1 is too small"),
        (operator_with(parameters={"x": [1]}), "$.operators.a.parameters.x: a parameter's value cannot be a list"),
        ({"edges": [{"from": "a.b"}]}, "$.edges[0].to: is missing; give the input port"),
        ({"edges": [{"from": "a.b", "to": "c"}]}, '$.edges[0].to: "c" is not a port; write operator.port'),
        ({"edges": [{"from": "a.b", "to": "c."}]}, '$.edges[0].to: "c." is not a port'),
        ({"edges": [{"from": 1, "to": "a.b"}]}, "$.edges[0].from: should be a string, not a number"),
        ({"edges": [{"form": "a.b", "from": "a.b", "to": "a.b"}]}, "$.edges[0].form: unknown key 'form'; did you mean"),
        ({"edges": ["a.b"]}, "$.edges[0]: should be an object, not a string"),
        (edge(wen=1), "$.edges[0].wen: unknown key 'wen'; did you mean 'when'?"),
        (edge(key="scan"), '$.edges[0].key: "scan" is not a place in meta; write meta. and a name in the messages\''),
        (edge(key="meta.a..b"), '$.edges[0].key: "meta.a..b" is not a place in meta'),
        (edge(key=3), "$.edges[0].key: should be a string, not a number; write meta."),
        (edge(when=[]), "$.edges[0].when: should be an object, not a list"),
        (edge(when={"tag": 1, "tags": {"any": ["a"]}}), "$.edges[0].when.tag: unknown key 'tag'; did you mean 'tags'?"),
        (edge(when={}), "$.edges[0].when.tags: is missing"),
        (edge(when={"tags": {}}), '$.edges[0].when.tags: says nothing; give "any", "all" or "none", each a list'),
        (edge(when={"tags": {"al": ["a"]}}), "$.edges[0].when.tags.al: unknown key 'al'; did you mean 'all'?"),
        (edge(when={"tags": {"any": "a"}}), "$.edges[0].when.tags.any: should be a list, not a string; give a list of"),
        (edge(when={"tags": {"any": []}}), "$.edges[0].when.tags.any: is empty; give at least one tag"),
        (edge(when={"tags": {"any": ["a", 1]}}), "$.edges[0].when.tags.any: 1 is not a tag; a tag is a text"),
        ({"durability": "none"}, "$.durability: \"none\" is not allowed here; give 'power' or 'process'"),
        ({"name": ""}, "$.name: is empty"),
        ({"edgs": []}, "$.edgs: unknown key 'edgs'; did you mean 'edges'?"),
    ],
)
def test_each_mistake_says_where_what_and_what_is_right(pipeline_value, changes, expected):
    (found,) = problems(pipeline_value | changes)
    assert found.startswith("pipeline.json: $")
    assert expected in found


def test_an_edge_says_which_messages_it_takes_and_where_they_go(pipeline_value):
    said = {"when": {"tags": {"none": ["b", "a", "b"], "any": ["c"]}}, "key": "meta.stage.x"}
    pipeline = parse_pipeline(pipeline_value | edge(**said), "p")
    [made] = pipeline.edges
    assert made.when.rules == (("any", ("c",)), ("none", ("a", "b")))
    assert made.route == "when tags any of c, none of b a b, key meta.stage.x"
    again = json.loads(pipeline.model_dump_json(by_alias=True, exclude_none=True))
    assert again["edges"] == edge(**said)["edges"]
    assert parse_pipeline(pipeline.model_dump_json(by_alias=True), "again") == pipeline


def test_an_operator_twice_in_the_text_is_a_mistake():
    (found,) = problems('{"name": "x", "operators": {"a": {"operator": "x"}, "a": {"operator": "y"}}}')
    assert 'the key "a" is twice in one object' in found


def test_parameters_from_a_command_line(pipeline_value):
    pipeline = parse_pipeline(pipeline_value, "p")
    changed = pipeline.with_parameters({"frames": {"frames_per_message": "4"}})
    assert changed.operators["frames"].parameters == {"file": "scan.mib", "frames_per_message": "4"}
    assert pipeline.operators["frames"].parameters == {"file": "scan.mib"}
    with pytest.raises(SpecError, match="the pipeline has no operator 'frame'; did you mean 'frames'"):
        pipeline.with_parameters({"frame": {"file": "x"}})


def test_replicas_from_a_command_line(pipeline_value):
    pipeline = parse_pipeline(pipeline_value, "p")
    assert pipeline.with_replicas({"partial": 4}).operators["partial"].replicas == 4
    with pytest.raises(SpecError, match="partial: 0 replicas; give 1 or more"):
        pipeline.with_replicas({"partial": 0})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("frames.file=a=b.mib", ("frames", "file", "a=b.mib")),
        ("beam.offsets.emd=x", ("beam", "offsets.emd", "x")),
        ("a.b=", ("a", "b", "")),
    ],
)
def test_assignments(text, parts):
    assert parse_assignment(text) == parts


@pytest.mark.parametrize("text", ["", "a", "a.b", "a=b", ".b=c", "a.=c", "=a.b"])
def test_what_is_no_assignment(text):
    with pytest.raises(SpecError, match="does not set a parameter; write operator"):
        parse_assignment(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
pipeline_keys = st.sampled_from(list(PipelineSpec.model_json_schema()["properties"]))
operator_values = json_values | st.fixed_dictionaries({"operator": json_values})
operators = st.dictionaries(st.sampled_from(["a", "b", "A"]), operator_values)
edges = st.lists(st.fixed_dictionaries({"from": json_values, "to": st.sampled_from(["a.b", "b.a", "c"])}) | json_values)


@patient
@given(
    st.dictionaries(pipeline_keys, json_values)
    | st.fixed_dictionaries({"name": st.text(), "operators": operators, "edges": edges})
    | json_values.filter(lambda value: not isinstance(value, str))
)
def test_any_value_either_loads_or_is_a_spec_error(value):
    try:
        parse_pipeline(value, "any")
    except SpecError as error:
        assert error.problems
        str(error).encode()
