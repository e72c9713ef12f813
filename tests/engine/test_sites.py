"""What pip is told in a build, and that it is told so that no layer keeps it."""

from __future__ import annotations

from configparser import ConfigParser

import pytest

from interactem.engine.images.sites import MOUNT, mount_configuration, pip_configuration, prepare_build, secret_flags


def read(text):
    parser = ConfigParser(interpolation=None)
    parser.read_string(text)
    return dict(parser["global"])


def test_addresses_that_mean_something_in_a_build_are_told():
    pip = {
        "index-url": "https://me:pass%40word@site/simple",
        "extra-index-url": "file:///srv/simple\nhttp://127.0.0.1:3141/simple https://other/simple",
        "find-links": "/srv/wheels",
        "trusted-host": "site other",
        "timeout": "60",
        "cert": "/etc/site.pem",
    }
    assert read(pip_configuration({}, pip)) == {
        "index-url": "https://me:pass%40word@site/simple",
        "extra-index-url": "http://127.0.0.1:3141/simple\nhttps://other/simple",
        "trusted-host": "site\nother",
        "timeout": "60",
    }


def test_variables_win_over_files():
    pip = {"index-url": "https://file/simple"}
    assert read(pip_configuration({"PIP_INDEX_URL": "https://variable/simple"}, pip)) == {
        "index-url": "https://variable/simple"
    }


@pytest.mark.parametrize(
    "pip", [{}, {"find-links": "/srv/wheels", "timeout": "9"}, {"extra-index-url": "file:///srv/simple"}]
)
def test_nothing_is_told_where_there_is_nothing_to_tell(pip):
    assert pip_configuration({}, pip) == ""


def test_pips_own_proxy_is_told():
    assert read(pip_configuration({"PIP_PROXY": "http://me:secret@proxy:3128"}, {})) == {
        "proxy": "http://me:secret@proxy:3128"
    }


def test_each_run_has_it_and_nothing_else_changes():
    text = 'FROM operator\nrun pip install x \\\n  && echo\nCOPY a b\n  RUN ["pip", "list"]\nRUN <<END\nRUN\nEND\n'
    assert mount_configuration(text) == (
        f"FROM operator\nrun {MOUNT} pip install x \\\n  && echo\nCOPY a b\n"
        f'  RUN {MOUNT} ["pip", "list"]\nRUN {MOUNT} <<END\nRUN\nEND\n'
    )


def test_the_flags_name_what_is_mounted(tmp_path):
    _, value = secret_flags(tmp_path / "pip.conf")
    identity = value.split(",")[0]
    assert f",{identity}," in MOUNT
    assert value.endswith(f"src={tmp_path}/pip.conf")


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path):
    containerfile = tmp_path / "Containerfile"
    containerfile.write_bytes(b"FROM debian\nLABEL who=\xff\n")
    assert prepare_build(containerfile, [])[:2] == ["--network", "host"]
    assert containerfile.read_bytes() == b"FROM debian\nLABEL who=\xff\n"


def test_a_password_is_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@site/simple")
    containerfile = tmp_path / "Containerfile"
    containerfile.write_text("FROM operator\nRUN pip install x\n")
    flags = prepare_build(containerfile, [])
    assert "secret@" not in " ".join(flags) + containerfile.read_text()
    secret = tmp_path / "pip.conf"
    assert flags[-1].endswith(f"src={secret}")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert "me:secret@site" in secret.read_text()
