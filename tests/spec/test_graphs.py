"""The graph: how it is connected, and everything that can be wrong with it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interactem.spec import Graph, Problem, SpecError, catalog_problems, parse_pipeline, to_mermaid, to_text

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def graph(catalog):
    return lambda value: Graph(parse_pipeline(value, "pipeline.json"), catalog, source="pipeline.json")


def lines(graph):
    return [str(problem) for problem in graph.problems()]


def test_a_right_graph_has_no_problems(graph, pipeline_value):
    checked = graph(pipeline_value).check()
    assert checked.problems() == []
    assert checked.order == ("frames", "partial", "reduce")
    assert checked.sources == ("frames",)
    assert checked.sinks == ("reduce",)
    assert checked.upstream("reduce") == ("partial",)
    assert checked.downstream("frames") == ("partial",)
    assert [str(edge) for edge in checked.incoming("partial", "in")] == ["frames.frames -> partial.in"]
    assert checked.outgoing("frames", "other") == ()
    assert checked.spec("partial").label == "Partial Center of Mass"
    assert checked.parameters("frames") == {"file": "scan.mib", "frames_per_message": 1}


def test_settings_of_the_pipeline_come_before_those_of_the_spec(operator):
    catalog = {"x": operator(timeout=5, max_attempts=0), "y": operator()}
    operators = {
        "a": {"operator": "x"},
        "b": {"operator": "x", "timeout": 1, "max_attempts": 2},
        "c": {"operator": "y"},
    }
    value = {"name": "n", "operators": operators}
    graph = Graph(parse_pipeline(value, "p"), catalog)
    assert [graph.timeout(key) for key in "abc"] == [5, 1, None]
    assert [graph.max_attempts(key) for key in "abc"] == [0, 2, None]


def test_a_misspelt_operator_is_suggested(graph, pipeline_value):
    pipeline_value["operators"]["partial"]["operator"] = "center_of_mass-partail"
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.operators.partial.operator: there is no operator 'center_of_mass-partail'; "
        "did you mean 'center-of-mass-partial'?"
    ]


def test_an_image_of_which_nothing_is_known(graph, pipeline_value):
    pipeline_value["operators"]["partial"] = {"image": "localhost:5001/partial"}
    [problem] = graph(pipeline_value).problems()
    assert problem.path == "$.operators.partial.image"
    assert "localhost:5001/partial" in problem.message
    assert "--launcher" in problem.hint


def test_operators_are_listed_where_none_is_near(graph, pipeline_value):
    pipeline_value["operators"]["partial"]["operator"] = "zzz"
    (found,) = lines(graph(pipeline_value))
    assert found.endswith("known operators: center-of-mass-partial, center-of-mass-reduce, frame-reader")


def test_ports_that_do_not_exist(graph, pipeline_value):
    pipeline_value["edges"][0] = {"from": "frames.frame", "to": "partial.input"}
    pipeline_value["edges"].append({"from": "fram.frames", "to": "reduce.zzzzz"})
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.edges[0].from: 'frames' has no output 'frame'; did you mean 'frames'? its outputs: frames",
        "pipeline.json: $.edges[0].to: 'partial' has no input 'input'; its inputs: in",
        "pipeline.json: $.edges[2].from: the pipeline has no operator 'fram'; did you mean 'frames'?",
        "pipeline.json: $.edges[2].to: 'reduce' has no input 'zzzzz'; its inputs: com_partial, mask",
        "pipeline.json: $.operators.partial: nothing is connected to its input 'in' (type 'frame'); "
        'add an edge to "partial.in"',
    ]


def test_an_edge_the_wrong_way_round_is_two_missing_ports(graph, pipeline_value):
    pipeline_value["edges"].append({"from": "reduce.com_partial", "to": "frames.frames"})
    found = lines(graph(pipeline_value))
    assert "'reduce' has no output 'com_partial'; its outputs: maps" in found[0]
    assert "'frames' has no input 'frames'; its inputs: none" in found[1]


def test_types_that_differ_are_both_named(graph, pipeline_value):
    pipeline_value["edges"].append({"from": "frames.frames", "to": "reduce.com_partial"})
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.edges[2]: types differ: frames.frames is 'frame', reduce.com_partial is 'com_partial'; "
        "join ports of one type (type 'any' fits all)"
    ]


def test_any_fits_all_and_an_input_that_is_not_required_may_be_left(graph, pipeline_value):
    assert lines(graph(pipeline_value)) == []
    pipeline_value["edges"].append({"from": "frames.frames", "to": "reduce.mask"})
    assert lines(graph(pipeline_value)) == []


def test_an_output_of_type_any_fits_every_input(operator):
    catalog = {
        "x": operator(outputs=[{"name": "out", "type": "any"}]),
        "y": operator(inputs=[{"name": "in", "type": "frame"}]),
    }
    value = {
        "name": "n",
        "operators": {"a": {"operator": "x"}, "b": {"operator": "y"}},
        "edges": [{"from": "a.out", "to": "b.in"}],
    }
    assert Graph(parse_pipeline(value, "p"), catalog).problems() == []


def test_an_unconnected_input(graph, pipeline_value):
    del pipeline_value["edges"][1]
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.operators.reduce: nothing is connected to its input 'com_partial' (type 'com_partial'); "
        'add an edge to "reduce.com_partial"'
    ]


def test_an_edge_three_times_is_reported_once(graph, pipeline_value):
    pipeline_value["edges"] += [pipeline_value["edges"][0]] * 2
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.edges[2]: the edge frames.frames -> partial.in is there twice; remove one of them"
    ]


def test_replicas_of_an_operator_that_cannot_have_several(graph, pipeline_value):
    pipeline_value["operators"]["frames"]["replicas"] = 2
    (found,) = lines(graph(pipeline_value))
    assert "$.operators.frames.replicas: 2 replicas, but nothing says that 'frame-reader' may have several" in found


def test_replicas_whose_inputs_all_have_a_key(graph, pipeline_value):
    pipeline_value["operators"]["reduce"]["replicas"] = 2
    (found,) = lines(graph(pipeline_value))
    assert found.endswith('to its operator.json, or a "key" to each edge that leads to it')
    pipeline_value["edges"][1]["key"] = "meta.scan"
    assert lines(graph(pipeline_value)) == []
    pipeline_value["edges"].append({"from": "partial.com_partial", "to": "reduce.mask"})
    assert len(lines(graph(pipeline_value))) == 1  # this one has none


def test_an_edge_in_order_has_one_reader_or_a_key(graph, pipeline_value):
    pipeline_value["edges"][0]["ordered"] = True
    assert graph(pipeline_value).edges[0].route == "ordered"
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.edges[0].ordered: 2 replicas of 'partial' share what is to stay in order; "
        'add a "key", which keeps its own order, or set 1 replica'
    ]
    pipeline_value["edges"][0]["key"] = "meta.scan"
    assert lines(graph(pipeline_value)) == []
    pipeline_value["edges"][0] |= {"key": None, "ordered": "yes"}
    with pytest.raises(SpecError, match="ordered"):
        graph(pipeline_value)


def test_edges_that_divide_messages_in_too_many_ways(graph, pipeline_value):
    pipeline_value["operators"] |= {
        f"r{n}": {"operator": "center-of-mass-partial", "replicas": n} for n in (31, 32, 33)
    }
    pipeline_value["edges"] += [{"from": "frames.frames", "to": f"r{n}.in", "key": "meta.scan"} for n in (31, 32)]
    pipeline_value["edges"].append({"from": "frames.frames", "to": "r33.in"})
    assert lines(graph(pipeline_value)) == []
    pipeline_value["edges"][-1]["key"] = "meta.row"
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.edges: the edges from frames.frames divide its messages in 32,736 ways, more than 1,024; "
        "give those that read from it equal numbers of replicas, and equal keys"
    ]


def test_wrong_parameters(graph, pipeline_value):
    pipeline_value["operators"]["frames"]["parameters"] = {"frames_per_message": "a", "fil": "x"}
    assert lines(graph(pipeline_value)) == [
        "pipeline.json: $.operators.frames.parameters.fil: there is no parameter 'fil'; did you mean 'file'?",
        "pipeline.json: $.operators.frames.parameters: the parameter 'file' is required and has no default; "
        "add 'file', of type mount",
        "pipeline.json: $.operators.frames.parameters.frames_per_message: parameter 'frames_per_message': "
        '"a" is not an int; give a whole number, such as 255',
    ]


def test_check_raises_everything_at_once(graph, pipeline_value):
    pipeline_value["operators"]["frames"]["operator"] = "x"
    pipeline_value["edges"].append({"from": "reduce.maps", "to": "partial.in"})
    with pytest.raises(SpecError) as caught:
        graph(pipeline_value).check()
    messages = [problem.message for problem in caught.value.problems]
    assert messages[0] == "there is no operator 'x'"
    assert messages[1].startswith("types differ: reduce.maps is 'maps', partial.in is 'frame'")
    assert messages[2] == "a cycle: partial -> reduce -> partial"


@pytest.fixture
def wired(operator):
    """A graph of operators that all have an input and an output of type any, with these edges."""
    passing = operator(
        inputs=[{"name": "in", "type": "any", "required": False}], outputs=[{"name": "out", "type": "any"}]
    )

    def make(names, edges):
        value = {
            "name": "n",
            "operators": {name: {"operator": "pass"} for name in names},
            "edges": [{"from": f"{a}.out", "to": f"{b}.in"} for a, b in edges],
        }
        return Graph(parse_pipeline(value, "p"), {"pass": passing}, source="p")

    return make


@pytest.mark.parametrize(
    ("edges", "cycles"),
    [
        (["ab", "bc", "ca"], ["a -> b -> c -> a"]),
        (["aa"], ["a -> a"]),
        (["ab", "bc", "cb", "cd"], ["b -> c -> b"]),
        (["ab", "ba", "cd", "dc"], ["a -> b -> a", "c -> d -> c"]),
        (["ab", "ba", "bc", "cd", "dc"], ["a -> b -> a", "c -> d -> c"]),
        (["ab", "ac", "bd", "cd"], []),
    ],
)
def test_cycles_are_shown(wired, edges, cycles):
    found = wired("abcd", edges).problems()
    assert [p.message for p in found] == [f"a cycle: {cycle}" for cycle in cycles]


def test_an_operator_behind_a_cycle_is_not_blamed_for_it(wired):
    graph = wired("abc", ["ab", "ba", "bc"])
    assert [p.message for p in graph.problems()] == ["a cycle: a -> b -> a"]
    assert graph.order == ()


def test_layers_are_the_longest_way_from_a_source(wired):
    assert wired("abcd", ["ab", "bc", "ac", "cd"]).layers == (("a",), ("b",), ("c",), ("d",))
    assert wired("dcba", ["ab", "ac", "bd", "cd"]).layers == (("a",), ("c", "b"), ("d",))


pairs = st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12)


@patient
@given(edges=pairs)
def test_a_graph_has_either_an_order_or_a_cycle(edges):
    graph = _graph(edges)
    cycles = [problem for problem in graph.problems() if "a cycle" in problem.message]
    position = {key: index for index, key in enumerate(graph.order)}
    if cycles:
        assert len(position) < len(graph.operators)
        for problem in cycles:
            steps = problem.message.removeprefix("a cycle: ").split(" -> ")
            assert steps[0] == steps[-1]
            assert all(step in edges for step in pairwise(steps))
    else:
        assert set(position) == set(graph.operators)
        assert all(position[a] < position[b] for a, b in edges)


def _graph(edges):
    names = sorted({name for edge in edges for name in edge} | {"a"})
    value = {
        "name": "n",
        "operators": {name: {"operator": "unknown"} for name in names},
        "edges": [{"from": f"{a}.out", "to": f"{b}.in"} for a, b in sorted(edges)],
    }
    return Graph(parse_pipeline(value, "p"), {})


def test_two_folders_with_one_id(operator):
    other = operator(id="00000000-0000-4000-8000-0000000000aa")
    found = [("operators/a", operator()), ("operators/b", other), ("operators/sub/c", operator())]
    assert catalog_problems(found) == [
        Problem(
            "operators/sub/c/operator.json",
            "$.id",
            "the id 00000000-0000-4000-8000-0000000000ff is also that of operators/a",
            "give one of them a new UUID",
        )
    ]
    assert catalog_problems(found[:2]) == []


def test_two_folders_with_one_name(operator):
    found = [("x/a", operator()), ("y/a/", operator(id="00000000-0000-4000-8000-0000000000aa"))]
    (problem,) = catalog_problems(found)
    assert problem.message == "the name 'a' is also that of x/a"


def sided(operator, *, gives="table", takes="table", named=None, **more):
    """The problems of a pipeline in which `reader` names `giver` its side input `lookup`."""
    sides = [{"name": "lookup", "type": takes}, {"name": "other", "type": "any", "required": False}]
    catalog = {"g": operator(side_input={"type": gives}), "r": operator(side_inputs=sides), "o": operator()}
    operators = {
        "giver": {"operator": "g", **more},
        "reader": {"operator": "r", "side_inputs": {"lookup": "giver"} if named is None else named},
        "plain": {"operator": "o"},
    }
    return lines(Graph(parse_pipeline({"name": "n", "operators": operators}, "p"), catalog))


def test_side_inputs_are_named_by_operators_of_the_same_type(operator):
    assert sided(operator) == []
    assert sided(operator, takes="any") == []
    assert sided(operator, gives="rows") == [
        "$.operators.reader.side_inputs.lookup: types differ: 'giver' gives 'rows', this is 'table'; "
        "name one of the same type (type 'any' fits all)"
    ]


def test_what_can_be_wrong_with_side_inputs(operator):
    assert sided(operator, named={}) == [
        "$.operators.reader: nothing says which operator its side input 'lookup' (type 'table') is; "
        'add "side_inputs": {"lookup": "…"}'
    ]
    assert sided(operator, named={"lookup": "givr"}) == [
        "$.operators.reader.side_inputs.lookup: the pipeline has no operator 'givr'; did you mean 'giver'?"
    ]
    assert sided(operator, named={"lookup": "plain"}) == [
        "$.operators.reader.side_inputs.lookup: 'plain' is not a side input; "
        'name an operator whose operator.json has "side_input"'
    ]
    assert sided(operator, named={"lookup": "giver", "lokup": "giver"}) == [
        "$.operators.reader.side_inputs.lokup: 'reader' declares no side input 'lokup'; did you mean 'lookup'?"
    ]
    assert sided(operator, replicas=2) == [
        "$.operators.giver.replicas: a side input has one replica; set 1: it gives the same value to all"
    ]


def test_side_inputs_are_drawn(operator):
    catalog = {"g": operator(side_input={"type": "t"}), "r": operator(side_inputs=[{"name": "lookup", "type": "t"}])}
    operators = {"giver": {"operator": "g"}, "reader": {"operator": "r", "side_inputs": {"lookup": "giver"}}}
    graph = Graph(parse_pipeline({"name": "n", "operators": operators}, "p"), catalog)
    assert '  n0 -. "lookup" .-> n1\n' in to_mermaid(graph)
    assert to_text(graph).splitlines()[2:] == [
        "1  giver (g)",
        "     side input of reader",
        "",
        "1  reader (r)",
        "     side input lookup  giver",
    ]
