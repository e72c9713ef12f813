"""The certificate authorities of the place where images are built, which may watch its own traffic.

They are those that pip on this machine trusts, unless a file is named.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from interactem.engine.images.errors import BaseImageError

OPTION = "--ca-bundle"

# in the order in which pip looks at them; `cert` of its configuration comes after its own variable
_BEFORE = ("PIP_CERT",)
_AFTER = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.S)


def read_authorities(given: Path | None, environment: Mapping[str, str], pip: Mapping[str, str]) -> str:
    """The certificates, as PEM, and nothing else of the file: a key that stands beside them goes nowhere.

    Empty where nobody names any. `pip` is pip's configuration. Raises `BaseImageError` where the file that is named
    is missing or holds none, or one that is broken.
    """
    path, said_by = (given, OPTION) if given is not None else _configured(environment, pip)
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        reason = error.strerror or str(error)
        raise BaseImageError(f"the CA bundle {path} ({said_by}) cannot be read: {reason}", _ADVICE) from None
    found = _CERTIFICATE.findall(text)
    if not found:
        raise BaseImageError(f"the CA bundle {path} ({said_by}) holds no certificate in PEM form", _ADVICE)
    certificates = "".join(f"{certificate}\n" for certificate in dict.fromkeys(found))
    if not _valid(certificates):
        first = next(number for number, certificate in enumerate(found, 1) if not _valid(certificate))
        where = f"certificate {first} of {len(found)}"
        raise BaseImageError(f"the CA bundle {path} ({said_by}) is broken at {where}", _ADVICE)
    return certificates


def _valid(certificates: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError):
        return False
    return True


_ADVICE = f"name a file with certificates in PEM form with {OPTION}, or correct what names this one"


def _configured(environment: Mapping[str, str], pip: Mapping[str, str]) -> tuple[Path | None, str]:
    for name in _BEFORE:
        if value := environment.get(name):
            return Path(value).expanduser(), name
    if value := pip.get("cert"):
        return Path(value).expanduser(), "pip's configuration, cert"
    for name in _AFTER:
        if value := environment.get(name):
            return Path(value).expanduser(), name
    return None, ""
