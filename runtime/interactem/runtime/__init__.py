"""What runs inside an operator."""

from __future__ import annotations

from pathlib import Path

from interactem.runtime.classes import Operator
from interactem.runtime.context import Context
from interactem.runtime.dependencies import dependencies
from interactem.runtime.directories import data_directory
from interactem.runtime.errors import InteractemRuntimeError
from interactem.runtime.kinds.batch import BatchOperator
from interactem.runtime.kinds.reduce.reduction import Reduce
from interactem.runtime.kinds.side_inputs import SideInput
from interactem.runtime.kinds.sinks import Failed, Sink
from interactem.runtime.kinds.sources import EndOfStream, Source
from interactem.runtime.kinds.staged import StagedOperator
from interactem.runtime.messages import BytesMessage, MessageHeader, MessageSubject
from interactem.runtime.operators import operator
from interactem.runtime.windows import Every, Fixed, Session, Sliding, Window

__all__ = [
    "BatchOperator",
    "BytesMessage",
    "Context",
    "EndOfStream",
    "Every",
    "Failed",
    "Fixed",
    "InteractemRuntimeError",
    "MessageHeader",
    "MessageSubject",
    "Operator",
    "Reduce",
    "Session",
    "SideInput",
    "Sink",
    "Sliding",
    "Source",
    "StagedOperator",
    "Window",
    "data_directory",
    "dependencies",
    "operator",
]


def __getattr__(name: str) -> Path:
    # interactEM's name for it; read when it is asked for, not when this module is imported
    if name == "DATA_DIRECTORY":
        return data_directory()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
