"""`python -m interactem.runtime path/to/run.py`: one replica, configured by its environment alone (see `settings`).

Ends with 0 when the replica is done or was asked to stop, 1 where its dependencies cannot be set up, 2 for wrong
settings, 3 where `run.py` does not load, 4 when the broker is gone, 5 where a source or a finish function failed for
the last time, there can be no state, a side input has no value, or a message's data is gone from shared memory, 6 where
others have done its work.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from interactem.runtime.context import Context
from interactem.runtime.errors import (
    ArenaLostError,
    CancelledCall,
    InteractemRuntimeError,
    LoadError,
    OvertakenError,
    SettingsError,
    SetUpError,
    StateError,
    StateTooLargeError,
    TransportError,
)
from interactem.runtime.init import stand_behind_init
from interactem.runtime.loading import load, user_traceback
from interactem.runtime.logs import carry
from interactem.runtime.replica import FinishError, Replica, SideInputError, SourceError
from interactem.runtime.secrets import Secrets
from interactem.runtime.settings import Settings
from interactem.runtime.slot import Slot
from interactem.runtime.tether import die_with_parent
from interactem.runtime.tracing import Tracing
from interactem.runtime.transports.nats import NatsTransport

SWITCH_SECONDS = 0.001
"""How long the kernel's thread may keep the transport's waiting for the interpreter."""

OVERTAKEN = 6
"""The exit code of a replica that was stopped for so long that others have done its work."""

GARBAGE_OBJECTS = 20_000
"""A batch makes thousands of objects that end with it: looking for cycles among them is a fifth of a message's cost."""


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    log = logging.getLogger("interactem.operator")
    try:
        if len(arguments) != 1:
            raise SettingsError("give the path of one run.py")
        return _run(Path(arguments[0]), Settings.read(environment), log)
    except SettingsError as error:
        log.error("%s", error)
        return 2
    except LoadError as error:
        log.error("%s", error)
        return 3
    except TransportError as error:
        log.error("%s", error)
        return 4
    except SetUpError as error:
        log.error("%s\n%s", error, user_traceback(error.error))
        return 1
    except (SourceError, FinishError, StateError, StateTooLargeError, SideInputError, ArenaLostError) as error:
        log.error("%s", error)
        return 5
    except OvertakenError as error:
        log.error("%s", error)
        return OVERTAKEN


def _run(path: Path, settings: Settings, log: logging.Logger) -> int:
    if settings.parent is not None:
        die_with_parent(settings.parent)
    secrets = Secrets.read(settings.connections)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)
    with Slot(settings.slot) as slot:
        transport = NatsTransport(settings.address, settings.run, settings.operator, settings.replica, slot)
        transport.start()  # it connects while run.py is imported
        kernel = load(path, look=True)
        gc.freeze()
        assignment = transport.assignment()
        context = Context(
            operator=assignment.name,
            replica=settings.replica,
            replicas=assignment.replicas,
            run=settings.run,
            outputs=settings.outputs,
            work=settings.work,
            path_rules=settings.path_rules,
            logger=log,
            mask=secrets.mask,
        )
        context.tidy_up()
        carry(context)
        context.init_data = {**transport.parameters(), **secrets.connections}
        own = secrets.connections
        if any(entry.shm for entry in assignment.inputs) and settings.arenas is None:
            raise SettingsError(
                "INTERACTEM_ARENAS is not set, and messages come in shared memory: start the run with --no-shm"
            )
        replica = Replica(
            assignment, kernel, transport, context, parameters=own, slot=slot, arm=_end_after, arenas=settings.arenas,
            tracing=Tracing.wanted(os.environ, context),
        )  # fmt: skip
        _stop_when_asked(replica, slot)
        faulthandler.enable()
        # a call that outlasts its limit ends the process even while it keeps the interpreter to itself
        faulthandler.register(signal.SIGALRM, chain=True)
        try:
            replica.run()
        except CancelledCall:
            log.info("what the kernel was at is cancelled, and taken up again later")
        except InteractemRuntimeError as error:
            slot.leave()  # no message is to blame: the exit code says why, which counts outside of a call alone
            if isinstance(error, (SourceError, FinishError, SideInputError)):
                transport.close()  # what was reported has to arrive
            raise
        transport.close()
        slot.tell_kept()
    return 0


def _end_after(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _stop_when_asked(replica: Replica, slot: Slot) -> None:
    def stop(number: int, frame: object) -> None:
        slot.keep()
        replica.stop()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    stand_behind_init()
    if "INTERACTEM_STANDBY" in os.environ:
        from interactem.runtime.standby import become_replicas

        become_replicas(Path(sys.argv[1]), int(os.environ["INTERACTEM_STANDBY"]))
    sys.exit(main(sys.argv[1:], os.environ))
