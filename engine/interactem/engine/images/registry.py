"""Is there a registry, and how does it want to be spoken to?"""

from __future__ import annotations

import http.client
import ipaddress
from contextlib import closing

from interactem.engine.images.errors import RegistryError
from interactem.engine.images.names import LOCAL_REGISTRY

SECONDS = 5.0
START = "docker run -d -p 5001:5000 --restart always --name docker-registry registry:3"


def is_local(registry: str) -> bool:
    """Whether a registry is on this machine."""
    host = registry.partition("/")[0].rpartition(":")[0] or registry.partition("/")[0]
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def speaks_plainly(registry: str) -> bool:
    """Whether a registry of this machine speaks plain HTTP. Raises `RegistryError` where there is none."""
    host = registry.partition("/")[0]
    status, version = _ask(host)
    if status in (200, 401) and version:
        return True
    if status == 400:
        return False  # that is how a server says that it wants TLS
    if status in (401, 403):
        advice = f"log in first: docker login {host}, or podman login {host}; or check who may use it"
        raise RegistryError(host, f"it refuses us (HTTP {status})", advice)
    if status >= 500:
        raise RegistryError(host, f"the registry is in trouble (HTTP {status})", "look at its log; is its disk full?")
    raise RegistryError(
        host, "what answers there is no image registry", f"is another program at that port? {_advice(host)}"
    )


def _ask(host: str) -> tuple[int, str]:
    """The HTTP status of the registry's first page, and the version that its header tells."""
    with closing(http.client.HTTPConnection(host, timeout=SECONDS)) as connection:
        try:
            connection.request("GET", "/v2/")
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, http.client.BadStatusLine):
                return 400, ""
            reason = f"no registry answers ({error})"
            raise RegistryError(host, reason, _advice(host)) from None
        return answer.status, answer.headers.get("Docker-Distribution-Api-Version") or (
            "registry/2.0" if answer.status == 200 and answer.read(2) == b"{}" else ""
        )


def _advice(host: str) -> str:
    if host == LOCAL_REGISTRY:
        return f"start one: {START}"
    return "check the address, and that the registry runs"
