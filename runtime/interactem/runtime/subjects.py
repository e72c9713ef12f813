"""The names of a run's streams, consumers and subjects in the broker.

Everything is named by the run's id and an index in the plan; people's names never appear in them. Who may use what is
told by subject alone (the engine's `permissions`), so whatever belongs to one operator can be told by its subject.

| what | stream | subject |
|---|---|---|
| messages of an output port | `i-<run>-s<stream>` | `i.<run>.s.<stream>.<lane>` (see `routing`) |
| messages that failed and are tried again | `i-<run>-t<operator>` | `i.<run>.t.<edge>.<partition>` |
| dead letters | `i-<run>-d` | `i.<run>.d.<edge>.<hash of the message's id>` |
| control: what the engine tells an operator's replicas | `i-<run>-c<operator>` | `i.<run>.c.<operator>.<kind>` |
| records: what a replica stores | `i-<run>-r` | `i.<run>.r.<operator>.<replica>.<kind>` |
| blobs: what is too large for one NATS message | `i-<run>-b` | `i.<run>.b.<edge>.<blob>.<chunk>` |
| pieces of a record that is too large for one | `i-<run>-b` | `i.<run>.k.<operator>.<replica>.<record>.<chunk>` |
| reports: a replica's numbers, not stored | | `i.<run>.m.<operator>.<replica>` |
| released: blocks of shared memory that a reader is done with, not stored | | `i.<run>.f.<edge>.<replica>` |
| events: what went wrong in a replica, not stored | | `i.<run>.e.<operator>.<replica>` |
| numbers: those of all operators, from the supervisor, not stored | | `i.<run>.n` |

Streams in which the broker looks for ids that it has already, or which are asked by what stands in a question's body,
have one operator to write to them: no other one can make an id known there before its time, or ask for more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """The names that belong to one run."""

    run: str

    def stream(self, stream: int) -> str:
        return f"i-{self.run}-s{stream}"

    def messages(self, stream: int, lane: int | str) -> str:
        return f"i.{self.run}.s.{stream}.{lane}"

    def consumer(self, edge: int, partition: int) -> str:
        return f"e{edge}p{partition}"

    def consumer_info(self, stream: int, edge: int, partition: int) -> str:
        """Where the server says how far a consumer is."""
        return f"$JS.API.CONSUMER.INFO.{self.stream(stream)}.{self.consumer(edge, partition)}"

    def own_consumer_info(self, edge: int, partition: int) -> str:
        """The same for a replica that has an account of its own, in which there are no streams."""
        return f"i.{self.run}.q.{edge}.{partition}"

    def retry_stream(self, operator: int) -> str:
        return f"i-{self.run}-t{operator}"

    def retry(self, edge: int | str, partition: int | str) -> str:
        return f"i.{self.run}.t.{edge}.{partition}"

    @property
    def dead_stream(self) -> str:
        return f"i-{self.run}-d"

    def dead(self, edge: int | str, message_id: str) -> str:
        return f"i.{self.run}.d.{edge}.{message_id if message_id == '*' else short_hash(message_id)}"

    def control_stream(self, operator: int) -> str:
        return f"i-{self.run}-c{operator}"

    def control(self, operator: int | str, kind: str) -> str:
        return f"i.{self.run}.c.{operator}.{kind}"

    def crash(self, operator: int, edge: int, message_id: str) -> str:
        """Where it stands that a message has ended its kernel's process."""
        return self.control(operator, f"crash.{short_hash(f'{edge}:{message_id}')}")

    def side_input(self, operator: int, side: int) -> str:
        """Where an operator is told of the latest value of another one, a side input of it."""
        return self.control(operator, f"side.{side}")

    @property
    def record_stream(self) -> str:
        return f"i-{self.run}-r"

    def record(self, operator: int | str, replica: int | str, kind: str) -> str:
        return f"i.{self.run}.r.{operator}.{replica}.{kind}"

    @property
    def blob_stream(self) -> str:
        return f"i-{self.run}-b"

    def blob(self, edge: int | str, name: str, chunk: int | str) -> str:
        return f"i.{self.run}.b.{edge}.{name}.{chunk}"

    def piece(self, operator: int | str, replica: int | str, name: str, chunk: int | str) -> str:
        return f"i.{self.run}.k.{operator}.{replica}.{name}.{chunk}"

    def report(self, operator: int | str, replica: int | str) -> str:
        return f"i.{self.run}.m.{operator}.{replica}"

    @property
    def numbers(self) -> str:
        """Where the supervisor tells the numbers of all operators. Nothing of it is stored."""
        return f"i.{self.run}.n"

    def released(self, edge: int, replica: int | str) -> str:
        """Where a reader says which blocks of shared memory it is done with."""
        return f"i.{self.run}.f.{edge}.{replica}"

    def events(self, operator: int | str, replica: int | str) -> str:
        return f"i.{self.run}.e.{operator}.{replica}"

    def pokes(self, operator: int | str) -> str:
        """Where triggers are pulled. Nothing of it is stored."""
        return f"i.{self.run}.p.{operator}"

    def answers(self, operator: int | str, replica: int | str) -> str:
        """Where a replica says that it has done what it was told."""
        return f"i.{self.run}.a.{operator}.{replica}"


def short_hash(text: str) -> str:
    """A token that may stand in a subject, for any text."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
