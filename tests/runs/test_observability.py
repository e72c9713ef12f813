"""What is seen of a run from outside: metrics, status, the numbers in the broker, and the summary."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

EDGES = ("numbers.out -> observed.in", "observed.out -> keep.in")


def pipeline(project, count=100, **parameters):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": count}},
        "observed": {"operator": "observed", "parameters": parameters},
        "keep": {"operator": "keep"},
    }
    return project.pipeline(operators, *EDGES)


def samples(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {(s.name, s.labels.get("operator")): s.value for family in families for s in family.samples}


def metrics_url(run):
    for line in run.process.stderr:
        if line.startswith("metrics: "):
            return line.removeprefix("metrics: ").strip()
    raise AssertionError("it did not say where its metrics are")


def let_go(run):
    (run.folder / "outputs" / ".go").touch()


def test_a_run_is_seen_while_it_goes_on(project):
    run = project.start(pipeline(project, wait_at=50, fail_at=7), "--metrics-port", "0", "--allow-dead")
    url = metrics_url(run)

    def at_50(run):
        return samples(url).get(("interactem_author_gauge", "observed")) == 50

    run.wait_for(at_50, "the message that waits")
    found = samples(url)
    assert found["interactem_messages_sent_total", "numbers"] == 100
    assert found["interactem_messages_received_total", "observed"] >= 50
    assert found["interactem_messages_retried_total", "observed"] >= 1
    assert found["interactem_sent_bytes_total", "numbers"] >= 800
    assert found["interactem_batches_in_flight", "observed"] >= 1
    assert found["interactem_kernel_seconds_count", "observed"] >= 1
    assert found["interactem_transport_seconds_count", "observed"] >= 1
    assert found["interactem_storing_seconds_count", "numbers"] >= 1
    assert found["interactem_cpu_seconds_total", "keep"] > 0
    assert found["interactem_memory_bytes", "keep"] > 1e6
    assert found["interactem_progress_ratio", "observed"] == 0.5

    [(_, pid)] = [item for item in run.replicas().items() if item[0][0] == "observed"]
    run.kill(pid)

    def again(run):
        return samples(url).get(("interactem_replica_restarts_total", "observed")) == 1 and at_50(run)

    run.wait_for(again, "it to be at the message again")
    after = samples(url)
    counters = {key for key in found if key[0].endswith(("_total", "_count"))}
    assert not {key: (found[key], after[key]) for key in counters if after[key] < found[key]}, "what has gone back"

    status = project.do("pipeline", "status", run.folder, "--json")
    assert status.code == 0, status
    told = status.json["operators"]["observed"]
    assert (status.json["version"], status.json["state"], told["restarts"]) == (1, "running", 1)
    assert told["by_replica"][0]["author"] == {"gauges": {"number": 50}, "progress": 50, "status": "at 50"}
    shown = project.do("pipeline", "status", run.folder)
    assert "observed" in shown.out and "p99" in shown.out

    let_go(run)
    done = run.end()
    assert done.code == 0, done
    observed = done.json["operators"]["observed"]
    assert observed == json.loads((run.folder / "summary.json").read_text())["operators"]["observed"]
    assert observed["dead"] == 1 and observed["received"] >= 100
    assert observed["kernel"]["count"] >= 1 and observed["kernel"]["p99"] >= observed["kernel"]["p50"] > 0
    [replica] = observed["by_replica"]
    assert replica["peak_memory_bytes"] > 1e6 and replica["cpu_seconds"] > 0
    assert replica["counters"]["seen"] >= 100
    ended = project.do("pipeline", "status", run.folder, "--json")
    assert ended.json["operators"]["observed"]["received"] == observed["received"]


def test_a_detached_run_serves_its_metrics(project):
    file = pipeline(project, count=20, wait_at=10)
    started = project.do("pipeline", "run", file, "--run-dir", project.path / "run", "--detach", "--json",
                         "--metrics-port", "0")  # fmt: skip
    assert started.code == 0, started
    url, outputs = started.json["metrics"], project.path / "run" / "outputs"
    try:
        assert ("interactem_run_info", None) in samples(url)
    finally:
        (outputs / ".go").touch()
        attached = project.do("pipeline", "attach", project.path / "run", "--json")
    assert attached.json["state"] == "completed", attached


def test_a_port_that_is_taken_is_told_before_anything_starts(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = project.run(pipeline(project), "--metrics-port", port)
    assert done.code == 2
    assert f"127.0.0.1:{port}: address already in use; give another --metrics-port" in done.json["error"]
    assert not (project.path / "run").exists()


@pytest.mark.parametrize("wrong", [("--metrics-port", "70000"), ("--metrics-port", "x"), ("--metrics-host", "::1")])
def test_wrong_options_are_told(project, wrong):
    assert project.run(pipeline(project), *wrong).code == 2
