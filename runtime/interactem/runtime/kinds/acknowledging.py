"""How a source that reads is told up to where everything that it has sent is stored."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from interactem.runtime.failures import Failure, backoff, is_last
from interactem.runtime.kinds.sources import unpack_position

if TYPE_CHECKING:
    from interactem.runtime.calls import Caller
    from interactem.runtime.hearing import Hearing
    from interactem.runtime.reports import FailureLog, Reporter


class Acknowledging:
    """Tells a source up to where everything is stored. `stored` may come from the transport's thread."""

    def __init__(self, caller: Caller, reporter: Reporter, log: FailureLog) -> None:
        self._acknowledge = caller.kernel.acknowledge
        self._caller = caller
        self._reporter = reporter
        self._log = log
        self._stored = b""
        self._told = b""
        self._failures = 0
        self._again_at = 0.0

    def stored(self, position: bytes) -> None:
        """This position, encoded, is stored, and everything before it."""
        self._stored = position

    def look(self) -> None:
        """Call `ack` if there is something new to say, or something that it would not hear is to be said again."""
        if self._acknowledge is not None and self._stored != self._told and time.monotonic() >= self._again_at:
            self._tell(self._acknowledge)

    def end(self, hearing: Hearing, max_attempts: int) -> None:
        """Everything is stored: tell it, whatever it takes. Raises what `ack` raised `max_attempts` times in a row."""
        self._failures, self._again_at = 0, 0.0
        while self._acknowledge is not None and self._stored != self._told:
            error = self._tell(self._acknowledge)
            if error is not None and is_last(self._failures, max_attempts):
                raise error
            if hearing.stopped:
                return
            if error is not None:
                hearing.rest(backoff(self._failures))

    def _tell(self, acknowledge: Callable[[Any, Any], Any]) -> Exception | None:
        position, context = self._stored, self._caller.context
        self._caller.arm()
        try:
            result = acknowledge(context, unpack_position(position))
            if inspect.iscoroutine(result):
                self._caller._run(result)
        except Exception as error:
            self._failures += 1
            self._again_at = time.monotonic() + backoff(self._failures)
            failure = Failure.of(error, self._failures, context.mask.text)
            self._log.log("ack", failure)
            self._reporter.event("failure", {"reason": "ack", **failure.to_value()})
            return error
        finally:
            self._caller.disarm()
        self._told, self._failures = position, 0
        return None
