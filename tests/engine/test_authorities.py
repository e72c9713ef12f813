"""Which certificates images trust, and what is said of files that hold none."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from interactem.engine.images.authorities import read_authorities
from interactem.engine.images.errors import BaseImageError

CERTIFICATES = Path(certifi.where()).read_text().split("-----END CERTIFICATE-----\n")


def certificate(number: int) -> str:
    text = CERTIFICATES[number] + "-----END CERTIFICATE-----\n"
    return text[text.index("-----BEGIN") :]


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("# ours\n" + certificate(0) + certificate(1) + certificate(0))
    return path


def test_nobody_names_any():
    assert read_authorities(None, {}, {}) == ""


def test_each_certificate_is_there_once_and_nothing_else(bundle):
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    bundle.write_text(bundle.read_text() + key)
    text = read_authorities(bundle, {}, {})
    assert text == certificate(0) + certificate(1)
    ssl.create_default_context(cadata=text)


def test_they_are_found_in_the_order_in_which_pip_looks(tmp_path):
    named = {}
    for number, name in enumerate(
        ["given", "PIP_CERT", "cert", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
    ):
        named[name] = tmp_path / name
        named[name].write_text(certificate(number))
    environment = {name: str(path) for name, path in named.items() if name.isupper()}
    order = []
    for given, pip in [(named["given"], {}), (None, {"cert": str(named["cert"])})]:
        order.append(read_authorities(given, environment, pip))
    for name in ("PIP_CERT", "cert", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        pip = {"cert": str(named["cert"])} if environment.keys() >= {"PIP_CERT"} or name == "cert" else {}
        order.append(read_authorities(None, environment, pip))
        environment.pop(name, None)
    assert order == [certificate(number) for number in (0, 1, 1, 2, 3, 4, 5)]


def test_a_file_that_is_missing_is_said_with_who_names_it(tmp_path):
    with pytest.raises(BaseImageError, match=r"CA bundle .*nowhere.pem \(PIP_CERT\) cannot be read: No such file"):
        read_authorities(None, {"PIP_CERT": str(tmp_path / "nowhere.pem")}, {})
    with pytest.raises(BaseImageError, match=r"\(pip's configuration, cert\) cannot be read: Is a directory"):
        read_authorities(None, {}, {"cert": str(tmp_path)})


@pytest.mark.parametrize("text", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nabc"])
def test_a_file_without_certificates_is_said(tmp_path, text):
    (tmp_path / "ca.pem").write_text(text)
    with pytest.raises(BaseImageError, match=r"\(--ca-bundle\) holds no certificate in PEM form\nname a file"):
        read_authorities(tmp_path / "ca.pem", {}, {})


@pytest.mark.parametrize("body", ["%%%", "c29tZXRoaW5nIGVsc2U="])
def test_a_broken_certificate_is_said_with_its_number(bundle, body):
    bundle.write_text(f"{certificate(0)}-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    with pytest.raises(BaseImageError, match="is broken at certificate 2 of 2"):
        read_authorities(bundle, {}, {})
