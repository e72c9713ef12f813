"""What supervisors and keepers say to each other."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from interactem.engine.detached import UNATTENDED_SECONDS, unattended_seconds
from interactem.engine.errors import BrokerError, EngineError, LaunchError, ReplicaError
from interactem.engine.kept import (
    connecting,
    error_from_value,
    error_to_value,
    exit_from_value,
    exit_to_value,
    launch_from_value,
    launch_to_value,
    listening,
    to_line,
)
from interactem.engine.launchers import Exit, Launch, Place
from interactem.runtime.errors import SettingsError
from interactem.spec import Resources


def ignore(line):
    """A log."""


LAUNCH = Launch(
    operator="partial",
    replica=1,
    incarnation=3,
    command=("/usr/bin/python", "-u", "run.py"),
    environment={"INTERACTEM_RUN": "run-1"},
    folder=Path("/runs/run-1"),
    log=ignore,
    run="run-1",
    image="sha256:1",
    places={"INTERACTEM_OUTPUTS": Place(Path("/runs/run-1/outputs"), "/interactem/outputs", writable=True, owned=True)},
    binds=(Place(Path("/data/scan.mib"), "/interactem/mounts/file/scan.mib"),),
    resources=Resources(memory=2**30, cpus=1.5),
    note={"deaths": 2, "kills": [[0, "numbers.0.7", 1]]},
)


def there_and_back(value):
    return json.loads(to_line(value))


def test_a_launch_arrives_as_it_was():
    assert launch_from_value(there_and_back(launch_to_value(LAUNCH)), ignore) == LAUNCH


@pytest.mark.parametrize("exit", [Exit(code=3), Exit(signal=signal.SIGKILL), Exit(signal=9, out_of_memory=True)])
def test_so_does_an_end(exit):
    assert exit_from_value(there_and_back(exit_to_value(exit))) == exit


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LaunchError("partial", 1, "no such file"), LaunchError),
        (BrokerError("it does not start", Path("/runs/run-1/broker/nats.log")), BrokerError),
        (BrokerError("it does not start"), BrokerError),
        (ReplicaError("partial.1", "it died"), EngineError),
    ],
)
def test_so_do_errors(error, kind):
    found = error_from_value(there_and_back(error_to_value(error)))
    assert (type(found), str(found)) == (kind, str(error))


def test_a_socket_in_a_folder_with_a_long_name(tmp_path):
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    with listening(folder / "keeper.sock") as server, connecting(folder / "keeper.sock") as client:
        server.setblocking(True)
        with server.accept()[0] as accepted:
            client.send(b"hello")
            assert accepted.recv(5) == b"hello"
    with pytest.raises(OSError, match="refused"):
        connecting(folder / "keeper.sock")
    with listening(folder / "keeper.sock"):  # in place of the one that was left
        connecting(folder / "keeper.sock").close()


@pytest.mark.parametrize(
    ("environment", "seconds"), [({}, UNATTENDED_SECONDS), ({"INTERACTEM_UNATTENDED_SECONDS": "0"}, 0.0)]
)
def test_how_long_a_run_works_on(environment, seconds):
    assert unattended_seconds(environment) == seconds


@pytest.mark.parametrize("given", ["soon", "-1", "inf", "nan"])
def test_what_is_no_time(given):
    with pytest.raises(SettingsError, match=f"INTERACTEM_UNATTENDED_SECONDS must be a number.*{given}"):
        unattended_seconds({"INTERACTEM_UNATTENDED_SECONDS": given})
