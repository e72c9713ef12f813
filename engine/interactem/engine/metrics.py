"""A run's numbers for Prometheus: what they are called, and the server that answers at `/metrics`.

docs/observability.md lists them; a test compares it with this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from interactem.engine.decisions import ENDED
from interactem.engine.errors import MetricsError
from interactem.engine.progress import OperatorProgress, ReplicaProgress
from interactem.runtime.histograms import Histogram

LOOPBACK = "127.0.0.1"
BOUNDS = tuple(2.0**power for power in range(-20, 13))
"""Of the histograms' buckets, in seconds: powers of two from a microsecond to an hour."""
STATES = ("starting", "running", "draining", *sorted(ENDED))
_EACH = ("operator", "replica")

COUNTERS = {
    "received": ("messages_received", "Messages that were received, counted again where they came again."),
    "sent": ("messages_sent", "Messages that were sent."),
    "unwanted": ("messages_unwanted", "Messages for a port of which no edge takes them."),
    "retried": ("messages_retried", "Attempts at messages that failed and are made again."),
    "dead": ("messages_dead", "Messages that failed their last attempt."),
    "received_bytes": ("received_bytes", "Bytes of the batches that were received."),
    "sent_bytes": ("sent_bytes", "Bytes of the batches that were sent."),
    "busy_seconds": ("busy_seconds", "Time spent on messages that came in: in the kernel, and packing what it makes."),
    "cpu_seconds": ("cpu_seconds", "CPU time of the replica's process."),
}
"""By what replicas call it. Prometheus puts `_total` behind the names."""
GAUGES = {
    "in_flight": ("batches_in_flight", "Batches that the replica holds and has not settled."),
    "memory_bytes": ("memory_bytes", "Memory that the replica's process holds."),
}
HISTOGRAMS = {
    "kernel": ("kernel_seconds", "Time of single calls of the kernel: all of a slow one, samples of a quick one."),
    "transport": ("transport_seconds", "Time from when a batch was stored until a replica took it up."),
    "storing": ("storing_seconds", "Time to store what was made from a batch, for good."),
}


class RunMetrics(Collector):
    """The metrics of one run. `show` takes what is known of it now; what is collected is of what was shown last."""

    def __init__(self) -> None:
        self._about = ("", "")
        self._shown: tuple[str, tuple[OperatorProgress, ...]] = ("starting", ())
        self._counted: dict[tuple[str, ...], float] = {}

    def begin(self, run: str, pipeline: str) -> None:
        self._about = (run, pipeline)

    def show(self, state: str, rows: Iterable[OperatorProgress]) -> None:
        self._shown = state, tuple(rows)

    def collect(self) -> Iterator[Metric]:
        """Called from the server's threads."""
        state, rows = self._shown
        yield _gauge("run_info", "The run.", ("run", "pipeline"), [(self._about, 1)])
        states = [((each,), float(each == state)) for each in STATES]
        yield _gauge("run_state", "1 for the state that the run is in.", ("state",), states)
        waiting = [((row.name,), row.waiting) for row in rows]
        yield _gauge("batches_waiting", "Batches that are left for the operator.", ("operator",), waiting)
        replicas = [(row, replica) for row in rows for replica in row.each]
        yield from self._counters(replicas)
        yield from _gauges(replicas)
        yield from _histograms(replicas)

    def _counters(self, replicas: list[tuple[OperatorProgress, ReplicaProgress]]) -> Iterator[Metric]:
        for key, (name, words) in COUNTERS.items():
            counter = CounterMetricFamily(f"interactem_{name}", words, labels=_EACH)
            for row, replica in replicas:
                # a source's time with messages that come in is not 0, there is none
                if key != "busy_seconds" or replica.statistics.totals[key]:
                    counter.add_metric(_labels(row, replica), self._risen(key, row, replica))
            yield counter
        restarts = CounterMetricFamily("interactem_replica_restarts", "Times that it was started again.", labels=_EACH)
        author = CounterMetricFamily(
            "interactem_author_count", "What the operator's author counts.", labels=(*_EACH, "name")
        )
        for row, replica in replicas:
            restarts.add_metric(_labels(row, replica), replica.restarts)
            for name, value in replica.statistics.counters.items():
                author.add_metric([*_labels(row, replica), name], value)
        yield restarts
        yield author

    def _risen(self, key: str, row: OperatorProgress, replica: ReplicaProgress) -> float:
        """The count, which never goes back: a replica takes back what it made when a call failed half-way."""
        place = (key, *_labels(row, replica))
        value = max(self._counted.get(place, 0), replica.statistics.totals[key])
        self._counted[place] = value
        return value


def _gauges(replicas: list[tuple[OperatorProgress, ReplicaProgress]]) -> Iterator[Metric]:
    running = [(_labels(row, replica), float(replica.running)) for row, replica in replicas]
    yield _gauge("replica_running", "1 while the replica runs.", _EACH, running)
    for key, (name, words) in GAUGES.items():
        told = [(row, replica) for row, replica in replicas if key in replica.statistics.latest]
        values = [(_labels(row, replica), replica.statistics.latest[key]) for row, replica in told]
        yield _gauge(name, words, _EACH, values)
    on = [(_labels(row, replica), replica.gpu) for row, replica in replicas if replica.gpu is not None]
    memory = [(labels, use.memory) for labels, use in on if use.memory is not None]
    yield _gauge("gpu_memory_bytes", "GPU memory that the replica's processes hold.", _EACH, memory)
    busy = [(labels, use.utilization) for labels, use in on if use.utilization is not None]
    yield _gauge("gpu_utilization_ratio", "How busy the GPU is that the replica uses.", _EACH, busy)
    come = [(_labels(row, r), r.statistics.progress / 100) for row, r in replicas if r.statistics.progress is not None]
    yield _gauge("progress_ratio", "How far the replica has come, as its author tells it.", _EACH, come)
    author = [
        ((*_labels(row, replica), name), value)
        for row, replica in replicas
        if replica.running
        for name, value in replica.statistics.gauges.items()
    ]
    yield _gauge("author_gauge", "What the operator's author sets.", (*_EACH, "name"), author)


def _histograms(replicas: list[tuple[OperatorProgress, ReplicaProgress]]) -> Iterator[Metric]:
    for key, (name, words) in HISTOGRAMS.items():
        family = HistogramMetricFamily(f"interactem_{name}", words, labels=_EACH)
        for row, replica in replicas:
            histogram = replica.statistics.times[key]
            if histogram.buckets:
                family.add_metric(_labels(row, replica), _buckets(histogram), histogram.sum)
        yield family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    below = zip(map(floatToGoString, BOUNDS), histogram.below(BOUNDS), strict=True)
    return [*below, ("+Inf", histogram.count)]


def _gauge(name: str, words: str, labels: tuple[str, ...], values: Iterable[tuple[Iterable[str], float]]) -> Metric:
    gauge = GaugeMetricFamily(f"interactem_{name}", words, labels=labels)
    for of, value in values:
        gauge.add_metric(tuple(of), value)
    return gauge


def _labels(row: OperatorProgress, replica: ReplicaProgress) -> tuple[str, str]:
    return row.name, str(replica.index)


class MetricsServer:
    """Answers at `/metrics` from when it is made until `close`, for whoever reaches it: on loopback, this machine.

    Port 0 is one that is free; `url` has which. Raises `MetricsError` where it cannot listen there.
    """

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.metrics = RunMetrics()
        registry = CollectorRegistry()
        registry.register(self.metrics)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except (OSError, OverflowError) as error:
            raise MetricsError(host, port, getattr(error, "strerror", None) or str(error)) from None
        self.host, self.port = host, int(self._server.server_port)

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/metrics"

    def close(self) -> None:
        """Answer no more. May be called again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
