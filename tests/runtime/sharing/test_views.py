"""The reader's side of shared memory: what a kernel sees, and what it may keep."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from interactem.runtime import BytesMessage, wire
from interactem.runtime.arena import Arena
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.batches import Batch
from interactem.runtime.errors import ArenaLostError, OvertakenError, WireError
from interactem.runtime.ids import file
from interactem.runtime.lending import lender
from interactem.runtime.outbox import Outbox
from interactem.runtime.packing import Packing
from interactem.runtime.references import References
from interactem.runtime.releasing import heard, told
from interactem.runtime.transports import Delivery, Store
from interactem.runtime.views import Views, arena_name

MEBIBYTE = 2**20
LOGGER = logging.getLogger("interactem.operator")


class Sender:
    """A replica that sends by shared memory, up to what it stores."""

    def __init__(self, root, *, arena=8 * MEBIBYTE, copies=False, **options):
        self.assignment = Assignment(
            "r", 3, "s", outputs=(Output("out", 0, 1, (5,), (4,), (1,), True),), arena=arena, **options
        )
        folder = root / arena_name(3, 0)
        folder.mkdir(exist_ok=True)
        self.outbox = Outbox(self.assignment)
        self.outbox.demand.limits = [1000]
        self.outbox.arena = self.arena = Arena(folder, arena, (5,))
        self.lines = []
        self.packing = Packing(self.assignment, self.outbox, copies=lambda: copies, told=self.lines.append)

    def send(self, *messages):
        made = []
        for number, message in enumerate(messages):
            self.packing.pack_into(made, message, *file(f"s.{number}"))
        self.outbox.send(made, 0)
        work = self.outbox.take()
        for number, item in enumerate(work.then):
            if item.stored is not None:
                item.stored(number + 1, False)
        return work

    def deliver(self, *messages):
        [item] = self.send(*messages).then
        return Delivery(5, item.payload, wire.FORMAT, "$JS.ACK", 1)


def opened(delivery, views):
    batch = Batch.open(delivery, "in")
    assert batch.look(views)
    return batch


@pytest.fixture
def root(tmp_path):
    return tmp_path


@pytest.fixture
def views(root):
    return Views(root, 2 * MEBIBYTE, LOGGER)


def array(size=MEBIBYTE, fill=7):
    return BytesMessage.from_array(np.full(size, fill, np.uint8), fill=fill)


def test_a_large_message_is_seen_where_it_lies(root, views):
    sender = Sender(root)
    delivery = sender.deliver(array(fill=7), BytesMessage(data=b"small"), array(fill=9))
    assert len(delivery.payload) < 1000
    batch = opened(delivery, views)
    first, second, third = batch.messages
    assert (first.array == 7).all() and (third.array == 9).all() and second.data == b"small"
    assert first.meta["fill"] == 7
    assert type(first.data) is memoryview and first.data.readonly and not first.array.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        first.array.flags.writeable = True
    assert [lease.size for lease in batch.leases] == [MEBIBYTE, MEBIBYTE]


def test_what_is_64_kb_or_less_travels_in_the_batch(root):
    sender = Sender(root)
    [item] = sender.send(BytesMessage(data=bytes(65_536))).then
    assert len(item.payload) > 65_536
    [item] = sender.send(BytesMessage(data=bytes(65_537))).then
    assert len(item.payload) < 1_000


def test_what_goes_into_a_checkpoint_stays_out_of_shared_memory(root):
    sender = Sender(root, copies=True)
    work = sender.send(array())
    assert sum(len(item.payload) for item in (*work.first, *work.then)) > MEBIBYTE
    assert sender.arena.held == 0


def test_what_does_not_fit_goes_through_the_broker_and_is_told_once(root):
    sender = Sender(root, arena=MEBIBYTE)
    work = sender.send(array(2 * MEBIBYTE))
    assert sum(len(item.payload) for item in work.first) == 2 * MEBIBYTE
    assert sender.lines == ["messages of 2 MiB do not fit into the arena of 1 MiB"]


def test_what_is_sent_does_not_change_with_its_author(root, views):
    data = np.full(MEBIBYTE, 1, np.uint8)
    delivery = Sender(root).deliver(BytesMessage.from_array(data))
    data[:] = 2
    assert (opened(delivery, views).messages[0].array == 1).all()


def test_non_contiguous_data_is_put_in_its_order(root, views):
    data = np.arange(2 * MEBIBYTE, dtype=np.uint32).reshape(1024, -1).T
    delivery = Sender(root, arena=16 * MEBIBYTE).deliver(BytesMessage.from_array(data))
    assert (opened(delivery, views).messages[0].array == data).all()


def test_a_block_that_was_freed_is_found_out(root, views):
    sender = Sender(root)
    delivery = sender.deliver(array())
    batch = opened(delivery, views)
    views.check(batch.leases)
    [lease] = batch.leases
    sender.arena.release(5, [(lease.number, lease.generation)])
    with pytest.raises(OvertakenError):
        views.check(batch.leases)
    assert not Batch.open(delivery, "in").look(views)


def test_another_arena_in_its_place_is_found_out(root, views, tmp_path):
    delivery = Sender(root).deliver(array())
    for path in (root / "3.0").iterdir():
        path.unlink()
    Sender(root).deliver(array(fill=1))
    with pytest.raises(ArenaLostError, match="a new one"):
        Batch.open(delivery, "in").look(views)
    with pytest.raises(ArenaLostError, match="--no-shm"):
        Batch.open(delivery, "in").look(Views(None, 0, LOGGER))


def test_what_a_kernel_keeps_is_held_until_it_lets_go(root, views):
    delivery = Sender(root).deliver(array(), array())
    batch = opened(delivery, views)
    row = batch.messages[1].array[10:20]
    batch.forget()
    assert [lease.alive for lease in delivery.leases] == [False, True]
    [kept] = views.kept_of(5, delivery.leases)
    assert views.kept == [(5, kept)] and views.let_go() == []
    del row
    assert views.let_go() == [(5, kept)]
    assert views.kept == []


def test_a_part_of_the_data_is_noticed_too(root, views):
    delivery = Sender(root).deliver(array())
    batch = opened(delivery, views)
    part = batch.messages[0].data[5:10]
    batch.forget()
    assert delivery.leases[0].alive
    assert bytes(part) == bytes([7]) * 5


def test_a_kernel_that_keeps_too_much_is_given_copies_and_told(root, views, caplog):
    sender = Sender(root)
    kept = []
    with caplog.at_level(logging.WARNING, "interactem.operator"):
        for _ in range(5):
            delivery = sender.deliver(array())
            batch = opened(delivery, views)
            kept.append(batch.messages[0].array)
            batch.forget()
            views.kept_of(5, delivery.leases)
    assert views.kept_bytes == 3 * MEBIBYTE
    assert all((one == 7).all() for one in kept)
    assert len(caplog.records) == 1 and "array.copy()" in caplog.text


def test_what_is_kept_is_looked_after_while_other_messages_come(root, views):
    """Somebody stopped this process for so long that the producer took back what its kernel keeps."""
    sender = Sender(root)
    delivery = sender.deliver(array())
    batch = opened(delivery, views)
    kept = batch.messages[0].array
    batch.forget()
    views.kept_of(5, delivery.leases)
    views.check([])
    sender.arena.release(5, [(delivery.leases[0].number, delivery.leases[0].generation)])
    with pytest.raises(OvertakenError):
        views.check([])
    del kept
    views.check([])


@pytest.mark.parametrize(
    "wrong",
    [
        [3, 0, bytes(16), [[0, 1, 0, 2**40]]],
        [3, 0, bytes(16), [[2**20, 1, 0, 5]]],
    ],
)
def test_a_reference_out_of_the_arena_is_refused(root, views, wrong):
    sender = Sender(root)
    sender.deliver(array())
    wrong[2] = sender.arena.identity
    payload = wire.encode([wire.pack(BytesMessage(), *file("s.0"))], {"blocks": wrong})
    with pytest.raises(WireError):
        Batch.open(Delivery(5, payload, wire.FORMAT, None), "in").look(views)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        [0, 0, b"", []],
        [0, 0, bytes(16), []],
        [0, 0, bytes(16), [[1, 2, 3]]],
        [0, 0, bytes(16), [[1, 2, 3, -4]]],
        [0, 0, bytes(16), [[1, 2, "3", 4]]],
        [-1, 0, bytes(16), [None]],
        [True, 0, bytes(16), [None]],
        [0, 0, bytes(15), [None]],
        [0, 0, bytes(16), 5],
    ],
)
def test_malformed_references_are_refused(wrong):
    with pytest.raises(WireError):
        References.of({"blocks": wrong}, 1)


def test_the_readers_of_version_2_are_not_handed_references():
    assert wire.FORMAT == "3 msgpack"
    wire.check_format("2 msgpack")


def test_what_readers_tell_is_understood_and_nothing_else(root, views):
    delivery = Sender(root).deliver(array(), array())
    batch = opened(delivery, views)
    first, second = delivery.leases
    payload = told([first], [second])
    assert heard(payload, 0) == ([(first.number, first.generation)], [(second.number, second.generation)])
    assert heard(payload, 1) == ([], [])
    for wrong in (b"", b"\xc1", wire.encode([]), b"\x80", b"\x82\xa4free\x80\xa4kept\x81\x00\x91\x01"):
        assert heard(wrong, 0) == ([], [])
    assert batch.messages


# memory that is written to before it is sent


@pytest.fixture
def lending(root):
    sender = Sender(root)
    token = lender.set(sender.packing.lend)
    yield sender
    lender.reset(token)


def test_empty_lies_in_shared_memory_and_sending_it_copies_nothing(lending, views):
    message = BytesMessage.empty((1024, 512), np.uint16, frame=3)
    message.array[:] = 5
    assert lending.arena.held == 1
    delivery = lending.deliver(message)
    assert lending.arena.held == 1
    [arrived] = opened(delivery, views).messages
    assert (arrived.array == 5).all() and arrived.array.shape == (1024, 512) and arrived.meta["frame"] == 3


def test_empty_cannot_be_written_to_once_it_is_sent(lending):
    message = BytesMessage.empty(MEBIBYTE, np.uint8)
    array = message.array
    lending.send(message)
    for written in (array, message.array):
        with pytest.raises(ValueError, match="read-only"):
            written[0] = 1


def test_empty_may_be_sent_several_times(lending, views):
    message = BytesMessage.empty(MEBIBYTE, np.uint8)
    message.array[:] = 4
    [item] = lending.send(message.to("out"), message.to("out")).then
    batch = opened(Delivery(5, item.payload, wire.FORMAT, None, 1), views)
    assert len({lease.number for lease in batch.leases}) == 1
    leases = [(lease.number, lease.generation) for lease in batch.leases]
    del message
    lending.arena.release(5, leases[:1])
    assert lending.arena.held == 1
    lending.arena.release(5, leases[1:])
    lending.arena.take(MEBIBYTE)
    assert lending.arena.held == 1, "the new one"


def test_empty_with_other_data_in_its_place_sends_that(lending, views):
    message = BytesMessage.empty(MEBIBYTE, np.uint8)
    message.data = bytes(MEBIBYTE)
    assert (opened(lending.deliver(message), views).messages[0].array == 0).all()


@pytest.mark.parametrize("size", [5, MEBIBYTE])
def test_empty_is_ordinary_memory_elsewhere(size):
    message = BytesMessage.empty(size, np.uint8, a=1)
    message.array[:] = 3
    [arrived] = wire.decode(wire.encode([wire.pack(message, *file("s.0"))])).messages
    assert (arrived.array == 3).all() and arrived.meta["a"] == 1
    with pytest.raises(ValueError, match="read-only"):
        message.array[0] = 1


def test_empty_of_what_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="cannot be sent"):
        BytesMessage.empty(5, object)


def test_what_a_replica_reads_is_told_by_its_assignment():
    made = Assignment("r", 0, "s", inputs=(Input(0, "in", 0, shm=True),), outputs=(Output("out", 0, shm=True),))
    assert Assignment.from_value(made.to_value()) == made
    older = {"version": 2, "run": "r", "operator": 0, "name": "s", "inputs": [], "outputs": []}
    assert Assignment.from_value(older).arena == 0


def test_a_store_of_the_small_ones_alone_has_nobody_to_tell(root):
    [item] = Sender(root).send(BytesMessage(data=b"x")).then
    assert isinstance(item, Store) and item.stored is None
