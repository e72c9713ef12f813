"""What a kernel may ask about its surroundings: the `context` that its signature can name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interactem.runtime.classes import Lifecycle
from interactem.runtime.errors import StateError
from interactem.runtime.loops import Loop
from interactem.runtime.messages import BytesMessage
from interactem.runtime.secrets import Mask
from interactem.runtime.telling import Telling


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
    """Which attempt at the current message this is, from 1."""
    trigger: str | None = None
    """The name of the trigger that this call answers; None in every other call."""
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("interactem.operator"))
    _state: dict[str, Any] = field(default_factory=dict)
    _position: int = 0
    state_used: bool = False
    shared_input: bool = False
    """Whether a message may come to any of several replicas: then there can be no state."""
    position_used: bool = False
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
    _message: BytesMessage | None = None

    @property
    def message_id(self) -> str | None:
        """Id of the current message."""
        return None if self._message is None else self._message.id

    @property
    def state(self) -> dict[str, Any]:
        """Raises `StateError` in one of several replicas that share their input in any order."""
        if self.shared_input:
            raise StateError(self.operator, self.replicas)
        self.state_used = True
        return self._state

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
