"""Faults, done to a run that is under way."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

from chaos.runs import Login, Run
from chaos.schedules import Fault
from chaos.servers import Server
from chaos.stores import Quotas

STARTING_SECONDS = 2.0
AGAIN_SECONDS = 0.3

Undo = Callable[[], bool]
"""Ends a fault that lasts; False where that has to be tried again."""


class Injector:
    """`inject` does one fault; `tend` ends those whose time is up, and is called again and again."""

    def __init__(self, run: Run, server: Server | None) -> None:
        self._run = run
        self._server = server
        self._pending: list[tuple[float, Undo]] = []
        self._quotas = Quotas()
        self.injected: Counter[str] = Counter()
        self.orphans: list[str] = []
        """What was left of a run whose supervisor was killed."""

    def inject(self, fault: Fault) -> bool:
        """False where there was nothing to do it to."""
        done = ACTIONS[fault.kind](self, fault)
        self.injected[fault.kind] += done
        return done

    def tend(self) -> None:
        now = time.monotonic()
        for entry in [entry for entry in self._pending if entry[0] <= now]:
            self._pending.remove(entry)
            if not entry[1]():
                self._later(AGAIN_SECONDS, entry[1])
        if self._server is not None:
            self._server.revive()

    @property
    def over(self) -> bool:
        """Whether nothing lasts any more."""
        return not self._pending

    def _later(self, seconds: float, undo: Undo) -> None:
        self._pending.append((time.monotonic() + seconds, undo))

    # who there is

    def _chosen(self, pick: float) -> tuple[str, tuple[int, ...]] | None:
        replicas = sorted(self._run.replicas().items())
        return replicas[int(pick * len(replicas))] if replicas else None

    def _broker(self) -> int | None:
        return self._run.broker() if self._server is None else self._server.process.pid

    # killing

    def _kill_replica(self, fault: Fault) -> bool:
        chosen = self._chosen(fault.pick)
        return chosen is not None and _signal_all(chosen[1], signal.SIGKILL)

    def _kill_all_replicas(self, fault: Fault) -> bool:
        return sum([_signal_all(pids, signal.SIGKILL) for pids in self._run.replicas().values()]) > 0

    def _kill_broker(self, fault: Fault) -> bool:
        return _signal(self._broker(), signal.SIGKILL)

    def _kill_broker_twice(self, fault: Fault) -> bool:
        """The second time as soon as there is another."""
        first = self._broker()
        if not _signal(first, signal.SIGKILL):
            return False
        until = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < until:
            if (second := self._broker()) not in (None, first):
                return _signal(second, signal.SIGKILL)
            time.sleep(0.001)
        return True  # it was killed once

    def _kill_supervisor(self, fault: Fault) -> bool:
        if not _signal(self._run.supervisor, signal.SIGKILL):
            return False
        self.orphans += self._run.succeed()
        return True

    # stopping

    def _stop_replica(self, fault: Fault) -> bool:
        chosen = self._chosen(fault.pick)
        return chosen is not None and self._stop(fault.seconds, *chosen[1])

    def _stop_broker(self, fault: Fault) -> bool:
        return self._stop(fault.seconds, self._broker())

    def _stop_supervisor(self, fault: Fault) -> bool:
        return self._stop(fault.seconds, self._run.supervisor)

    def _stop(self, seconds: float, *pids: int | None) -> bool:
        if not _signal_all(pids, signal.SIGSTOP):
            return False
        self._later(seconds, lambda: _signal_all(pids, signal.SIGCONT) or True)
        return True

    # the store

    def _fill_store(self, fault: Fault) -> bool:
        login = self._login()
        if login is None or not self._quotas.take(login):
            self._later(0, self._give_back)  # some of it may be taken
            return False
        self._later(fault.seconds, self._give_back)
        return True

    def _give_back(self) -> bool:
        login = self._login()
        return login is not None and self._quotas.give_back(login)

    def _login(self) -> Login | None:
        return self._run.login() if self._server is None else Login(self._server.direct_url, None)

    # connections

    def _cut(self, fault: Fault) -> bool:
        """Of one client, or of all."""
        if self._server is None or not (name := self._client(fault)):
            return False
        self._server.proxy.cut(None if "all" in fault.kind else name)
        return True

    def _stall(self, fault: Fault) -> bool:
        if self._server is None or not (name := self._client(fault)):
            return False
        self._server.proxy.stall(fault.seconds, None if "all" in fault.kind else name)
        return True

    def _kill_replica_late(self, fault: Fault) -> bool:
        """What it had sent arrives when the next incarnation is already at work."""
        chosen = self._chosen(fault.pick)
        if self._server is None or chosen is None:
            return False
        client = next((name for name in self._server.proxy.names() if self._run.is_client(name, chosen[0])), None)
        if client is None:
            return False
        self._server.proxy.stall(fault.seconds, client)
        time.sleep(0.05)  # it goes on sending
        return _signal_all(chosen[1], signal.SIGKILL)

    def _client(self, fault: Fault) -> str | None:
        names = self._server.proxy.names() if self._server is not None else []
        return names[int(fault.pick * len(names))] if names else None


ACTIONS: dict[str, Callable[[Injector, Fault], bool]] = {
    "kill replica": Injector._kill_replica,
    "kill all replicas": Injector._kill_all_replicas,
    "kill broker": Injector._kill_broker,
    "kill broker twice": Injector._kill_broker_twice,
    "kill supervisor": Injector._kill_supervisor,
    "stop replica": Injector._stop_replica,
    "stop replica for long": Injector._stop_replica,
    "stop broker": Injector._stop_broker,
    "stop broker for long": Injector._stop_broker,
    "stop supervisor": Injector._stop_supervisor,
    "stop supervisor for long": Injector._stop_supervisor,
    "fill store": Injector._fill_store,
    "cut one connection": Injector._cut,
    "cut all connections": Injector._cut,
    "stall one connection": Injector._stall,
    "stall all connections": Injector._stall,
    "kill replica, its messages late": Injector._kill_replica_late,
}


def _signal_all(pids: Iterable[int | None], number: int) -> bool:
    """Whether there was one of them to signal."""
    return sum(_signal(pid, number) for pid in pids) > 0


def _signal(pid: int | None, number: int) -> bool:
    """Whether there was somebody to signal."""
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
