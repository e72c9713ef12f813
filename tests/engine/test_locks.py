from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from interactem.engine.locks import LOCK, lock_fingerprint, locked_versions
from interactem.engine.wheels import RUNTIME

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
RANGES = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}


def test_the_lock_is_within_our_own_ranges():
    versions = locked_versions()
    assert versions.keys() >= RUNTIME
    for name in RUNTIME:
        assert RANGES[name].contains(versions[name]), f"{name} {versions[name]} is not {RANGES[name]}; run: make lock"


def test_each_package_has_one_version_for_all_pythons_and_platforms():
    """A lock may fork by markers; then an image and this machine might compute with different ones."""
    pinned = [line for line in LOCK.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
    assert len(pinned) == len(locked_versions())
    assert not [line for line in pinned if ";" in line]


def test_each_package_has_hashes_and_none_says_where_it_comes_from():
    text = LOCK.read_text()
    for entry in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry
    assert "://" not in text


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_what_the_locked_packages_need_is_locked_too(python):
    versions = locked_versions()
    surroundings = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.0",
        "extra": "",
    }
    for name in versions:
        for need in map(Requirement, requires(name) or ()):
            if need.marker is None or need.marker.evaluate(surroundings):
                assert canonicalize_name(need.name) in versions, f"{name} needs {need}"


def test_another_lock_has_another_fingerprint(tmp_path):
    copy = tmp_path / "locked.txt"
    copy.write_bytes(LOCK.read_bytes())
    assert lock_fingerprint(copy) == lock_fingerprint()
    copy.write_text(copy.read_text() + "more==1\n")
    assert lock_fingerprint(copy) != lock_fingerprint()
