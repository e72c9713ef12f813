"""Docker Engine, through docker-py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from interactem.engine.containers.engines import (
    CALL_SECONDS,
    Abilities,
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
from interactem.engine.containers.references import split_reference, with_algorithm

GONE = (404, 409)
"""The container is not there, or not in a state for it: it has ended."""
CHUNK = 64 * 1024


def creation(options: Options) -> tuple[dict[str, Any], dict[str, Any]]:
    """What Docker is asked to make: docker-py's arguments of a container, and those of its host's part."""
    container: dict[str, Any] = {
        "name": options.name,
        "image": options.image,
        "command": None,
        "environment": dict(options.environment),
        "labels": dict(options.labels),
        "user": options.user,
        "healthcheck": {"test": ["NONE"]},
        "use_config_proxy": False,  # else a proxy's password would stand in what inspect shows
    }
    if options.command:
        container |= {"entrypoint": list(options.command), "command": []}
    host: dict[str, Any] = {
        "cap_drop": ["ALL"],
        # the files of the host that are bound have no labels of SELinux's for containers
        "security_opt": ["no-new-privileges", "label=disable"],
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,exec,mode=1777"},
        "network_mode": "host",
        "log_config": {"type": "none", "config": {}},  # what it prints comes to us as it prints it
        "mounts": [
            {"Type": "bind", "Source": bind.source, "Target": bind.target, "ReadOnly": not bind.writable}
            for bind in options.binds
        ],
        "mem_limit": options.memory,
        "memswap_limit": options.swap,
        "nano_cpus": None if options.cpus is None else round(options.cpus * 1e9),
        "pids_limit": options.processes,
        "device_requests": [{"Count": options.gpus, "Capabilities": [["gpu"]]}] if options.gpus else None,
        "userns_mode": "host" if options.same_users else None,
    }
    return container, {name: value for name, value in host.items() if value is not None}


class DockerEngine:
    """Docker's daemon at a socket."""

    name: EngineName = "docker"

    def __init__(self, socket: str) -> None:
        self.socket = socket
        with self._translated():
            # asks the daemon for its version: an old one does not know the newest
            self._client = self._made(CALL_SECONDS)
            self._patient = self._made(None)
            """For answers that take as long as they take."""

    def _made(self, seconds: float | None) -> Any:
        from docker import APIClient

        return APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=seconds, num_pools=64)

    @cached_property
    def _info(self) -> dict[str, Any]:
        with self._translated():
            return dict(self._client.info())

    @property
    def version(self) -> str:
        return str(self._info["ServerVersion"])

    def abilities(self) -> Abilities:
        info = self._info
        security = " ".join(info.get("SecurityOptions") or ())
        return Abilities(
            rootless="name=rootless" in security,
            remaps_users="name=userns" in security,
            memory=bool(info.get("MemoryLimit")),
            swap=bool(info.get("SwapLimit")),
            cpus=bool(info.get("CpuCfsQuota")),
            processes=bool(info.get("PidsLimit")),
        )

    def image(self, reference: str) -> Image | None:
        try:
            with self._translated():
                found = self._client.inspect_image(reference)
        except EngineRefusal as refusal:
            if refusal.missing:
                return None
            raise
        labels = (found.get("Config") or {}).get("Labels") or {}
        return Image(with_algorithm(found["Id"]), tuple(found.get("RepoDigests") or ()), labels)

    def pull(self, reference: str, progress: PullProgress) -> None:
        repository, version = split_reference(reference)
        layers: dict[str, tuple[int, int]] = {}
        with self._translated():
            for answer in self._patient.pull(repository, tag=version, stream=True, decode=True):
                if answer.get("error"):
                    raise EngineRefusal(self.name, str(answer["error"]).strip())
                said = _said(answer, layers)
                if said:
                    progress(said)

    def create(self, options: Options) -> tuple[str, list[str]]:
        container, host = creation(options)
        with self._translated():
            made = self._client.create_container(host_config=self._client.create_host_config(**host), **container)
        return made["Id"], list(made.get("Warnings") or ())

    def attach(self, container: str) -> Output:
        parameters = {"stdout": 1, "stderr": 1, "stream": 1, "logs": 0}
        with self._translated():
            output = self._patient.attach_socket(container, params=parameters)
        # the response is what holds the socket
        return FramedOutput(lambda: output.read(CHUNK), output._response.close, self._translated)

    def start(self, container: str) -> None:
        with self._translated():
            self._client.start(container)

    def runs(self, container: str) -> bool:
        with self._translated():
            return bool(self._client.inspect_container(container)["State"]["Running"])

    def signal(self, container: str, number: int) -> None:
        with self._translated(), _unless_gone():
            self._client.kill(container, number)

    def wait(self, container: str) -> End:
        with self._translated():
            self._patient.wait(container)
            state = self._client.inspect_container(container)["State"]
        return End(int(state["ExitCode"]), bool(state["OOMKilled"]), str(state.get("Error") or ""))

    def remove(self, container: str) -> None:
        with self._translated(), _unless_gone():
            self._client.remove_container(container, v=True, force=True)

    def containers(self, labels: Mapping[str, str | None]) -> list[Found]:
        wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
        with self._translated():
            found = self._client.containers(all=True, filters={"label": wanted})
        return [Found(each["Id"], each["Names"][0].lstrip("/"), each.get("Labels") or {}) for each in found]

    def close(self) -> None:
        for client in (self._client, self._patient):
            client.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Docker-py's errors, and those of what it is made of, as ours."""
        from docker.errors import APIError, DockerException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except APIError as error:
            reason = str(error.explanation or error).strip()
            status = getattr(error.response, "status_code", None)
            raise EngineRefusal(self.name, reason, missing=status == 404) from None
        except (DockerException, HTTPError, OSError) as error:
            raise NoEngineError(self.name, f"does not answer at {self.socket} ({error})", _ADVICE) from None


@contextmanager
def _unless_gone() -> Iterator[None]:
    from docker.errors import APIError

    try:
        yield
    except APIError as error:
        if getattr(error.response, "status_code", None) not in GONE:
            raise


def _said(answer: Mapping[str, Any], layers: dict[str, tuple[int, int]]) -> str:
    """What a pull has got of all its layers so far, as a line of text."""
    detail = answer.get("progressDetail") or {}
    if answer.get("status") == "Downloading" and detail.get("total"):
        layers[str(answer.get("id"))] = int(detail["current"]), int(detail["total"])
        got, all_of_it = (sum(each) / 1e6 for each in zip(*layers.values(), strict=True))
        return f"downloaded {got:.0f} of {all_of_it:.0f} MB"
    return "" if "id" in answer else str(answer.get("status") or "")


_ADVICE = "see whether it still runs: docker info"
