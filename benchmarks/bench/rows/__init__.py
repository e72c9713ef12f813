"""The rows, in the order of the table. A new one is a `Row` in a module of its own, and a line here."""

from bench.measurements import Row
from bench.rows.chain import BATCH, CHAIN, REDUCE, TWO_HOPS
from bench.rows.large import FAN_OUT, HUGE, IN_PLACE, LARGE, REMOTE
from bench.rows.latency import LATENCY
from bench.rows.memory import MEMORY
from bench.rows.replicas import REPLICAS
from bench.rows.science import SCIENCE
from bench.rows.single import ADDED_LINES, DAEMON_RUN, FILE_TASKS
from bench.rows.small import DURABLE, SMALL
from bench.rows.start import START

ROWS: tuple[Row, ...] = (
    SMALL,
    DURABLE,
    CHAIN,
    BATCH,
    REDUCE,
    LARGE,
    HUGE,
    IN_PLACE,
    REMOTE,
    LATENCY,
    FAN_OUT,
    REPLICAS,
    SCIENCE,
    START,
    TWO_HOPS,
    FILE_TASKS,
    ADDED_LINES,
    DAEMON_RUN,
    MEMORY,
)
