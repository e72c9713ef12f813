"""The short form of `make chaos`, and that it would find what it looks for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chaos import cases, command

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(1200)]
if not sys.platform.startswith("linux"):
    pytestmark.append(pytest.mark.skip(reason="processes are found by /proc, which only Linux has"))

PROGRAM = Path(__file__).parent


def last_line(text):
    found = re.fullmatch(r"faults (\d+), messages (\d+), lost (\d+), doubled (\d+)", text.splitlines()[-1])
    assert found, text
    return tuple(map(int, found.groups()))


def test_nothing_is_lost_and_nothing_doubled(tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, "--folder", tmp_path, "--seed", "2026"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 2026\n")
    faults, messages, lost, doubled = last_line(done.stdout)
    assert faults >= 200
    assert messages >= 40_000
    assert (lost, doubled) == (0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "totals", "words"),
    [
        ('if number == 30: return', (1, 0), "lost at record from numbers: 1 messages: 30"),
        ('count(state, meta["lane"], number, length) if number == 30 else None', (0, 1), "doubled at record"),
    ],
    ids=["loss", "double"],
)  # fmt: skip
def test_a_planted_fault_of_the_product_is_found(tmp_path, monkeypatch, capsys, line, totals, words):
    operators = tmp_path / "operators"
    shutil.copytree(PROGRAM / "operators", operators)
    sink = operators / "record" / "run.py"
    marker = "    if not is_whole"
    text = sink.read_text()
    assert marker in text
    sink.write_text(text.replace(marker, f"    {line}\n{marker}"))
    monkeypatch.setattr(cases, "OPERATORS", operators)
    code = command.main(["--folder", str(tmp_path / "runs"), "--seed", "3", "--shape", "chain", "--faults", "1",
                         "--messages", "100"])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 1, printed
    _, messages, *found = last_line(printed)
    assert (messages, *found) == (100, *totals)
    assert words in printed
    kept = Path(re.search(r"kept in (\S+)", printed)[1])
    assert (kept / "run" / "events.jsonl").exists()
    assert "--shape chain --seed 3 --faults 2 --messages 100" in printed


def test_as_json(tmp_path, capsys):
    arguments = ["--folder", str(tmp_path), "--seed", "3", "--shape", "replicas", "--faults", "2", "--messages", "100"]
    assert command.main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    value = json.loads(printed.out)
    assert (value["seed"], value["lost"], value["doubled"], value["failed"]) == (3, 0, 0, 0)
    assert [case["shape"] for case in value["cases"]] == ["replicas"]
    assert sum(value["kinds"].values()) == value["faults"] >= 2
    assert last_line(printed.err)[1] == 100


@pytest.mark.parametrize("arguments", [["--seed", "x"], ["--faults", "0"], ["--shape", "ring"], ["--nonsense"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage: make chaos" in capsys.readouterr().err
