"""How a replica is started as a container: from a launch to the container's options, by pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from interactem.engine.containers.engines import Abilities, Bind, Options
from interactem.engine.launchers import Launch, Place
from interactem.spec import Resources

NOBODYS_USER = 65532
"""What containers run as where the supervisor is root: a number that no user of the system has."""
PROCESSES = 1024
"""How many processes and threads a replica may have where nothing is said."""

RUN_LABEL = "interactem.run"
OPERATOR_LABEL = "interactem.operator"
REPLICA_LABEL = "interactem.replica"
SUPERVISOR_LABEL = "interactem.supervisor"
"""Which process, of all that there are and were on this machine, looks after the container."""
USER_LABEL = "interactem.user"
"""Whose the supervisor is."""

_ENVIRONMENT = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who starts containers: the supervisor's user, and the supervisor itself as `SUPERVISOR_LABEL` has it."""

    uid: int
    gid: int
    supervisor: str


@dataclass(frozen=True, slots=True)
class RunsAs:
    """Whom containers run as: user and group inside, and as the rest of the machine sees them."""

    user: int
    group: int
    outside: int
    keep: bool = False


def runs_as(identity: Identity, abilities: Abilities, engine: str) -> RunsAs:
    """Never root, except where that is nobody but ourselves."""
    if identity.uid == 0:
        return RunsAs(NOBODYS_USER, NOBODYS_USER, NOBODYS_USER)
    if abilities.rootless and engine == "docker":
        return RunsAs(0, 0, identity.uid)  # rootless docker maps its root, and nobody else, to us
    return RunsAs(identity.uid, identity.gid, identity.uid, keep=abilities.rootless)


def container_options(launch: Launch, identity: Identity, user: RunsAs, abilities: Abilities) -> Options:
    """The container of a launch, with the limits that this machine can set."""
    resources = launch.resources
    memory = resources.memory + launch.shared_memory if resources.memory and abilities.memory else None
    inside = {name: place.inside for name, place in launch.places.items()}
    return Options(
        name=container_name(launch),
        image=launch.image,
        command=launch.command,
        environment={**_ENVIRONMENT, **launch.environment, **inside},
        labels={
            RUN_LABEL: launch.run,
            OPERATOR_LABEL: launch.operator,
            REPLICA_LABEL: str(launch.replica),
            SUPERVISOR_LABEL: identity.supervisor,
            USER_LABEL: str(identity.uid),
        },
        user=f"{user.user}:{user.group}",
        keep_user=user.keep,
        same_users=abilities.remaps_users,
        binds=tuple(_bind(place) for place in (*launch.places.values(), *launch.binds)),
        memory=memory,
        swap=memory if abilities.swap else None,
        cpus=resources.cpus if abilities.cpus else None,
        processes=(resources.processes or PROCESSES) if abilities.processes else None,
        gpus=resources.gpus or 0,
    )


def _bind(place: Place) -> Bind:
    return Bind(str(place.path), place.inside, place.writable)


def container_name(launch: Launch) -> str:
    """What people see in the engine's own tools: run, operator and replica, and how often it was started before."""
    name = f"interactem-{launch.run}-{launch.operator}.{launch.replica}"
    return f"{name}.{launch.incarnation}" if launch.incarnation else name


def unset_limits(resources: Resources, abilities: Abilities) -> list[str]:
    """The limits that were asked for and that cannot be set on this machine."""
    wanted = {
        "memory": resources.memory is not None and not abilities.memory,
        "cpus": resources.cpus is not None and not abilities.cpus,
        "processes": not abilities.processes,
    }
    return [name for name, unset in wanted.items() if unset]
