from __future__ import annotations

import json
from pathlib import Path

from interactem.cli import checks
from interactem.cli.main import run


def test_versions_and_systems():
    assert checks.python_version((3, 11)).state == "good"
    assert checks.python_version((3, 14)).state == "good"
    finding = checks.python_version((3, 15))
    assert (finding.state, finding.fix) == ("broken", "install interactem with Python 3.11 to 3.14")
    assert checks.python_version((3, 10)).state == "broken"
    assert checks.system("linux").state == "good"
    assert checks.system("darwin").state == "poor"
    assert checks.system("win32").state == "broken"


def test_every_finding_that_is_not_good_names_its_fix(tmp_path):
    assert all(finding.fix for finding in checks.every(tmp_path) if finding.state in ("poor", "broken"))


def test_the_programs_that_a_run_needs_do_run():
    assert checks.nats_server().state == "good"
    assert checks.uv().state == "good"


def test_a_program_that_does_not_run(tmp_path):
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 127\n")
    program.chmod(0o755)
    finding = checks.container_engine("podman", lambda _: str(program))
    assert (finding.state, finding.fix) == ("poor", "reinstall podman")
    assert finding.found.endswith("does not run: no such library")
    assert checks.container_engine("podman", lambda _: None).state == "absent"


def test_folders(tmp_path):
    finding = checks.folder("runs", tmp_path / "not" / "yet", "elsewhere")
    assert finding.state in ("good", "poor")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_cannot_be_written_to():
    # where not even root may
    assert checks.folder("runs", Path("/proc/self"), "elsewhere").state == "broken"


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "runs").touch()
    finding = checks.folder("runs", tmp_path / "runs", "give another folder with --run-dir")
    assert finding.state == "broken"
    assert finding.fix == "give another folder with --run-dir"


def test_shared_memory_and_extras(tmp_path):
    assert checks.shared_memory(tmp_path / "none").state == "absent"
    assert checks.extra("console", []).state == "good"
    finding = checks.extra("console", ["fastapi"])
    assert (finding.state, finding.fix) == ("absent", "only if you want it: pip install 'interactem[console]'")
    assert "[test]" in [finding.subject for finding in checks.extras()]


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert {"python", "nats-server", "uv"} <= {finding["subject"] for finding in document["findings"]}

    Path("runs").touch()
    assert run(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["error"].startswith("1 of ")
    assert document["problems"][0].startswith("runs: runs cannot be written to")
    assert run(["doctor"]) == 1
    printed = capsys.readouterr()
    assert "broken  runs" in printed.out
    assert printed.err.startswith("error: 1 of ")
