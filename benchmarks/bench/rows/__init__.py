"""The rows, in the order of the table. A new one is a `Row` in a module of its own, and a line here."""

from bench.measurements import Row
from bench.rows.chain import CHAIN, CHAIN_PROCESS
from bench.rows.memory import MEMORY
from bench.rows.start import START

ROWS: tuple[Row, ...] = (CHAIN, CHAIN_PROCESS, START, MEMORY)
