"""interactEM's pipeline files, made into ours."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interactem.spec import Graph, SpecError, image_name, import_pipeline, parse_pipeline

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SENDER, RECEIVER, OUT, IN = (f"0000000{n}-0000-4000-8000-000000000000" for n in range(4))

THEIRS = {
    "operators": [
        {
            "id": SENDER,
            "label": "My reader",
            "image": "ghcr.io/nersc/interactem/frame-reader:latest",
            "inputs": [],
            "outputs": [OUT],
            "parameters": [
                {"name": "file", "type": "mount", "default": "~/scan.mib", "required": True, "options": None},
                {"name": "frames_per_message", "type": "int", "default": "1", "value": "8"},
            ],
            "tags": [],
            "parallel_config": None,
            "spec_id": "00000000-0000-4000-8000-000000000001",
        },
        {
            "id": RECEIVER,
            "label": "Partial Center of Mass",
            "image": "ghcr.io/nersc/interactem/center-of-mass-partial@sha256:00",
            "inputs": [IN],
            "outputs": [],
            "parameters": None,
            "parallel_config": {"type": "embarrassing"},
            "parallelism": 3,
        },
    ],
    "ports": [
        {"id": OUT, "node_type": "port", "port_type": "output", "canonical_operator_id": SENDER, "portkey": OUT},
        {"id": IN, "node_type": "port", "port_type": "input", "canonical_operator_id": RECEIVER, "portkey": IN},
    ],
    "edges": [{"input_id": OUT, "output_id": IN}],
}

OURS = {
    "name": "imported",
    "operators": {
        "frame-reader": {
            "operator": "frame-reader",
            "description": "My reader",
            "parameters": {"file": "~/scan.mib", "frames_per_message": 8},
        },
        "center-of-mass-partial": {"operator": "center-of-mass-partial", "replicas": 3},
    },
    "edges": [{"from": "frame-reader.frames", "to": "center-of-mass-partial.in"}],
}


@pytest.fixture
def theirs():
    return copy.deepcopy(THEIRS)


def test_a_pipeline_is_imported_and_holds(theirs, catalog):
    result, notes = import_pipeline(theirs, catalog=catalog)
    assert result == OURS
    assert notes == []
    assert Graph(parse_pipeline(result, "p"), catalog).problems() == []


@pytest.mark.parametrize("wrap", [lambda d: {"data": d}, lambda d: {"id": SENDER, "name": "Mine", "data": d}])
def test_a_wrapper_is_taken_off(theirs, catalog, wrap):
    value = wrap(theirs)
    result, _ = import_pipeline(json.dumps(value), catalog=catalog, name="given")
    assert result == OURS | {"name": value.get("name", "given")}


def test_the_older_key_for_a_ports_operator(theirs, catalog):
    for port in theirs["ports"]:
        port["operator_id"] = port.pop("canonical_operator_id")
    assert import_pipeline(theirs, catalog=catalog)[0] == OURS


def test_a_port_key_that_is_a_name_is_taken(theirs):
    theirs["ports"][0]["portkey"] = "frames"
    theirs["ports"][1]["portkey"] = "in"
    result, notes = import_pipeline(theirs)
    assert result["edges"] == OURS["edges"]
    assert notes == []


def test_ports_are_named_by_their_place_in_the_operators_list(theirs, catalog):
    theirs["operators"][1] |= {"image": "x/center-of-mass-reduce", "inputs": ["other", IN], "parallelism": None}
    result, _ = import_pipeline(theirs, catalog=catalog)
    assert result["edges"] == [{"from": "frame-reader.frames", "to": "center-of-mass-reduce.mask"}]


def test_without_the_specs_ports_get_names_and_notes(theirs):
    result, notes = import_pipeline(theirs)
    assert result["edges"] == [{"from": "frame-reader.output-1", "to": "center-of-mass-partial.input-1"}]
    assert result["operators"]["frame-reader"]["parameters"] == {"file": "~/scan.mib", "frames_per_message": 8}
    assert notes == [
        "frame-reader: its output 1 has no known name; it is 'output-1' for now",
        "center-of-mass-partial: its input 1 has no known name; it is 'input-1' for now",
    ]


def test_repeated_operators_get_names_of_their_own(theirs, catalog):
    theirs["operators"] += [dict(theirs["operators"][1], id=f"x{n}", inputs=[]) for n in range(2)]
    result, _ = import_pipeline(theirs, catalog=catalog)
    assert list(result["operators"]) == [
        "frame-reader",
        "center-of-mass-partial",
        "center-of-mass-partial-2",
        "center-of-mass-partial-3",
    ]


def test_an_operator_is_found_by_the_specs_id_and_else_by_its_label(theirs, catalog):
    theirs["operators"][0]["image"] = "elsewhere/renamed"
    assert import_pipeline(theirs, catalog=catalog)[0]["operators"]["frame-reader"]["operator"] == "frame-reader"
    del theirs["operators"][0]["image"]
    del theirs["operators"][0]["spec_id"]
    result, notes = import_pipeline(theirs, catalog=catalog)
    assert result["operators"]["my-reader"]["operator"] == "my-reader"
    assert "my-reader: there is no operator 'my-reader' here; make one before the first run" in notes


def test_what_cannot_be_carried_is_noted(theirs, catalog):
    theirs["operators"][0] |= {"env": {"A": "1"}, "parallelism": 2}
    theirs["operators"][0]["parameters"] += [
        {"name": "gone", "type": "int", "default": "1"},
        {"type": "int"},
    ]
    theirs["operators"][0]["parameters"][1]["value"] = "many"
    theirs["operators"][1]["parallelism"] = None
    theirs["edges"] *= 2
    result, notes = import_pipeline(theirs, catalog=catalog)
    assert notes == [
        "frame-reader: parameter 'frames_per_message': \"many\" is not an int; it is left out",
        "frame-reader: its spec has no parameter 'gone'; \"1\" is left out",
        'frame-reader: a parameter without a name is left out: {"type": "int"}',
        "frame-reader: 2 replicas became 1, as its spec does not allow several",
        'frame-reader: \'env\' is left out: {"A": "1"}',
        'center-of-mass-partial: has 1 replica here; it may have several, set with "replicas"',
        "the edge frame-reader.frames -> center-of-mass-partial.in was there twice; one is kept",
    ]
    assert result["operators"]["frame-reader"]["parameters"] == {"file": "~/scan.mib"}
    assert result["edges"] == OURS["edges"]


def test_parameters_at_their_default_are_left_to_the_spec(theirs, catalog):
    theirs["operators"][0]["parameters"][1]["value"] = None
    result, _ = import_pipeline(theirs, catalog=catalog)
    assert result["operators"]["frame-reader"]["parameters"] == {"file": "~/scan.mib"}


def test_edges_between_an_operator_and_its_ports_say_nothing_new(theirs, catalog):
    theirs["edges"] += [{"input_id": SENDER, "output_id": OUT}, {"input_id": IN, "output_id": RECEIVER}]
    assert import_pipeline(theirs, catalog=catalog)[0] == OURS


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda d: d.pop("operators"), "$: is not an interactEM pipeline; an interactEM pipeline has lists of"),
        (lambda d: d.update(operators={"a": {}}), "it looks like a pipeline of ours, which needs no import"),
        (lambda d: d.update(ports=3), "$.ports: should be a list, not a number"),
        (lambda d: d["operators"].append(3), "$.operators[2]: should be an object, not a number"),
        (lambda d: d["operators"][0].pop("id"), "$.operators[0].id: is missing; an operator has an id"),
        (lambda d: d["operators"][1].update(id=SENDER), "$.operators[1].id: another operator has the id"),
        (lambda d: d["ports"][0].update(canonical_operator_id="x"), "$.ports[0]: belongs to no operator of this file"),
        (lambda d: d["edges"][0].update(input_id="x"), '$.edges[0].input_id: "x" is not the id of a port'),
        (lambda d: d["edges"][0].pop("output_id"), "$.edges[0].output_id: null is not the id of a port"),
        (lambda d: d.update(edges=[{"input_id": IN, "output_id": OUT}]), "$.edges[0]: joins an input to an output"),
    ],
)
def test_what_is_wrong_says_where(theirs, catalog, break_it, expected):
    break_it(theirs)
    with pytest.raises(SpecError) as caught:
        import_pipeline(theirs, catalog=catalog, source="theirs.json")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("theirs.json: ")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("ghcr.io/nersc/interactem/a:latest", "a"),
        ("localhost:5000/a", "a"),
        ("a@sha256:00", "a"),
        ("x/a:1@sha256:00", "a"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_name_in_an_image(image, name):
    assert image_name(image) == name


scraps = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([SENDER, OUT, IN, "input"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OPERATOR_KEYS = ["id", "image", "label", "inputs", "outputs", "parameters", "parallelism", "env"]
broken_operator = st.fixed_dictionaries({}, optional=dict.fromkeys(OPERATOR_KEYS, scraps))
broken_port = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["id", "operator_id", "canonical_operator_id", "port_type", "portkey"], scraps)
)
broken_edge = st.fixed_dictionaries({}, optional={"input_id": scraps, "output_id": scraps})


@patient
@given(
    st.fixed_dictionaries({"operators": st.lists(broken_operator | scraps, max_size=3)}),
    st.lists(broken_port | scraps, max_size=3) | scraps,
    st.lists(broken_edge | scraps, max_size=3) | scraps,
)
def test_any_file_is_either_imported_as_a_pipeline_or_is_a_spec_error(value, ports, edges):
    try:
        result, _ = import_pipeline(value | {"ports": ports, "edges": edges})
    except SpecError as error:
        assert error.problems
    else:
        parse_pipeline(json.dumps(result), "imported")
