"""Make this system trust the certificates of a file too, apart from those that it trusts already.

Runs while the image is built: `python3 trust.py BUNDLE`. An empty file adds nothing.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import sys
from pathlib import Path

TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
ADDED = Path("/usr/local/share/ca-certificates")

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def certificates(text: str) -> dict[str, str]:
    """The certificates in a bundle, by their fingerprints."""
    return {hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(): pem for pem in _CERTIFICATE.findall(text)}


def main(bundle: Path) -> None:
    wanted = certificates(bundle.read_text(encoding="utf-8"))
    missing = wanted.keys() - certificates(TRUSTED.read_text(encoding="utf-8")).keys()
    if not missing:
        return
    ADDED.mkdir(parents=True, exist_ok=True)
    for fingerprint in sorted(missing):
        (ADDED / f"site-{fingerprint[:16]}.crt").write_text(wanted[fingerprint] + "\n", encoding="utf-8")
    subprocess.run(["update-ca-certificates"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
