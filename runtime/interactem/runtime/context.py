"""What a kernel may ask about its surroundings: the `context` that its signature can name."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import add as addition
from pathlib import Path
from typing import Any, TypeVar

from interactem.runtime.accumulators import Accumulator
from interactem.runtime.checkpoint import pack_value, unpack_value
from interactem.runtime.classes import Lifecycle
from interactem.runtime.errors import ConcurrentStateError, KeptValueError, SideInputError, StateError
from interactem.runtime.keyed import Keyed
from interactem.runtime.loops import Loop
from interactem.runtime.messages import BytesMessage
from interactem.runtime.path_mapping import PathRule, map_path
from interactem.runtime.publishing import Publishing
from interactem.runtime.secrets import Mask
from interactem.runtime.tables import Kept, Table, Tables
from interactem.runtime.telling import Telling

T = TypeVar("T")

KEPT = "kept"
"""What the names of working folders begin with that somebody is to look at."""


class Values(dict[str, Any]):
    """Side inputs by name; one that is not there says which are."""

    def __missing__(self, name: str) -> Any:
        there = ", ".join(sorted(self)) or "none"
        raise SideInputError(f"there is no side input {name!r} (there are: {there}); operator.json declares them")


@dataclass(slots=True)
class Context:
    """Handed to a kernel whose signature names `context`; one object for the life of a replica.

    `state` is a dict that the runtime stores durably, together with the ids of the messages that went into it,
    before these messages are acknowledged: after a crash the kernel goes on with exactly the state that matches
    what it will be given next. Its values are what msgpack holds, plus numpy arrays.

    `position` is for sources: how many times the source has yielded (or returned a message) that is already safe.
    A source that reads it promises to start there.
    """

    operator: str
    """The operator's name in the pipeline."""
    replica: int = 0
    """Index of this replica, from 0."""
    replicas: int = 1
    """How many replicas this operator has."""
    run: str = ""
    """Id of the run."""
    outputs: Path = Path("outputs")
    """Folder for what sinks write: the run's `outputs/`."""
    attempt: int = 1
    """Which attempt at the current message this is, from 1; in a batch, at the one that has failed most often."""
    trigger: str | None = None
    """The name of the trigger that this call answers; None in every other call."""
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("interactem.operator"))
    _state: dict[str, Any] = field(default_factory=dict)
    _position: int = 0
    _tables: Tables = field(default_factory=Tables)
    _kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    state_used: bool = False
    shared_input: bool = False
    """Whether a message may come to any of several replicas: then there can be no state."""
    concurrent: str = ""
    """By what mode or kind several messages are with the kernel at once, if they are: then there can be no state."""
    updates: bool = False
    """Whether this is a side input."""
    position_used: bool = False
    is_source: bool = False
    mask: Mask = field(default_factory=Mask)
    """Hides the values of connections in what is told of failures."""
    telling: Telling = field(default_factory=Telling)
    """What the author tells, for the replica's reports."""
    init_data: dict[str, Any] = field(default_factory=dict)
    """What the operator is started with: `--init-data`, in a pipeline its parameters then."""
    lifecycle: Lifecycle | None = None
    """Of an operator that is a class: its instance, and where it is."""
    loop: Loop | None = None
    """The event loop that coroutines run on, where it runs between calls too."""
    timeout: float | None = None
    """How long one call of the kernel may take, in seconds; None is for ever."""
    work: Path | None = None
    """Where working folders are made: the replica's own; None for the system's folder of temporary files."""
    path_rules: tuple[PathRule, ...] = ()
    """Where files lie on this machine that were named on another one."""
    side_inputs: dict[str, Any] = field(default_factory=Values)
    """The latest value of each side input, by the name that `operator.json` declares. Not to be changed."""
    reading: tuple[Any, int] = (None, 0)
    """Of a source that reads: the position that it reads from, and how many messages it is asked for at most."""
    _message: BytesMessage | None = None
    _attempts: list[int] = field(default_factory=list)
    _publishing: Publishing | None = None
    _folder: Path | None = None
    _folder_of: tuple[object, ...] = ()

    @property
    def message(self) -> BytesMessage | None:
        """The current message, as the kernel is given it; None in a call with none, or with several."""
        return self._message

    @property
    def message_id(self) -> str | None:
        """Id of the current message."""
        return None if self._message is None else self._message.id

    @property
    def attempts(self) -> list[int]:
        """Which attempt this is at each message of a batch, in their order; of one message, at that."""
        return self._attempts or [self.attempt]

    @property
    def state(self) -> dict[str, Any]:
        """Raises `StateError` where several replicas, or several calls, share their input in any order."""
        self._use_state()
        return self._state

    def _use_state(self) -> None:
        if self.updates:
            raise KeptValueError("context.state", "a side input stores its value alone")
        if self.concurrent:
            raise ConcurrentStateError(self.operator, self.concurrent)
        if self.shared_input:
            raise StateError(self.operator, self.replicas)
        self.state_used = True

    def keyed(self, name: str, type: type[T] | None = None) -> Keyed[T]:
        """A mapping of this name that is stored like `state`, of which a checkpoint stores only what has changed.

        Its keys are numbers, text, bytes, booleans, None and tuples of them; `1`, `1.0` and `True` are three keys. With
        a `type`, such as a pydantic model or a dataclass, its values are instances of that; without, what msgpack
        holds, plus numpy arrays. A value that a call has looked up and changed is stored too; a later call looks it up
        anew. Raises `StateError` as `state`, and `KeptValueError` in a source.
        """
        found = self._keep(("keyed", name), lambda table: Keyed(table, name, type))
        if not isinstance(found, Keyed):
            raise TypeError(name)
        return found

    def accumulator(self, name: str, start: Any = 0, add: Callable[[T, Any], T] = addition) -> Accumulator[T, Any]:
        """A value of this name that grows by `add(value, item)`, from `start` on, and is stored like `state`.

        A checkpoint stores the items that were added since the one before, however large the value is: what it costs
        does not grow. `add` returns the new value, which may be the old one changed. Raises as `keyed`.
        """
        found = self._keep(("accumulator", name), lambda table: Accumulator(table, name, start, add))
        if not isinstance(found, Accumulator):
            raise TypeError(name)
        return found

    def _keep(self, place: tuple[str, str], make: Callable[[Table[Any]], Kept]) -> Kept:
        self._use_state()
        if self.is_source:
            raise KeptValueError(f"context.{place[0]}({place[1]!r})", "a source has context.state alone")
        found = self._kept.get(place)
        if found is None:
            found = self._kept[place] = make(self._tables.table(":".join(place)))
        return found

    def _settle_kept(self) -> None:
        """What calls have changed of the values that they looked up is put into the tables."""
        for kept in self._kept.values():
            kept.settle()

    def _mark(self, beside: int = 0) -> Callable[[], None]:
        """What brings back what the author keeps to what it is now. So many of what is kept are not the author's."""
        state = pack_value(self._state) if self._state else b""
        keeps = len(self._kept) > beside
        if keeps:
            self._settle_kept()
        self._tables.mark(only_new=not keeps)

        def undo() -> None:
            self._state.clear()
            if state:
                self._state.update(unpack_value(state))
            self._tables.undo()
            for kept in self._kept.values():
                kept.undone()

        return undo

    def _roll_back(self) -> None:
        """What is kept is what it was at the last checkpoint."""
        self._tables.roll_back()
        for kept in self._kept.values():
            kept.forget()

    @property
    def position(self) -> int:
        self.position_used = True
        return self._position

    def counter(self, name: str, amount: float = 1) -> None:
        """Add to a number of the author's own, which only grows: it is told with the replica's others, in metrics too.

        It counts what is done, also a second time after a failure. Names are letters, digits and `_`. Raises
        `ValueError`, and `TypeError` for what is no number; so do `gauge` and `progress`.
        """
        self.telling.count(name, amount)

    def gauge(self, name: str, value: float) -> None:
        """Set a number of the author's own to what it is now."""
        self.telling.set(name, value)

    def progress(self, percent: float) -> None:
        """How far this replica has come with its work, from 0 to 100."""
        self.telling.come_to(percent)

    def status(self, text: str) -> None:
        """What this replica is at, in a few words."""
        self.telling.say(self.mask.text(text))

    def publish_image(self, name: str, array: Any) -> Path:
        """An image for somebody to look at while the run goes on; where it is, as a PNG.

        The array has the shape (rows, columns), or (rows, columns, 3 or 4). Values of uint8 and uint16 stay; others are
        scaled, from black to white. The latest one under a name takes the place of the one before. Raises `TypeError`
        and `ValueError` for what is no image, for more than 2**24 pixels, and more than 64 names.
        """
        return self._publisher().image(name, array)

    def publish_table(self, name: str, rows: Any, columns: Sequence[str] | None = None) -> Path:
        """A table likewise; where it is, as CSV.

        `rows` are lists, with the names of the `columns`, or dicts; or a dict has the columns by their names. Raises as
        `publish_image` does, for more than 100,000 rows too.
        """
        return self._publisher().table(name, rows, columns)

    def _publisher(self) -> Publishing:
        if self._publishing is None:
            self._publishing = Publishing(self.outputs, self.operator, self.replica)
        return self._publishing

    @property
    def folder(self) -> Path:
        """A working folder of the current message's own: empty at first, and gone when the message is done with."""
        call = (self.message_id, self.attempt, self._position, self.trigger)
        if self._folder is None or self._folder_of != call:
            self.remove_folder()
            self._folder, self._folder_of = self.make_folder("message"), call
        return self._folder

    def map_path(self, path: str) -> str:
        """Where a file lies on this machine that was named on another one, by `--path-mapping-rules`."""
        return map_path(self.path_rules, path)

    def tidy_up(self) -> None:
        """Remove what a replica that was killed has left where working folders are, but for those that were kept."""
        for folder in () if self.work is None else self.work.iterdir():
            if not folder.name.startswith(KEPT):
                shutil.rmtree(folder, ignore_errors=True)

    def make_folder(self, name: str) -> Path:
        """A new folder where working folders are; it stays until the replica starts again. Raises `OSError`."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work)).absolute()

    def remove_folder(self) -> None:
        """The current message's working folder is not needed any more."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def keep_folder(self) -> Path | None:
        """The current message's working folder stays for somebody to look at; where it is then."""
        folder, self._folder = self._folder, None
        return None if folder is None else folder.rename(folder.with_name(folder.name.replace("message", KEPT, 1)))
