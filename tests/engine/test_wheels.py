from __future__ import annotations

import csv
import hashlib
from base64 import urlsafe_b64encode
from importlib.metadata import PathDistribution, distribution
from io import BytesIO, StringIO
from zipfile import ZipFile

from packaging.requirements import Requirement

from interactem.engine.wheels import RUNTIME, from_distribution, own_package, replica_package, runtime_metadata


def test_the_wheel_is_whole_and_the_same_every_time():
    package = own_package()
    assert package.wheel() == package.wheel()
    archive = ZipFile(BytesIO(package.wheel()))
    assert archive.testzip() is None
    record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
    listed = {name: digest for name, digest, _ in csv.reader(StringIO(archive.read(record).decode()))}
    assert listed.keys() == set(archive.namelist())
    for name, digest in listed.items():
        if name != record:
            expected = urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).rstrip(b"=").decode()
            assert digest == f"sha256={expected}"


def test_the_wheel_has_no_command_and_nothing_of_this_installation():
    names = own_package().files
    assert not [name for name in names if ".." in name or name.endswith((".pyc", "RECORD", "direct_url.json"))]
    assert not [name for name in names if name.endswith("entry_points.txt")]
    assert [name for name in names if name.endswith(".dist-info/WHEEL")]


def test_the_wheel_asks_for_what_the_runtime_needs_in_our_own_ranges():
    package = own_package()
    metadata = next(content for name, content in package.files.items() if name.endswith("/METADATA")).decode()
    wanted = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires")]
    needed = {Requirement(text).name: text for text in wanted if text[:8] != "Requires" and "extra ==" not in text}
    assert needed.keys() == RUNTIME
    ours = distribution("interactem").requires or []
    assert set(needed.values()) <= set(ours)


def test_metadata_keeps_its_text_and_its_extras():
    text = "Name: interactem\nVersion: 1\nRequires-Dist: NumPy<3\nRequires-Dist: rich\nProvides-Extra: otel\n"
    text += 'Requires-Dist: otel; extra == "otel"\n\nWords: of\n\nthe readme\n'
    kept = runtime_metadata(text.encode()).decode()
    assert "Requires-Dist: NumPy<3\n" in kept
    assert 'Requires-Dist: otel; extra == "otel"\n' in kept
    assert "rich" not in kept
    assert kept.endswith("\nWords: of\n\nthe readme\n")


def test_the_fingerprint_is_that_of_the_contents(tmp_path):
    info = tmp_path / "interactem-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: interactem\nVersion: 1\n\n")
    (info / "RECORD").write_text("module.py,,\ninteractem-1.dist-info/METADATA,,\n../../bin/interactem,,\n")
    (tmp_path / "module.py").write_text("x = 1")
    first = from_distribution(PathDistribution(info))
    assert set(first.files) == {"module.py", "interactem-1.dist-info/METADATA"}
    assert first.file_name == "interactem-1-py3-none-any.whl"
    (tmp_path / "module.py").write_text("x = 2")
    assert from_distribution(PathDistribution(info)).fingerprint() != first.fingerprint()


def test_what_replicas_get_is_code_and_short_metadata():
    files = replica_package().files
    parts = {name.split("/")[1] for name in files if name.startswith("interactem/")}
    assert parts >= {"runtime", "spec"}
    assert not parts & {"cli", "engine", "console"}
    assert "interactem/runtime/__main__.py" in files
    assert not [name for name in files if name.endswith((".pyc", ".pth"))]
    metadata = next(content for name, content in files.items() if name.endswith("/METADATA")).decode()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert {Requirement(line.partition(": ")[2]).name for line in needed} == RUNTIME
    assert "extra" not in metadata
    assert "operators" not in metadata, "the README is no reason to build images again"
