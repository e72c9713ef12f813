"""The parsers of outside data, each as a function of bytes that raises nothing but what it must not.

A target hands the bytes to one parser and uses what comes out of it as its callers do. The errors that the parser
documents are caught here; any other exception is a finding. Where JSON is parsed, the bytes are JSON, or the value of
a msgpack that is handed over as JSON: mutations of msgpack keep their shape more often.
"""

from __future__ import annotations

import atexit
import functools
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgpack

from interactem.engine.containers.frames import unframed
from interactem.engine.ends import Ends
from interactem.engine.errors import EngineError
from interactem.engine.heard import read_counts, read_events
from interactem.engine.images import containerfiles, labels
from interactem.engine.images.ignores import Ignores
from interactem.engine.images.names import ImageName
from interactem.engine.letters import _letter
from interactem.engine.permissions import is_own_delivery
from interactem.engine.plan import Plan, make_plan
from interactem.engine.progress import Tally
from interactem.engine.requirements import read_requirements
from interactem.runtime import checkpoint, slot, wire
from interactem.runtime.applied import AppliedIds
from interactem.runtime.arena_index import DATA, INDEX, Index
from interactem.runtime.assignment import Assignment, Input, Output
from interactem.runtime.batches import Batch
from interactem.runtime.casefiles import read_cases
from interactem.runtime.demand import kernel_and_waiting
from interactem.runtime.errors import ArenaLostError, ArrayError, OvertakenError, PathMappingError, WireError
from interactem.runtime.hearing import Hearing
from interactem.runtime.ids import file, origin, output_id, partition, redriven_id, runs_of, text
from interactem.runtime.messages import BytesMessage, MessageHeader
from interactem.runtime.outbox import Outbox
from interactem.runtime.path_mapping import map_path, parse_rules
from interactem.runtime.references import References
from interactem.runtime.reports import Counts, Reporter
from interactem.runtime.subjects import Names
from interactem.runtime.transports import Delivery, Record
from interactem.runtime.views import Views, arena_name
from interactem.spec import (
    Graph,
    SpecError,
    coerce,
    import_pipeline,
    parse_assignment,
    parse_operator,
    parse_pipeline,
    resolve_parameters,
    to_mermaid,
    to_svg,
    to_text,
)
from interactem.spec.connections import ConnectionsFile, ConnectionUse, resolve_connections
from interactem.spec.dotenv import parse_dotenv
from interactem.spec.templates import fill

RUN = "20260101-000000-abcd"
PARTS = {0: 1, 1: 3}
READING = Assignment(
    RUN, 1, "middle", inputs=(Input(0, "in", 0), Input(1, "more", 1, 3)), outputs=(Output("out", 2, 1, (2,), (2,)),)
)
OPERATOR = {
    "id": str(UUID(int=1)),
    "label": "Middle",
    "description": "what it does",
    "image": "ghcr.io/someone/middle:latest",
    "inputs": [{"name": "in", "label": "In", "type": "frame", "description": "frames"}],
    "outputs": [{"name": "out", "label": "Out", "type": "any", "description": ""}],
    "parameters": [
        {"name": "count", "type": "int", "label": "Count", "description": "", "default": "3", "required": True},
        {"name": "share", "type": "float", "label": "Share", "description": "", "default": "1e3", "required": False},
        {"name": "on", "type": "bool", "label": "On", "description": "", "default": "true", "required": False},
        {"name": "offsets.emd", "type": "mount", "label": "M", "description": "", "default": "~/x", "required": False},
        {
            "name": "way",
            "type": "str-enum",
            "options": ["", "a"],
            "label": "W",
            "description": "",
            "default": "",
            "required": True,
        },
    ],
    "tags": [{"value": "x", "description": "y"}],
    "parallel_config": {"type": "embarrassing"},
    "triggers": [{"name": "go", "label": "Go", "description": "", "mode": "single"}],
}
SOURCE = OPERATOR | {"id": str(UUID(int=2)), "inputs": [], "parameters": []}
PIPELINE = {
    "name": "chain",
    "version": "1.0",
    "durability": "process",
    "operators": {
        "first": {"operator": "source"},
        "then": {"operator": "middle", "parameters": {"count": 4}, "replicas": 2, "max_attempts": 0, "timeout": 2.5},
    },
    "edges": [{"from": "first.out", "to": "then.in"}],
}
THEIRS = {
    "data": {
        "operators": [
            {
                "id": str(UUID(int=11)),
                "canonical_id": str(UUID(int=2)),
                "image": "x/source",
                "label": "S",
                "outputs": [str(UUID(int=21))],
            },
            {
                "id": str(UUID(int=12)),
                "canonical_id": str(UUID(int=1)),
                "image": "x/middle",
                "label": "M",
                "inputs": [str(UUID(int=22))],
                "parameters": [{"name": "count", "type": "int", "value": "4"}],
                "parallelism": 2,
            },
        ],
        "ports": [
            {
                "id": str(UUID(int=21)),
                "port_type": "output",
                "operator_id": str(UUID(int=11)),
                "index": 0,
                "portkey": "out",
            },
            {
                "id": str(UUID(int=22)),
                "port_type": "input",
                "operator_id": str(UUID(int=12)),
                "index": 0,
                "portkey": "in",
            },
        ],
        "edges": [{"input_id": str(UUID(int=21)), "output_id": str(UUID(int=22))}],
    }
}
CONNECTIONS = {"db": {"main": {"url": "http://${USER:me}:${PASSWORD}@host", "port": 1, "more": ["$${", {"a": None}]}}}
RULES = {
    "path_mapping_rules": [
        {"source_path_format": "WINDOWS", "source_path": "C:\\data", "destination_path": "/data"},
        {"source_path_format": "POSIX", "source_path": "/a/../b", "destination_path": "/c"},
    ]
}
CASES = [
    {
        "description": "d",
        "parameters": {"count": 1},
        "inputs": [{"port": "in", "array": {"dtype": "<u2", "data": [[1]]}}],
    },
    {"inputs": [{"text": "x", "meta": {"a": 1}}, {"base64": "AAE="}], "expect": [{"array": {"data": [1.5, None]}}]},
    {"inputs": [], "error": "ValueError: x", "outputs": {"a.npy": {"array": {"data": [1]}, "tolerance": 0.1}}},
]

CATALOG = {"middle": parse_operator(OPERATOR, "operator.json"), "source": parse_operator(SOURCE, "operator.json")}
GRAPH = Graph(parse_pipeline(PIPELINE, "pipeline.json"), CATALOG)
PLAN = make_plan(GRAPH, RUN, {}, max_payload=2**20, max_message=2**30)
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def json_of(data: bytes) -> bytes:
    """`data` if it looks like JSON, else the value of a msgpack as JSON, else the data."""
    if data[:1] in b'{[ \n"':
        return data
    try:
        value = msgpack.unpackb(data, strict_map_key=False)
        return json.dumps(value, default=str).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError):
        return data


def value_of(data: bytes) -> Any:
    try:
        return json.loads(json_of(data))
    except (ValueError, RecursionError):
        return None


def header_of(message: BytesMessage) -> MessageHeader | None:
    try:
        return message.header
    except WireError:
        return None


# the runtime


def fuzz_wire(data: bytes) -> None:
    try:
        batch = Batch.open(Delivery(0, data, wire.FORMAT, "$JS.ACK", 7), "in")
    except WireError:
        return
    assert sum(run.length for run in batch.runs) == len(batch.messages) == len(batch.ids) <= len(data)
    for message, (series, number) in zip(batch.messages, batch.ids, strict=True):
        assert file(text(series, number)) == (series, number)
        output_id(series, number, 3, 2)
        header = header_of(message)
        if header is None:
            continue
        try:
            wire.pack(message, series, number)
            wire.pack(BytesMessage(header, message.data), series, number)
        except WireError:
            pass
    effects(batch)
    again = wire.decode(wire.encode([wire.pack(m, *i) for m, i in zip(batch.messages, batch.ids, strict=True)]))
    assert again.ids == batch.ids
    assert [bytes(m.data) for m in again.messages] == [bytes(m.data) for m in batch.messages]
    slot_of = slot.Slot()
    slot_of.begin(0, batch.runs, batch.failed + 1)
    slot_of.close()


def effects(batch: Batch) -> None:
    """What a replica with effects does with the ids of a batch."""
    applied = AppliedIds(PARTS)
    for edge in PARTS:
        for run in batch.runs:
            applied.is_new(edge, run)
            applied.add_run(edge, run)
        for series, number in batch.ids:
            assert applied.seen(edge, series, number)
            partition(series, number, 3)
    for series, number in batch.ids:
        source, position = origin(series)
        applied.forget(source, (number if position is None else position) + 1)
        assert applied.seen(0, series, number)
    AppliedIds.from_value(msgpack.unpackb(msgpack.packb(applied.to_value()), strict_map_key=False), PARTS)


def fuzz_head(data: bytes) -> None:
    """A head that is well framed: the bytes are what stands in it."""
    fuzz_wire(len(data).to_bytes(4, "little") + data)
    fuzz_wire(len(data).to_bytes(4, "little") + data + b"hello")


def fuzz_about(data: bytes) -> None:
    """What is known about a batch of one message."""
    head = b"\x95\x91\x94\xa2s.\xa0\x00\x01\xc0\xc0\x91\x00" + data
    fuzz_wire(len(head).to_bytes(4, "little") + head)


def fuzz_meta(data: bytes) -> None:
    message = BytesMessage(data=data[:64])
    message._header = (data, b"\xc0")
    header_of(message)
    try:
        message.array  # noqa: B018
    except (ArrayError, WireError):
        pass


def fuzz_views(data: bytes) -> None:
    """References to shared memory, and what lies there."""
    try:
        references = References.of({"blocks": msgpack.unpackb(data)}, 1)
    except (WireError, ValueError, TypeError, msgpack.exceptions.UnpackException):
        return
    if references is None:
        return
    views = Views(arena_root(), 2**20, logging.getLogger("interactem.operator"))
    try:
        for view, lease in views.look(references):
            if view is not None and lease is not None:
                bytes(view)
                views.check([lease])
    except (WireError, ArenaLostError, OvertakenError) as error:
        str(error)


@functools.cache
def arena_root() -> Path:
    """An arena of one block, and folders with something else in their place."""
    root = _FOLDER / "arenas"
    for number, (index, size) in enumerate(((True, 65_536), (False, 0), (True, 100))):
        folder = root / arena_name(0, number)
        folder.mkdir(parents=True)
        (folder / DATA).write_bytes(b"d" * size)
        if index:
            made = Index.make(folder, 65_536)
            made.words[1], made.words[2] = (int.from_bytes(b"i" * 8, sys.byteorder),) * 2
            made.take(3, 4096, 100)
        else:
            os.mkfifo(folder / INDEX)
    return root


def fuzz_ids(data: bytes) -> None:
    given = data.decode("utf-8", "replace")
    series, number = file(given)
    assert text(series, number) == given
    origin(series)
    partition(series, number, 3)
    redriven_id(given, 1)
    made = output_id(series, number, 1, 0)
    assert file(text(*made)) == made
    [run] = runs_of([series], [number])
    assert run.ids() == [(series, number)]


def fuzz_checkpoint(data: bytes) -> None:
    try:
        found = checkpoint.decode(data, PARTS)
    except WireError:
        return
    again = checkpoint.decode(checkpoint.encode(found, checkpoint.encode_state(found.state)), PARTS)
    assert again.position == found.position


def fuzz_slot(data: bytes) -> None:
    path = _FOLDER / "slot"
    held = data[48:]
    path.write_bytes(
        data[:16].ljust(slot._IDS_AT, b"\0")
        + data[16:].ljust(slot._IDS_ROOM, b"\0")
        + held.ljust(slot._ENTRY * slot._ENTRIES, b"\0")
    )
    calls, replies = slot.read(path)
    for call in calls[:10]:
        Names(RUN).crash(1, call.edge, call.message_id)
        json.dumps({"edge": call.edge, "id": call.message_id, "attempts": call.attempt})
    for reply in replies:
        is_own_delivery(PLAN, PLAN.operators[1], 0, reply)


class _Nowhere:
    """A transport that has nothing, and takes everything."""

    waiting = False

    def report(self, subject: str, payload: bytes) -> None:
        pass


def fuzz_hearing(data: bytes) -> None:
    transport: Any = _Nowhere()
    outbox = Outbox(READING)
    reporter = Reporter(transport, "n", "e", Counts())
    hearing = Hearing(READING, transport, outbox, reporter, {"own": 1}, AppliedIds(PARTS).forget, "answers")
    payload = json_of(data)
    for kind in ("parameters", "finish", "drain", "crash.0", "watermarks", "assignment", "unheard-of"):
        hearing.hear(Record(f"i.{RUN}.c.1.{kind}", payload))
    outbox.demand.hear(2, data)
    kernel_and_waiting(data)
    assert hearing.parameters["own"] == 1


def fuzz_assignment(data: bytes) -> None:
    try:
        Assignment.from_value(value_of(data)).to_value()
    except (ValueError, TypeError, KeyError, AttributeError):  # of which its caller makes one error
        return


def fuzz_cases(data: bytes) -> None:
    folder = _FOLDER / "operator"
    (folder / "tests").mkdir(parents=True, exist_ok=True)
    (folder / "tests" / "case.json").write_bytes(json_of(data))
    try:
        read_cases(folder)
    except SpecError as error:
        str(error)


def fuzz_path_mapping(data: bytes) -> None:
    given = json_of(data).decode("utf-8", "surrogateescape")
    try:
        rules = parse_rules(given)
    except PathMappingError as error:
        str(error)
        return
    for path in ("C:\\data\\..\\x", "/b/../a/c/", "", "//x", given[:50]):
        map_path(rules, path)


# the engine


def fuzz_report(data: bytes) -> None:
    tally = Tally()
    if (counts := read_counts(data)) is not None:
        tally.hear(0, counts)
        tally.total("received")
        tally.close(0)


def fuzz_events(data: bytes) -> None:
    json.dumps(read_events(data))


def fuzz_finished(data: bytes) -> None:
    ends = Ends(PLAN, {o.index: Tally() for o in PLAN.operators})
    ends.hear(0, 0, json_of(data))


def fuzz_letter(data: bytes) -> None:
    try:
        json.dumps(_letter(PLAN, Names(RUN).dead(0, "x"), data).to_value(), default=str)
    except EngineError:
        pass


def fuzz_plan(data: bytes) -> None:
    try:
        Plan.from_value(value_of(data)).to_value()
    except ValueError:
        pass


def fuzz_containerfile(data: bytes) -> None:
    given = data.decode("utf-8", "replace")
    try:
        containerfiles.referenced_images(given, {"A": "x"})
    except containerfiles.ContainerfileError as error:
        str(error)
    labels.instruction({"a": given}, containerfiles.escape_of(given))


def fuzz_ignores(data: bytes) -> None:
    ignores = Ignores.of(data.decode("utf-8", "replace").splitlines())
    for path in ("a", "a/b/c.py", ".git", "x/__pycache__/y"):
        ignores.ignore(path)


def fuzz_requirements(data: bytes) -> None:
    folder = _FOLDER / "requirements"
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_bytes(data)
    try:
        read_requirements(folder)
    except EngineError as error:
        str(error)


def fuzz_image_name(data: bytes) -> None:
    try:
        name = ImageName.parse(text_of(data))
    except ValueError:
        return
    assert ImageName.parse(str(name)) == name


def fuzz_frames(data: bytes) -> None:
    half = len(data) // 2
    assert sum(len(part) for _, part in unframed([data[:half], data[half:]])) <= len(data)


# specs


def fuzz_operator(data: bytes) -> None:
    try:
        spec = parse_operator(json_of(data), "operator.json")
    except SpecError as error:
        str(error)
        return
    again = parse_operator(labels.encode_spec(spec), "label")
    assert again == spec
    try:
        resolve_parameters(spec, {parameter.name: "1" for parameter in spec.parameters})
    except SpecError as error:
        str(error)


def fuzz_pipeline(data: bytes) -> None:
    try:
        graph = Graph(parse_pipeline(json_of(data), "pipeline.json"), CATALOG).check()
    except SpecError as error:
        str(error)
        return
    to_text(graph)
    to_mermaid(graph)
    to_svg(graph)
    plan = make_plan(graph, RUN, {}, max_payload=2**20, max_message=2**30)
    assert Plan.from_value(json.loads(json.dumps(plan.to_value()))) == plan


def fuzz_import(data: bytes) -> None:
    try:
        made, notes = import_pipeline(json_of(data), catalog=CATALOG, source="theirs.json")
    except SpecError as error:
        str(error)
        return
    parse_pipeline(json.dumps(made), "ours.json")
    "\n".join(notes)


def fuzz_connections(data: bytes) -> None:
    use = ConnectionUse("then", "db", "@db.main", "pipeline.json", "$")
    try:
        file = ConnectionsFile(json_of(data), "connections.json")
        resolve_connections([use], file, {"USER": "u", "PASSWORD": "pass"})
    except SpecError as error:
        str(error)


def fuzz_dotenv(data: bytes) -> None:
    given = data.decode("utf-8", "replace")
    try:
        parse_dotenv(given, ".env")
    except SpecError as error:
        str(error)
    fill(given, {"A": "x"})


def fuzz_values(data: bytes) -> None:
    """A parameter as text, as `--set` gives it, and as a value of JSON."""
    for given in (text_of(data), value_of(data)):
        for parameter in CATALOG["middle"].parameters:
            try:
                coerce(parameter, given, "$")
            except SpecError as error:
                str(error)
    try:
        parse_assignment(text_of(data))
    except SpecError as error:
        str(error)


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...] = ()
    share: int = 1
    """How much of the time it gets, beside the others."""
    value: Any = None
    """A good input as a value, for targets that take one as msgpack."""
    most: int = 65_536
    """Bytes of the bombs that it is given: what people write by hand is short."""

    @property
    def name(self) -> str:
        return self.run.__name__.removeprefix("fuzz_")


def _batch() -> bytes:
    messages = [BytesMessage(MessageHeader(meta={"k": n}, tracking={"w": [n]}), b"abc" * n) for n in range(3)]
    return wire.encode([wire.pack(m, *file(f"s.{n}/1.0")) for n, m in enumerate(messages)], {"redriven": 1})


def _letter_seed() -> bytes:
    failure = {"attempts": 3, "error": "E", "traceback": "T"}
    told = {
        "failure": failure,
        "redriven": 1,
        "partition": 0,
        "time": 1.5,
        "not_before": 2.0,
        "blob": "x-1",
        "chunks": 2,
    }
    return wire.encode([wire.pack(BytesMessage(data=b"x"), *file("s.17/2.0"))], told)


def _checkpoint_seed() -> bytes:
    import numpy as np

    found = checkpoint.Checkpoint(state={"n": 1, "a": np.arange(3)}, outbox=[("i.x", b"p", "id")])
    for number in (0, 1, 5):
        found.applied.add(0, *file(f"s.{number}"))
    found.applied.forget("t", 4)
    return checkpoint.encode(found, checkpoint.encode_state(found.state))


def _slot_seed() -> bytes:
    one = slot.Slot()
    [run] = runs_of([file("s.17/1.0").series], [17])
    one.begin(1, [run], 2)
    one.current[0] = 1
    one.hold("$JS.ACK.x")
    content = bytes(one._map)
    return content[:16] + content[slot._IDS_AT : slot._IDS_AT + 32]


_ABOUT = {
    "failure": {"attempts": 1, "error": "E", "traceback": "T"},
    "not_before": 1.5,
    "redriven": 0,
    "partition": 0,
    "time": 1.5,
    "blob": "x-1",
    "chunks": 2,
    "blocks": [0, 0, b"i" * 16, [[3, 5, 4096, 100]]],
}
_TOLD = {"own": 2, "s": 4, "edge": 1, "id": "s.1", "attempts": 2, "error": "E"}
_REPORT = Counts().to_value()


def of_value(run: Callable[[bytes], None], value: Any, *seeds: bytes, share: int = 1) -> Target:
    """A target that takes JSON, or msgpack that stands for it."""
    return Target(run, (msgpack.packb(value), *seeds), share, value)


TARGETS = {
    target.name: target
    for target in (
        Target(fuzz_wire, (_batch(), _letter_seed()), 4),
        Target(fuzz_head, (_batch()[4:], _letter_seed()[4:]), 3),
        of_value(fuzz_about, _ABOUT, share=2),
        of_value(fuzz_views, _ABOUT["blocks"], share=2),
        of_value(fuzz_meta, {"dtype": "<u2", "shape": [2, 2]}, msgpack.packb(b"raw")),
        Target(fuzz_ids, (b"a.17/2.0/1.19", b"a~1~2.3/4", b"a!1.5/0.0")),
        of_value(fuzz_checkpoint, msgpack.unpackb(_checkpoint_seed(), strict_map_key=False), share=2),
        Target(fuzz_slot, (_slot_seed(),), 2),
        of_value(
            fuzz_hearing, _TOLD, json.dumps(_TOLD).encode(), msgpack.packb({"kernel": 0.1, "waiting": 2}), share=2
        ),
        of_value(fuzz_assignment, READING.to_value()),
        of_value(fuzz_cases, CASES, json.dumps(CASES).encode(), share=2),
        of_value(fuzz_path_mapping, RULES, json.dumps(RULES).encode()),
        of_value(fuzz_report, _REPORT),
        of_value(
            fuzz_events, {"events": [{"kind": "failure", "id": "s.1", "attempts": 2, "error": "E", "traceback": "T"}]}
        ),
        of_value(fuzz_finished, {"drained": False, "counts": _REPORT}),
        Target(fuzz_letter, (_letter_seed(),), 2),
        of_value(fuzz_plan, PLAN.to_value()),
        Target(
            fuzz_containerfile,
            (b"ARG A=x\nFROM ${A:-y}:1 AS b\nRUN <<EOT\nEOT\nCOPY --from=b a b\nRUN --mount=type=bind,from=c x\n",),
        ),
        Target(fuzz_ignores, (b"*.py\n!a/**/b\n[a-z]?c\n# x\n**\n",), most=500),
        Target(
            fuzz_requirements, (b"numpy>=1 # x\n-r other.txt\n-e ./x\nx @ file:///y\n./z[a]; python_version>'3'\\\n",)
        ),
        Target(fuzz_image_name, (b"ghcr.io:443/a/b-c:tag@sha256:" + b"0" * 64,)),
        Target(fuzz_frames, (b"\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\1x",)),
        of_value(fuzz_operator, OPERATOR, json.dumps(OPERATOR).encode(), share=2),
        of_value(fuzz_pipeline, PIPELINE, json.dumps(PIPELINE).encode(), share=2),
        of_value(fuzz_import, THEIRS, json.dumps(THEIRS).encode(), share=2),
        of_value(fuzz_connections, CONNECTIONS, json.dumps(CONNECTIONS).encode()),
        Target(fuzz_dotenv, (b"export A='b'\nC=\"d\\n\" # e\nF=${A:x}$${\n",)),
        Target(fuzz_values, (b"count=1e3", b"255", b"true", b"@db.main", b"then.count=4")),
    )
}
