"""The limits of an operator's replicas, as specs and pipelines give them."""

from __future__ import annotations

import copy

import pytest

from interactem.spec import Graph, Resources, SpecError, parse_operator, parse_pipeline
from interactem.spec.resources import LEAST_MEMORY, to_bytes
from interactem.spec.values import MisfitError

SPEC = {
    "id": "00000000-0000-4000-8000-000000000001",
    "label": "Tick",
    "description": "Counts",
    "image": "example.org/tick",
    "outputs": [{"name": "out", "type": "number"}],
}
PIPELINE = {"name": "test", "operators": {"tick": {"operator": "tick"}}}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (2**30, 2**30),
        ("1073741824", 2**30),
        ("2 GiB", 2**31),
        ("2GiB", 2**31),
        ("1.5 GB", 1_500_000_000),
        ("512m", 2**29),
        ("2G", 2**31),
        ("100000 kB", 100_000_000),
        ("65536 KiB", 2**26),
        ("0.5TiB", 2**39),
        (" 64 MB ", 64_000_000),
    ],
)
def test_amounts_of_memory(given, meant):
    assert to_bytes(given) == meant


@pytest.mark.parametrize("given", ["", "much", "2 Gi", "-1", "1,5 GB", "2 GiB!", True, None, 2.0**31, ["1g"], "1e9"])
def test_what_is_no_amount_of_memory(given):
    with pytest.raises(MisfitError, match=r"not an amount of memory; .*512 MiB"):
        to_bytes(given)


@pytest.mark.parametrize("given", [2, "2", "31 MiB", LEAST_MEMORY - 1, 0, -5])
def test_too_little_memory_is_most_likely_a_forgotten_unit(given):
    with pytest.raises(MisfitError, match="32 MiB; the unit is bytes"):
        to_bytes(given)


def operator(**keys):
    return parse_operator({**copy.deepcopy(SPEC), **keys}, "operator.json")


def pipeline(resources):
    value = copy.deepcopy(PIPELINE)
    value["operators"]["tick"]["resources"] = resources
    return parse_pipeline(value, "pipeline.json")


def test_each_of_the_pipelines_limits_is_before_that_of_the_spec():
    spec = operator(resources={"memory": "1 GiB", "cpus": 1, "gpus": 1})
    graph = Graph(pipeline({"cpus": 2.5, "gpus": 0}), {"tick": spec})
    assert graph.resources("tick") == Resources(memory=2**30, cpus=2.5, gpus=0)


@pytest.mark.parametrize("resources", [None, {}])
def test_without_any_there_is_no_limit(resources):
    graph = Graph(pipeline(resources), {"tick": operator()})
    assert graph.resources("tick") == Resources()


def test_they_survive_being_written_down():
    spec = operator(resources={"memory": "1 GiB"})
    assert parse_operator(spec.model_dump(mode="json", exclude_none=True), "again") == spec


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"memory": "lots"}, r"\$\.operators\.tick\.resources\.memory: .*not an amount of memory"),
        ({"cpus": 0}, r"resources\.cpus: 0 is too small; give 0\.01 or more"),
        ({"cpus": "2"}, r"resources\.cpus: should be a number"),
        ({"processes": 1}, r"resources\.processes: 1 is too small; give 8 or more"),
        ({"gpus": -1}, r"resources\.gpus: -1 is too small"),
        ({"cpu": 1}, r"unknown key 'cpu'; did you mean 'cpus'"),
    ],
)
def test_what_is_wrong_is_said(resources, problem):
    with pytest.raises(SpecError, match=problem):
        pipeline(resources)


def test_a_mount_may_be_writable():
    spec = operator(parameters=[{"name": "a", "type": "mount", "writable": True}, {"name": "b", "type": "mount"}])
    assert [parameter.writable for parameter in spec.parameters] == [True, False]
