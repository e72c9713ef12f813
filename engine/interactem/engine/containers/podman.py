"""Podman, through podman-py.

Containers are made from a body of our own: podman-py's own leaves out some options without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from interactem.engine.containers.engines import (
    CALL_SECONDS,
    Abilities,
    Bind,
    End,
    EngineName,
    Found,
    Image,
    Options,
    Output,
    PullProgress,
)
from interactem.engine.containers.errors import EngineRefusal, NoEngineError
from interactem.engine.containers.frames import FramedOutput
from interactem.engine.containers.references import is_local, with_algorithm
from interactem.engine.containers.sockets import answers

PERIOD = 100_000
"""Microseconds over which processor time is shared out."""
GONE = (404, 409)
"""The container is not there, or not in a state for it: it has ended."""
UNSTARTED = ("configured", "created", "initialized")
UNKNOWN = 137
"""To attach to one that has ended makes it anew, and how it ended is forgotten: as if somebody had killed it."""
CHUNK = 64 * 1024


def creation(options: Options) -> dict[str, Any]:
    """What podman is asked to make."""
    limits: dict[str, Any] = {}
    if options.memory is not None:
        limits["memory"] = {"limit": options.memory, "swap": options.swap}
    if options.cpus is not None:
        limits["cpu"] = {"period": PERIOD, "quota": round(options.cpus * PERIOD)}
    if options.processes is not None:
        limits["pids"] = {"limit": options.processes}
    temporary = {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp", "options": ["nosuid", "nodev", "mode=1777"]}
    body: dict[str, Any] = {
        "name": options.name,
        "image": options.image,
        "env": dict(options.environment),
        "labels": dict(options.labels),
        "user": options.user,
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "read_only_filesystem": True,
        "read_write_tmpfs": False,
        "selinux_opts": ["disable"],  # the files of the host that are bound have no labels for containers
        "netns": {"nsmode": "host"},
        "httpproxy": False,  # else a proxy's password, from the environment, would stand in what inspect shows
        "log_configuration": {"driver": "none"},  # what it prints comes to us as it prints it
        "healthconfig": {"Test": ["NONE"]},
        "mounts": [temporary, *map(_mount, options.binds)],
        "devices": [{"path": f"nvidia.com/gpu={number}"} for number in range(options.gpus)],
    }
    if limits:
        body["resource_limits"] = limits
    if options.command:
        body |= {"entrypoint": list(options.command), "command": []}
    if options.keep_user:
        body["userns"] = {"nsmode": "keep-id"}
    return body


def _mount(bind: Bind) -> dict[str, Any]:
    access = "rw" if bind.writable else "ro"
    return {
        "type": "bind",
        "source": bind.source,
        "destination": bind.target,
        "options": [access, "rbind", "nosuid", "nodev"],
    }


class PodmanEngine:
    """Podman's service at a socket."""

    name: EngineName = "podman"

    def __init__(self, socket: str) -> None:
        from podman import PodmanClient

        self.socket = socket
        address = f"http+unix://{socket}"
        self._client = PodmanClient(base_url=address, timeout=CALL_SECONDS, max_pool_size=32)
        self._patient = PodmanClient(base_url=address, max_pool_size=32)
        """For answers that take as long as they take."""

    @cached_property
    def _info(self) -> dict[str, Any]:
        return dict(self._get("/info"))

    @property
    def version(self) -> str:
        return str(self._info["version"]["Version"])

    def abilities(self) -> Abilities:
        host = self._info["host"]
        rootless = bool(host["security"]["rootless"])
        controllers = set(host.get("cgroupControllers") or ())
        memory = "memory" in controllers
        return Abilities(
            rootless=rootless, memory=memory, swap=memory, cpus="cpu" in controllers, processes="pids" in controllers
        )

    def image(self, reference: str) -> Image | None:
        try:
            found = self._get(f"/images/{reference}/json")
        except EngineRefusal as refusal:
            if refusal.missing:
                return None
            raise
        labels = (found.get("Config") or {}).get("Labels") or {}
        return Image(with_algorithm(found["Id"]), tuple(found.get("RepoDigests") or ()), labels)

    def pull(self, reference: str, progress: PullProgress) -> None:
        parameters = {"reference": reference, "tlsVerify": not is_local(reference), "policy": "always"}
        with self._translated():
            response = self._patient.api.post("/images/pull", params=parameters, stream=True)
            response.raise_for_status()
            for line in response.iter_lines():
                answer = json.loads(line)
                if answer.get("error"):
                    raise EngineRefusal(self.name, str(answer["error"]).strip())
                if said := str(answer.get("stream") or "").strip():
                    progress(said)

    def create(self, options: Options) -> tuple[str, list[str]]:
        made = self._post("/containers/create", body=creation(options))
        return made["Id"], list(made.get("Warnings") or ())

    def attach(self, container: str) -> Output:
        parameters = {"stream": True, "stdout": True, "stderr": True, "stdin": False, "logs": False}
        with self._translated():
            response = self._patient.api.post(f"/containers/{container}/attach", params=parameters, stream=True)
            response.raise_for_status()
        return FramedOutput(lambda: response.raw.read1(CHUNK), response.close, self._translated)

    def start(self, container: str) -> None:
        self._post(f"/containers/{container}/start")

    def runs(self, container: str) -> bool:
        return bool(self._state(container)["Running"])

    def signal(self, container: str, number: int) -> None:
        self._unless_gone("POST", f"/containers/{container}/kill", {"signal": str(number)})

    def wait(self, container: str) -> End:
        if self._state(container)["Status"] in UNSTARTED:
            return End(UNKNOWN, out_of_memory=False)
        with self._translated():
            parameters = {"condition": ["stopped", "exited"], "interval": "20ms"}
            self._patient.api.post(f"/containers/{container}/wait", params=parameters).raise_for_status()
        state = self._state(container)
        return End(int(state["ExitCode"]), bool(state["OOMKilled"]), str(state.get("Error") or ""))

    def _state(self, container: str) -> dict[str, Any]:
        return dict(self._get(f"/containers/{container}/json")["State"])

    def remove(self, container: str) -> None:
        # `force` alone asks first, and waits
        self._unless_gone(
            "DELETE", f"/containers/{container}", {"force": True, "volumes": True, "v": True, "timeout": 0}
        )

    def containers(self, labels: Mapping[str, str | None]) -> list[Found]:
        wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
        found = self._get("/containers/json", {"all": True, "filters": json.dumps({"label": wanted})})
        return [Found(each["Id"], each["Names"][0], each.get("Labels") or {}) for each in found]

    def close(self) -> None:
        for client in (self._client, self._patient):
            client.api.close()

    def _get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        with self._translated():
            response = self._client.api.get(path, params=parameters or {})
            response.raise_for_status()
            return response.json()

    def _post(self, path: str, *, body: Any = None) -> Any:
        with self._translated():
            data = None if body is None else json.dumps(body)
            response = self._client.api.post(path, data=data, headers={"Content-Type": "application/json"})
            response.raise_for_status()
            return response.json() if response.content else None

    def _unless_gone(self, method: str, path: str, parameters: Mapping[str, Any]) -> None:
        with self._translated():
            call = self._client.api.post if method == "POST" else self._client.api.delete
            response = call(path, params=parameters)
            if response.status_code not in GONE:
                response.raise_for_status()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Podman-py's errors, and those of what it is made of, as ours."""
        from podman.errors import APIError, PodmanError
        from urllib3.exceptions import HTTPError

        if not answers(self.socket):  # podman-py would leave a socket open
            raise NoEngineError(self.name, f"does not answer at {self.socket}", _ADVICE)
        try:
            yield
        except APIError as error:
            if error.response is None:
                raise NoEngineError(self.name, f"broke off at {self.socket}", _ADVICE) from None
            reason = str(error.explanation or error).strip()
            raise EngineRefusal(self.name, reason, missing=error.response.status_code == 404) from None
        except (PodmanError, HTTPError, OSError) as error:
            raise NoEngineError(self.name, f"broke off at {self.socket} ({error})", _ADVICE) from None


_ADVICE = "see whether it still runs: podman system service, or systemctl status podman.socket"
