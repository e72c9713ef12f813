from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.engine.plan import Plan, consumers, largest_payload, make_plan, stream_configs
from interactem.runtime.routing import Route
from interactem.spec import Graph, OperatorSpec, parse_pipeline

MEBIBYTE = 2**20


def port(name):
    return {"name": name, "label": name, "type": "any", "description": name}


def spec(number, *, inputs=(), outputs=(), **more):
    value = {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "image": "x",
        "label": "x",
        "description": "x",
        "inputs": [port(name) for name in inputs],
        "outputs": [port(name) for name in outputs],
        "parallel_config": {"type": "embarrassing"},
        **more,
    }
    return OperatorSpec.model_validate(value)


CATALOG = {
    "source": spec(
        1,
        outputs=["out"],
        parameters=[
            {"name": "file", "label": "f", "type": "mount", "default": "/data", "description": "f", "required": True},
            {"name": "count", "label": "c", "type": "int", "default": "3", "description": "c", "required": True},
        ],
    ),
    "through": spec(2, inputs=["in"], outputs=["out", "rest"]),
    "sink": spec(3, inputs=["in"]),
}


def between(source, target, **said):
    return {"from": source, "to": target, **said}


def graph(operators, *edges):
    edges = [edge if isinstance(edge, dict) else between(*edge.split(" -> ")) for edge in edges]
    text = json.dumps({"name": "test", "operators": operators, "edges": edges})
    return Graph(parse_pipeline(text, "test.json"), CATALOG, source="test.json").check()


def plan(*arguments):
    folders = {name: Path("/operators", name) for name in CATALOG}
    return make_plan(graph(*arguments), "run-1", folders, max_payload=MEBIBYTE, max_message=10 * MEBIBYTE)


def chain(sinks=1, through=1):
    return plan(
        {
            "z-source": {"operator": "source"},
            "through": {"operator": "through", "replicas": through, "timeout": 2.5, "max_attempts": 7},
            "a-sink": {"operator": "sink", "replicas": sinks},
        },
        "z-source.out -> through.in",
        "through.out -> a-sink.in",
    )


def test_operators_are_in_the_order_of_the_graph():
    made = chain()
    assert [(operator.index, operator.key) for operator in made.operators] == [
        (0, "z-source"),
        (1, "through"),
        (2, "a-sink"),
    ]
    source, through, sink = made.operators
    assert made.upstream(sink) == (through,)
    assert made.upstream(source) == ()
    assert made.downstream(source) == (through,)
    assert made.below({1}) == {1, 2}
    assert made.operator("through") is through
    with pytest.raises(KeyError):
        made.operator("nobody")


def test_what_an_operator_is_told():
    made = chain(through=2)
    source, through, sink = (operator.assignment for operator in made.operators)
    assert source.is_source
    assert sink.is_sink
    assert through.replicas == 2
    assert (through.timeout, through.max_attempts) == (2.5, 7)
    assert (source.timeout, source.max_attempts) == (None, 3)
    assert [output.port for output in through.outputs] == ["out", "rest"]
    assert (through.outputs[1].edges, through.outputs[1].readers) == ((), ())  # nothing is stored for nobody
    assert through.outputs[0].readers == (2,)


def test_an_input_knows_the_sources_that_its_messages_began_in():
    made = plan(
        {
            "a": {"operator": "source"},
            "b": {"operator": "source", "replicas": 2},
            "through": {"operator": "through"},
            "sink": {"operator": "sink"},
        },
        "a.out -> through.in",
        "b.out -> sink.in",
        "through.out -> sink.in",
    )
    origins = [entry.origins for entry in made.operator("sink").assignment.inputs]
    assert sorted(origins) == [("a~0",), ("b~0", "b~1")]
    assert Plan.from_value(json.loads(json.dumps(made.to_value()))) == made


def test_mounts_are_no_parameters_of_the_kernel():
    source = chain().operators[0]
    assert source.parameters == {"count": 3}
    assert source.mounts == {"file": "/data"}


def test_a_plan_survives_json():
    made = chain(sinks=3)
    assert Plan.from_value(json.loads(json.dumps(made.to_value()))) == made


def test_each_replica_of_a_sink_reads_a_partition_of_its_own():
    made = chain(sinks=3, through=2)
    through, sink = made.operators[1:]
    assert sink.assignment.inputs[0].partitions == 3
    assert through.assignment.outputs[0].partitions == 3
    assert through.assignment.inputs[0].partitions == 1
    own = [consumer for consumer in consumers(made) if consumer.operator == 2]
    assert [consumer.stream for consumer in own] == ["i-run-1-s1", "i-run-1-t2"] * 3
    assert [consumer.config["filter_subjects"] for consumer in own[::2]] == [
        [f"i.run-1.s.1.{number}"] for number in range(3)
    ]


def test_a_keyed_edge_has_a_partition_for_each_replica():
    made = plan(
        {"source": {"operator": "source"}, "through": {"operator": "through", "replicas": 2}},
        between("source.out", "through.in", key="meta.a.b", when={"tags": {"any": ["x"]}}),
    )
    source, through = made.operators
    assert (through.assignment.inputs[0].partitions, through.assignment.inputs[0].ways) == (2, 1)
    (output,) = source.assignment.outputs
    assert (output.partitions, output.edge_partitions) == (1, (2,))
    assert output.routes == (Route(0, "source.out -> through.in", (("any", ("x",)),), ("a", "b")),)
    own = [consumer for consumer in consumers(made) if not consumer.retry]
    assert [consumer.config["filter_subjects"] for consumer in own] == [["i.run-1.s.0.0.0.1"], ["i.run-1.s.0.0.1.1"]]
    assert Plan.from_value(json.loads(json.dumps(made.to_value()))) == made


def test_edges_that_divide_a_stream_differently_both_get_all_of_it():
    made = plan(
        {
            "source": {"operator": "source"},
            "two": {"operator": "sink", "replicas": 2},
            "three": {"operator": "sink", "replicas": 3},
            "all": {"operator": "through"},
        },
        "source.out -> two.in",
        "source.out -> three.in",
        "source.out -> all.in",
    )
    (output,) = made.operator("source").assignment.outputs
    assert output.partitions == 6
    everything = {f"i.run-1.s.{output.stream}.{number}" for number in range(6)}
    for operator in ("two", "three", "all"):
        index = made.operator(operator).index
        parts = [
            set(consumer.config["filter_subjects"])
            for consumer in consumers(made)
            if consumer.operator == index and not consumer.retry
        ]
        assert set().union(*parts) == everything
        assert sum(map(len, parts)) == 6


def test_consumers_wait_for_no_number_of_attempts():
    for consumer in consumers(chain(sinks=2)):
        assert consumer.config["max_deliver"] == -1
        assert consumer.config["ack_policy"] == "explicit"
        assert consumer.config["deliver_policy"] == "all"
        assert consumer.name == consumer.config["durable_name"]


@given(st.integers(64 * MEBIBYTE, 2**40))
def test_streams_never_hold_more_than_the_store(store_bytes):
    for made in (chain(), plan({"source": {"operator": "source"}})):
        configs = stream_configs(made, store_bytes)
        assert sum(config["max_bytes"] for config in configs) <= store_bytes
        assert all(config["max_bytes"] > 0 for config in configs)
        assert all(config["discard"] == "new" for config in configs)


def test_streams_nobody_reads_are_not_made():
    made = chain()
    retention = {config["name"].removeprefix("i-run-1-"): config["retention"] for config in stream_configs(made, 2**30)}
    assert retention == {
        "s0": "interest",
        "s1": "interest",
        "t1": "interest",
        "t2": "interest",
        "c0": "limits",
        "c1": "limits",
        "c2": "limits",
        "d": "limits",
        "b": "limits",
        "r": "limits",
    }


@given(st.integers(64 * MEBIBYTE, 2**40))
def test_several_of_the_largest_messages_fit_into_each_stream(store_bytes):
    of = graph(
        {"source": {"operator": "source"}, "through": {"operator": "through"}, "sink": {"operator": "sink"}},
        "source.out -> through.in",
        "through.out -> sink.in",
    )
    folders = {name: Path("/operators", name) for name in CATALOG}
    largest = largest_payload(of, store_bytes)
    made = make_plan(of, "run-1", folders, max_payload=largest, max_message=2**30)
    for config in stream_configs(made, store_bytes):
        told = config["name"].startswith("i-run-1-c")  # what the engine tells is small
        if config["max_bytes"] != 512 * MEBIBYTE and not told:  # the most that any stream has
            assert config["max_bytes"] >= 4 * largest
