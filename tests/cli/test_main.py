from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from interactem.cli import failures
from interactem.cli.main import run
from interactem.engine.errors import BrokerError, UnknownRunError
from interactem.runtime.errors import LoadError, TransportError
from interactem.spec import Problem, SpecError

HEAVY = ("pydantic", "numpy", "nats", "jinja2", "msgpack", "asyncio", "interactem.spec", "interactem.engine")


def imported(arguments: list[str]) -> set[str]:
    code = (
        "import json, sys\n"
        "from interactem.cli.main import run\n"
        f"run({arguments!r})\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Usage" in done.stdout
    return set(json.loads(done.stderr))


def test_help_imports_nothing_heavy():
    assert imported(["--help"]).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SpecError([Problem("f", "$.a", "is wrong")]), 2, "there is a problem"),
        (SpecError([Problem("f", "$.a", "is wrong"), Problem("g", "", "too")]), 2, "there are 2 problems"),
        (LoadError("run.py", "does not import"), 2, "run.py: does not import"),
        (TransportError("the broker is gone"), 1, "the broker is gone"),
        (BrokerError("it does not start"), 1, "it does not start"),
        (UnknownRunError("x", "there is no run x"), 2, "there is no run x"),
        (FileNotFoundError(2, "No such file or directory", "a.json"), 2, "a.json: no such file or directory"),
        (OSError(28, "No space left on device"), 1, "no space left on device"),
        (failures.FailedError("tried"), 1, "tried"),
        (failures.InvalidError("given"), 2, "given"),
    ],
)
def test_errors_of_all_parts_have_a_message_and_a_code(error, code, message):
    failure = failures.translate(error)
    assert (failure.exit_code, failure.message) == (code, message)


def test_errors_of_ours_are_not_dressed_up():
    assert failures.translate(ZeroDivisionError()) is None


def test_an_interruption(monkeypatch, capsys):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("interactem.cli.main.app", interrupted)
    assert run(["doctor"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_brackets_in_messages_are_only_text(monkeypatch, capsys):
    def failing(**_):
        raise failures.InvalidError("[bold]x[/bold] :smile:", ["$.a[0]: [red]"])

    monkeypatch.setattr("interactem.cli.main.app", failing)
    assert run([]) == 2
    assert capsys.readouterr().err == "error: [bold]x[/bold] :smile:\n  $.a[0]: [red]\n"


def test_a_reader_that_leaves_is_no_error():
    command = f"{Path(sys.executable).parent}/interactem doctor --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{", "")
