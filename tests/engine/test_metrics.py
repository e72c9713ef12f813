from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from interactem.engine.errors import MetricsError
from interactem.engine.gpus import GpuUse
from interactem.engine.metrics import BOUNDS, MetricsServer, RunMetrics
from interactem.engine.progress import OperatorProgress, ReplicaProgress, together
from interactem.runtime.statistics import Counts, Statistics


def replica(index=0, *, running=True, restarts=0, gpu=None, times=(), progress=None, **numbers):
    counts = Counts(**numbers)
    for seconds in times:
        counts.kernel_times.record(seconds)
    counts.telling.count("spots", 3)
    counts.telling.set("level", 0.5)
    if progress is not None:
        counts.telling.come_to(progress)
    return ReplicaProgress(index, running, restarts, 0.0, Statistics.from_value(counts.to_value()), gpu)


def row(*each, name="mean", **numbers):
    return OperatorProgress(name, len(each), each=each, statistics=together(each), **numbers)


def exposed(metrics):
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def samples(text):
    """What Prometheus' own parser makes of it: values by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def shown(*rows, state="running"):
    metrics = RunMetrics()
    metrics.begin("run-1", "scan")
    metrics.show(state, rows)
    return samples(exposed(metrics))


MEAN = (("operator", "mean"), ("replica", "0"))


def test_before_a_run_has_begun_there_is_no_replica():
    assert samples(exposed(RunMetrics()))["interactem_run_state", ("state", "starting")] == 1


def test_numbers_have_an_operator_and_a_replica():
    first = replica(
        received=7, sent=6, unwanted=5, retried=2, dead=1, received_bytes=700, sent_bytes=600, in_flight=3, restarts=4
    )
    found = shown(row(first, replica(1, received=1), waiting=9), state="draining")
    assert found["interactem_run_info", ("pipeline", "scan"), ("run", "run-1")] == 1
    states = {key[1][1]: value for key, value in found.items() if key[0] == "interactem_run_state"}
    assert states == dict.fromkeys(states, 0) | {"draining": 1}
    assert found["interactem_batches_waiting", ("operator", "mean")] == 9
    expected = {
        "interactem_messages_received_total": 7,
        "interactem_messages_sent_total": 6,
        "interactem_messages_unwanted_total": 5,
        "interactem_messages_retried_total": 2,
        "interactem_messages_dead_total": 1,
        "interactem_received_bytes_total": 700,
        "interactem_sent_bytes_total": 600,
        "interactem_batches_in_flight": 3,
        "interactem_replica_restarts_total": 4,
        "interactem_replica_running": 1,
    }
    assert {name: found[name, *MEAN] for name in expected} == expected
    assert found["interactem_messages_received_total", ("operator", "mean"), ("replica", "1")] == 1
    assert found["interactem_memory_bytes", *MEAN] > 1e6
    assert found["interactem_author_count_total", ("name", "spots"), *MEAN] == 3
    assert found["interactem_author_gauge", ("name", "level"), *MEAN] == 0.5


def test_times_are_histograms():
    times = [2.0**-10, 0.3, 0.3, 3.0, 100_000.0]
    found = shown(row(replica(times=times)))
    buckets = {
        float(dict(key[1:])["le"]): value
        for key, value in found.items()
        if key[0] == "interactem_kernel_seconds_bucket"
    }
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets[0.25], buckets[0.5], buckets[2.0], buckets[4.0]) == (1, 3, 3, 4)
    assert (buckets[BOUNDS[-1]], buckets[float("inf")]) == (4, 5)
    assert found["interactem_kernel_seconds_count", *MEAN] == 5
    assert found["interactem_kernel_seconds_sum", *MEAN] == pytest.approx(sum(times))
    assert not any(key[0].startswith("interactem_transport_seconds") for key in found), "nothing was measured"


def test_counters_never_go_back():
    metrics = RunMetrics()
    for sent, seen in ((10, 10), (4, 10), (12, 12)):  # a call that failed half-way takes back what it made
        metrics.show("running", [row(replica(sent=sent))])
        assert samples(exposed(metrics))["interactem_messages_sent_total", *MEAN] == seen


def test_what_is_not_there_is_not_told():
    found = {key[0] for key in shown(row(ReplicaProgress(0)))}
    absent = {"interactem_memory_bytes", "interactem_gpu_memory_bytes", "interactem_busy_seconds_total"}
    assert not found & (absent | {"interactem_progress_ratio", "interactem_author_gauge"})


def test_a_gpu_and_progress_where_they_are():
    found = shown(row(replica(gpu=GpuUse(2**30, 0.25), progress=40), replica(1, gpu=GpuUse(None, None))))
    assert found["interactem_gpu_memory_bytes", *MEAN] == 2**30
    assert found["interactem_gpu_utilization_ratio", *MEAN] == 0.25
    assert found["interactem_progress_ratio", *MEAN] == 0.4
    assert len([key for key in found if key[0].startswith("interactem_gpu")]) == 2


def test_whatever_a_run_is_called():
    metrics = RunMetrics()
    metrics.begin("run", 'a "name"\nwith \\ all')
    found = samples(exposed(metrics))
    assert found["interactem_run_info", ("pipeline", 'a "name"\nwith \\ all'), ("run", "run")] == 1


def read(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def test_a_server_answers_until_it_is_closed():
    with MetricsServer(0) as server:
        assert server.url == f"http://127.0.0.1:{server.port}/metrics"
        server.metrics.show("running", [row(replica(received=5))])
        assert samples(read(server.url))["interactem_messages_received_total", *MEAN] == 5
    with pytest.raises(urllib.error.URLError):
        read(server.url)


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MetricsError, match=rf"127\.0\.0\.1:{port}: address already in use; give another"):
            MetricsServer(port)


def test_a_host_that_is_not_here_is_told():
    with pytest.raises(MetricsError, match=r"metrics cannot be served at 192\.0\.2\.1:0"):
        MetricsServer(0, "192.0.2.1")
