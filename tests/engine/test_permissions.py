"""What each replica may do is told by the plan: lists of subjects, in which nobody has what another one has."""

from __future__ import annotations

from itertools import permutations as pairs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.engine.broker import BrokerSettings, server_config
from interactem.engine.permissions import EXPORTS, all_permissions, is_own_delivery, permissions, user_name
from interactem.engine.plan import Plan, PlannedOperator
from interactem.runtime.assignment import Assignment, Input, Output

SOURCE = Assignment("r", 0, "source", outputs=(Output("out", 0, 2, (0, 2), (1, 2)), Output("rest", 9)))
MIDDLE = Assignment("r", 1, "middle", 2, inputs=(Input(0, "in", 0),), outputs=(Output("out", 1, 2, (1,), (2,)),))
SINK = Assignment("r", 2, "sink", 2, inputs=(Input(1, "in", 1, 2), Input(2, "too", 0, 2)))


def plan_of(*assignments):
    return Plan("r", "test", "process", tuple(PlannedOperator(a.name, a.name, "/", a) for a in assignments), {})


PLAN = plan_of(SOURCE, MIDDLE, SINK)


def overlap(first, second):
    """Whether a subject exists that both patterns match."""
    one, other = first.split("."), second.split(".")
    for a, b in zip(one, other, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(one) == len(other)


def test_what_a_source_may_do():
    made = permissions(PLAN, PLAN.operators[0], 0)
    assert sorted(made.publish) == [
        "$JS.API.DIRECT.GET.i-r-b.i.r.k.0.0.*.*",
        "$JS.API.DIRECT.GET.i-r-c0",
        "$JS.API.DIRECT.GET.i-r-r.i.r.r.0.0.*",
        "i.r.b.0.*.*",
        "i.r.b.2.*.*",
        "i.r.e.0.0",
        "i.r.k.0.0.*.*",
        "i.r.r.0.0.*",
        "i.r.s.0.>",
    ]
    assert made.tell == ("i.r.m.0.0", "i.r.a.0.0")
    assert made.subscribe == ("i.r.c.0.>", "i.r.p.0")
    assert made.hear == (("1.0", "i.r.m.1.0"), ("1.1", "i.r.m.1.1"), ("2.0", "i.r.m.2.0"), ("2.1", "i.r.m.2.1"))


def test_what_a_replica_of_a_sink_may_do():
    made = permissions(PLAN, PLAN.operators[2], 1)
    reading = [subject for subject in made.publish if "MSG.NEXT" in subject or "ACK" in subject]
    assert sorted(reading) == [
        "$JS.ACK.i-r-s0.e2p1.>",
        "$JS.ACK.i-r-s1.e1p1.>",
        "$JS.ACK.i-r-t2.e1p1.>",
        "$JS.ACK.i-r-t2.e2p1.>",
        "$JS.API.CONSUMER.MSG.NEXT.i-r-s0.e2p1",
        "$JS.API.CONSUMER.MSG.NEXT.i-r-s1.e1p1",
        "$JS.API.CONSUMER.MSG.NEXT.i-r-t2.e1p1",
        "$JS.API.CONSUMER.MSG.NEXT.i-r-t2.e2p1",
    ]
    assert {"i.r.t.1.1", "i.r.t.2.1", "i.r.d.1.*", "i.r.d.2.*"} < set(made.publish)
    assert not any(subject.startswith("i.r.s.") for subject in made.publish)
    assert made.hear == ()


@st.composite
def plans(draw):
    """Any graph: each operator reads some streams of those before it."""
    assignments = []
    edge = 0
    for index in range(draw(st.integers(1, 5))):
        replicas = draw(st.integers(1, 3))
        inputs, read = [], draw(st.sets(st.integers(0, index - 1))) if index else set()
        for before in sorted(read):
            inputs.append(Input(edge, f"in{edge}", before, draw(st.sampled_from([1, replicas]))))
            [output] = assignments[before].outputs
            output = Output("out", before, 6, (*output.edges, edge), (*output.readers, index))
            assignments[before] = Assignment("r", before, f"o{before}", assignments[before].replicas,
                                             assignments[before].inputs, (output,))  # fmt: skip
            edge += 1
        assignments.append(Assignment("r", index, f"o{index}", replicas, tuple(inputs), (Output("out", index),)))
    return plan_of(*assignments)


@given(plans())
def test_operators_have_nothing_in_common_but_the_blobs_of_an_edge_between_them(plan):
    made = all_permissions(plan)
    for first, second in pairs(plan.operators, 2):
        ends = {entry.edge for entry in first.assignment.inputs} | {
            e for o in first.assignment.outputs for e in o.edges
        }
        common = ends & ({entry.edge for entry in second.assignment.inputs}
                         | {edge for output in second.assignment.outputs for edge in output.edges})  # fmt: skip
        shared = {f"i.r.b.{edge}.*.*" for edge in common}
        one, other = made[user_name(first.index, 0)], made[user_name(second.index, 0)]
        for subject in {*one.publish, *one.tell} - shared:
            assert not any(overlap(subject, theirs) for theirs in {*other.publish, *other.tell}), subject
        assert not any(overlap(subject, theirs) for subject in one.subscribe for theirs in other.subscribe)
        # nobody writes what another one is told, nor the other way round
        assert not any(overlap(subject, theirs) for subject in one.publish for theirs in other.subscribe)


@given(plans())
def test_nobody_may_ask_for_more_than_a_subject_says(plan):
    for name, made in all_permissions(plan).items():
        for subject in made.publish:
            assert not subject.startswith((">", "*", "$SYS", "$JS.API.STREAM", "$JS.API.INFO", "_INBOX"))
            if subject.startswith("$JS.API.CONSUMER"):
                assert subject.startswith("$JS.API.CONSUMER.MSG.NEXT.")
                assert "*" not in subject
            # what is asked of a whole stream, in the body, is asked of the operator's own
            if subject.startswith("$JS.API.DIRECT.GET.") and subject.count(".") == 4:
                assert subject == f"$JS.API.DIRECT.GET.i-r-c{name.partition('.')[0]}"


@given(plans())
def test_only_what_is_exported_is_imported(plan):
    made = all_permissions(plan)
    passwords = {name: name for name in ("run", *made)}
    accounts = server_config(BrokerSettings(Path("b"), Path("s"), "process", 1, replicas=made), passwords)["accounts"]
    exported = {name: {e["stream"] for e in account["exports"] if "stream" in e} for name, account in accounts.items()}
    services = [export["service"] for export in EXPORTS if "service" in export]
    for name, account in accounts.items():
        assert [user["user"] for user in account["users"]] == [name]
        for entry in account["imports"]:
            ((kind, of),) = entry.items()
            if kind == "service":
                assert of["account"] == "run"
                assert sum(overlap(of["subject"], service) for service in services) == 1
            elif of["account"] == "run":
                assert of["subject"].startswith("i.")
            else:
                assert of["subject"] in exported[of["account"]]


@pytest.mark.parametrize(
    ("reply", "own"),
    [
        ("$JS.ACK.i-r-s0.e2p1.1.2.3.4.0", True),
        ("$JS.ACK.i-r-t2.e1p1.1.2.3.4.0", True),
        ("$JS.ACK.i-r-s0.e2p0.1.2.3.4.0", False),
        ("$JS.ACK.i-r-s0.e0p0.1.2.3.4.0", False),
        ("$JS.ACK.i-r-t1.e0p0.1.2.3.4.0", False),
        ("$JS.ACK.i-r-s0.e2p11.1.2.3.4.0", False),
        ("i.r.c.1.finish", False),
        ("$JS.ACK.i-r-s0.e2p1.1 5\r\nPUB i.r.c.1.finish", False),
        ("$JS.ACK.i-r-s0.e2p1.ü", False),
        ("", False),
    ],
)
def test_what_was_held_by_a_replica(reply, own):
    assert is_own_delivery(PLAN, PLAN.operators[2], 1, reply) is own
