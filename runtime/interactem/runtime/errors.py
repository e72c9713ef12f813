"""What can go wrong inside an operator.

InteractemRuntimeError
├── KernelError            the user's function is not one that we can call
│   └── LoadError          run.py does not import, or has no operator in it
├── ReturnTypeError        a kernel returned something that is not a message
├── BatchResultError       what a batch kernel returned does not fit its messages
├── PortError              a message was sent to a port that the operator does not have
├── FallbackError          a message is for a fallback that the pipeline connects to nothing
├── EdgeKeyError           a message has no key where an edge that takes it needs one
├── TagsError              a message's tags are not a list of texts
├── ArrayError             a message does not hold an array
├── SetUpError             the dependencies of a kernel cannot be set up
├── LifecycleError         a step of an operator's lifecycle is not its turn
├── ParameterError         a parameter's value does not fit its declaration
├── ParametersError        parameters do not fit the class that a kernel's are annotated with
├── CommandError           a command cannot be started, has failed, or answers what cannot be understood
│   └── CommandTimeoutError    it took longer than a call may
├── PathMappingError       path mapping rules are not what they should be
├── WireError              bytes from the broker are not a batch that we can read
├── MessageTooLargeError   a message is over the bound of what one message may hold
├── ArenaLostError         what a message refers to is not in shared memory any more
├── OvertakenError         the replica was stopped for so long that another one did its work
├── WorkerError            a worker process has died in a call, or cannot be started again
├── StateError             a kernel has state, but nothing says which replica's
│   └── ConcurrentStateError    several calls of the kernel would share it
├── KeptValueError         something cannot be kept in a table or accumulator
├── StateTooLargeError     what an operator keeps is more than the broker has room for
├── EventTimeError         a message does not say when it happened, and a window needs it
├── UnhashableKeyError     what a message is to be grouped by cannot be a key
├── SideInputError         a side input has no value, or one that cannot be stored
├── SettingsError          the environment does not say what the runtime needs to know
└── TransportError         the broker is gone, or does not do what it should
    └── SupersededError        another process has stored what this one was to replace
"""

from __future__ import annotations

from collections.abc import Sequence


class InteractemRuntimeError(Exception):
    """The base of all errors of this package."""


class KernelError(InteractemRuntimeError, TypeError):
    """The decorated function is not one that the runtime can call."""


class LoadError(KernelError):
    """A `run.py` does not import, or holds no operator."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ReturnTypeError(InteractemRuntimeError, TypeError):
    """A kernel returned (or yielded) something that is not a message."""

    def __init__(self, value: object) -> None:
        kind = type(value)
        super().__init__(
            f"the kernel returned a {kind.__module__}.{kind.__qualname__}; "
            "return a BytesMessage, a list of them, or None (arrays: BytesMessage.from_array(array))"
        )
        self.value = value


class BatchResultError(InteractemRuntimeError, ValueError):
    """A batch kernel has returned nothing for one of its messages, or something for none of them."""


class PortError(InteractemRuntimeError, ValueError):
    """A message names an output port that the operator does not declare."""

    def __init__(self, port: str, known: tuple[str, ...]) -> None:
        ports = ", ".join(known) or "none"
        super().__init__(f"there is no output port {port!r}; the operator declares: {ports}")
        self.port = port
        self.known = known


class FallbackError(InteractemRuntimeError, LookupError):
    """A message is for a fallback that nothing is connected to: it would be lost."""

    def __init__(self, port: str | None) -> None:
        super().__init__(f"nothing is connected to the fallback {port!r}: the message would be lost; add an edge to it")
        self.port = port


class EdgeKeyError(InteractemRuntimeError, LookupError):
    """A message has no key that an edge which takes it could be divided by.

    `edges` names the edges, `path` is the way to the key in the message's meta.
    """

    def __init__(self, edges: str, path: tuple[str, ...], reason: str) -> None:
        super().__init__(
            f"the message has no key meta.{'.'.join(path)}, by which the pipeline divides {edges}: {reason}; put text, "
            'bytes, a number, a boolean or None there, or give the edge a "when" that leaves such messages out'
        )
        self.edges = edges
        self.path = path


class TagsError(InteractemRuntimeError, TypeError):
    """A message's tags are not a list of texts."""

    def __init__(self, tags: object) -> None:
        super().__init__(f'tags are a list of texts that are not empty, such as ["even"], not {tags!r:.80}')
        self.tags = tags


class ArrayError(InteractemRuntimeError, ValueError):
    """The message does not describe a numpy array, or its data does not fit the description."""


class SetUpError(InteractemRuntimeError, RuntimeError):
    """The set-up of an operator's `@dependencies` raised `error`."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(f"{name}: its set-up failed: {type(error).__name__}: {error}")
        self.name = name
        self.error = error


class ParameterError(InteractemRuntimeError, ValueError):
    """A parameter's value does not fit its declaration."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"parameter {name!r}: {reason}")
        self.name = name
        self.reason = reason


class LifecycleError(InteractemRuntimeError, RuntimeError):
    """A step of an operator's lifecycle is not its turn. `possible` has the states in which it is."""

    def __init__(self, step: str, state: str, possible: tuple[str, ...]) -> None:
        super().__init__(f"{step} is not possible: the operator is {state}, and should be {' or '.join(possible)}")
        self.step = step
        self.state = state
        self.possible = possible


class ParametersError(InteractemRuntimeError, ValueError):
    """Parameters do not fit the pydantic class that the kernel's `parameters` are annotated with."""

    def __init__(self, model: str, problems: Sequence[str]) -> None:
        super().__init__(f"the parameters do not fit {model}: {'; '.join(problems)}")
        self.model = model
        self.problems = tuple(problems)


class CommandError(InteractemRuntimeError, RuntimeError):
    """The command that an operator wraps cannot be started, has failed, or answers what cannot be understood.

    `code` is its exit code, negative for a signal, where it has ended by itself.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class CommandTimeoutError(CommandError, TimeoutError):
    """A command took longer than a call may, and was ended."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the command took longer than its limit of {seconds:g} s, and was ended")
        self.seconds = seconds


class CancelledCall(BaseException):
    """A call was cancelled because the replica is to end: no failure of its message, which is taken up again later."""


class PathMappingError(InteractemRuntimeError, ValueError):
    """Path mapping rules are not what they should be. `problems` has all that is wrong with them."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class WireError(InteractemRuntimeError, ValueError):
    """Bytes from the broker are not a batch that this version can read."""


class MessageTooLargeError(InteractemRuntimeError, ValueError):
    """A message is over the bound of what one message may hold."""

    def __init__(self, size: int, bound: int, what: str = "data") -> None:
        super().__init__(f"{size:,} bytes of {what} are over a message's bound of {bound:,}; send it in smaller parts")
        self.size = size
        self.bound = bound


class ArenaLostError(InteractemRuntimeError):
    """A message's data was in shared memory, and is not any more."""


class OvertakenError(InteractemRuntimeError):
    """The replica was stopped for so long that its messages were done by another one, and their memory used again."""

    def __init__(self) -> None:
        super().__init__(
            "this replica was stopped for so long that another one did its work; it starts again, and nothing of what "
            "it was at is used"
        )


class StateError(InteractemRuntimeError):
    """A kernel uses `context.state` while its messages may come to any of several replicas."""

    def __init__(self, operator: str, replicas: int) -> None:
        super().__init__(
            f"{operator} uses context.state, but has {replicas} replicas that share its input in any order: "
            "the same message could come to two of them, and each would have a part of the state; set 1 "
            'replica, or give each edge that leads to it a "key"'
        )
        self.operator = operator
        self.replicas = replicas


class KeptValueError(InteractemRuntimeError, TypeError, ValueError):
    """A key or value cannot be kept in `context.keyed` or `context.accumulator`."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class StateTooLargeError(InteractemRuntimeError, ValueError):
    """What an operator keeps is more than the run's store has room for."""

    def __init__(self, size: int = 0, bound: int = 0) -> None:
        much = f"takes {size:,} bytes, over its bound of {bound:,}" if bound else "does not fit into the run's store"
        super().__init__(
            f"what this operator keeps {much}: keep less, or make room: the store is bounded by the free disk space"
        )
        self.size = size
        self.bound = bound


class EventTimeError(InteractemRuntimeError, ValueError):
    """A message does not say when it happened, and a window needs it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"no event time: {reason}; a window needs seconds since 1970 (UTC) as a number: set it in the meta where "
            "the message is made, or say where it is with @operator.reduce(event_time=…)"
        )


class UnhashableKeyError(InteractemRuntimeError, TypeError):
    """What a message is to be grouped by cannot be a key."""

    def __init__(self, key: object) -> None:
        kind = type(key)
        super().__init__(
            f"a {kind.__module__}.{kind.__qualname__} cannot be a key, as it is not hashable ({key!r:.80}): "
            "give text, numbers, bytes or tuples of them with @operator.reduce(key=lambda message: …)"
        )
        self.key = key


class SideInputError(InteractemRuntimeError, LookupError):
    """A side input has no value."""


class ConcurrentStateError(StateError):
    """A kernel uses `context.state` while other calls of it go on, or for several messages at once."""

    def __init__(self, operator: str, how: str) -> None:
        InteractemRuntimeError.__init__(
            self,
            f"{operator} uses context.state with {how}: what one message has changed could not be told from what the "
            "others have; keep state in an operator that is given one message after the other",
        )
        self.operator = operator
        self.how = how


class WorkerError(InteractemRuntimeError, RuntimeError):
    """A worker process of a kernel with `processes=` has died while it had a message."""


class SettingsError(InteractemRuntimeError, ValueError):
    """The environment does not say what the runtime needs to know."""


class TransportError(InteractemRuntimeError, ConnectionError):
    """The broker is gone for longer than we wait, or does not do what it should."""


class SupersededError(TransportError):
    """Another process has stored what this one was to replace: it is the one that goes on."""
