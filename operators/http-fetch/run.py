"""Fetches what a URL in each message names: eight calls wait for servers at once."""

import urllib.request
from typing import Any
from urllib.parse import urlsplit

from interactem.runtime import BytesMessage, operator


@operator(threads=8)
def fetch(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
    url = url_of(inputs)
    most = int(parameters["megabytes"] * 1e6)
    request = urllib.request.Request(url, headers={"User-Agent": "interactem"})
    with urllib.request.urlopen(request, timeout=parameters["seconds"]) as response:
        content = response.read(most + 1)
        if len(content) > most:
            raise ValueError(f"{url} is larger than {parameters['megabytes']:g} MB")
        answer = BytesMessage(data=content)
        answer.meta.update(inputs.meta, url=url, status=response.status)
        answer.meta["content_type"] = response.headers.get_content_type()
        return answer


def url_of(message: BytesMessage) -> str:
    """Raises `ValueError` where a message names no URL that can be fetched."""
    url = str(message.meta.get("url") or bytes(message.data).decode("utf-8", "replace").strip())
    if urlsplit(url).scheme not in ("http", "https"):  # no files of this machine
        raise ValueError(f"{url[:200]!r} is no URL that begins with http:// or https://")
    return url
