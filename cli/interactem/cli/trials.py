"""`interactem operator test` and `run`: an operator is called in a process of its own, in memory."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactem.cli.failures import FAILED, FailedError, InvalidError, counted
from interactem.cli.output import console, print_json, say
from interactem.cli.processes import run_module
from interactem.runtime.secrets import Mask

if TYPE_CHECKING:
    from interactem.spec.connections import Connection


@dataclass(frozen=True, slots=True)
class Trial:
    """One call, as the command line asks for it."""

    folder: Path
    data: Path | None
    meta: str
    port: str | None
    parameters: tuple[str, ...]
    limit: int | None
    finish: bool
    outputs: Path


@dataclass(frozen=True, slots=True)
class Answer:
    port: str | None
    meta: Any
    data: bytes


def run_operator_cases(folder: Path) -> dict[str, Any]:
    """The document of `interactem.runtime.cases`: results, or what is malformed."""
    _, document = run_module(folder, "cases", [str(folder), "--json"])
    return document


def report_cases(results: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    """Print results as they come. Raises `InvalidError` where a case is malformed, `FailedError` where one failed."""
    documents: list[dict[str, Any]] = []
    for document in results:
        documents.append(document)
        if not as_json:
            _print_cases(document)
    problems = [problem for document in documents for problem in document.get("problems", ())]
    passed = sum(document.get("passed", 0) for document in documents)
    failed = sum(document.get("failed", 0) for document in documents)
    result = {"passed": passed, "failed": failed, "operators": documents}
    if problems:
        raise InvalidError("some cases or operators are malformed", problems, details=result)
    if failed:
        raise FailedError(f"{failed} of {passed + failed} cases failed", details=result)
    if as_json:
        print_json(result)
    else:
        say(f"{passed} passed", "green")


def _print_cases(document: dict[str, Any]) -> None:
    from rich.text import Text

    target = console()
    for case in document.get("cases", ()):
        mark = Text("passed", "green") if case["passed"] else Text("failed", "bold red")
        where = f"  {document['operator']}  {case['case']}  {case['description']}".rstrip()
        target.print(mark + Text(where), soft_wrap=True)
        for problem in case["problems"]:
            style = {"-": "red", "+": "green"}.get(problem[:1], "")
            target.print(Text(f"    {problem}", style), soft_wrap=True)


def call_once(trial: Trial) -> list[Answer]:
    """What the operator returns. Raises `FailedError` with the traceback where it fails, `InvalidError`."""
    given = dict(assignment(text) for text in trial.parameters)
    connections = connections_of(trial.folder, given)
    parameters = {**given, **{name: connection.values for name, connection in connections.items()}}
    meta = _meta(trial.meta)
    with tempfile.TemporaryDirectory(prefix="interactem-") as temporary:
        results, outputs = Path(temporary, "results"), Path(temporary, "outputs")
        results.mkdir()
        outputs.mkdir()
        asked = {
            "operator": str(trial.folder),
            "data": _data_file(trial.data, Path(temporary)),
            "meta": meta,
            "port": trial.port,
            "parameters": parameters,
            "limit": trial.limit,
            "finish": trial.finish,
            "outputs": str(outputs),
            "results": str(results),
        }
        code, answer = run_module(trial.folder, "single", request=asked)
        if code:
            error = FailedError if code == FAILED else InvalidError
            mask = Mask(secret for connection in connections.values() for secret in connection.secrets)
            raise error(mask.text(answer["error"]) or counted(answer["problems"]), map(mask.text, answer["problems"]))
        _keep_outputs(outputs, trial.outputs)
        return [Answer(one["port"], one["meta"], Path(one["file"]).read_bytes()) for one in answer["messages"]]


def report_call(answers: Sequence[Answer], out: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json([{"port": a.port, "meta": a.meta, "data": base64.b64encode(a.data).decode()} for a in answers])
        return
    for answer in answers:
        about = {"port": answer.port, "meta": answer.meta, "bytes": len(answer.data)}
        sys.stderr.write(json.dumps(about, ensure_ascii=False) + "\n")
    if out is not None:
        out.write_bytes(b"".join(answer.data for answer in answers))
        return
    for answer in answers:
        sys.stdout.buffer.write(answer.data)
    sys.stdout.buffer.flush()


def connections_of(folder: Path, parameters: Mapping[str, str]) -> dict[str, Connection]:
    """The values of the connections that the operator's parameters name. Raises `SpecError`."""
    from interactem.engine.connections import connections_of_operator
    from interactem.spec import parse_operator

    file = folder / "operator.json"
    if not file.is_file():
        return {}
    return connections_of_operator(parse_operator(file.read_bytes(), str(file)), parameters, folder)


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InvalidError(f"{text!r} does not set a parameter: write -p name=value")
    return name, value


def _meta(text: str) -> dict[str, Any]:
    from interactem.spec import read_json

    meta = read_json(text, "--meta")
    if not isinstance(meta, dict):
        raise InvalidError('--meta is not a JSON object: write one, such as {"scan": 3}')
    return meta


def _data_file(given: Path | None, temporary: Path) -> str | None:
    if given is None:
        return None
    if str(given) == "-":
        file = temporary / "data"
        with file.open("wb") as target:
            shutil.copyfileobj(sys.stdin.buffer, target)
        return str(file)
    if not given.is_file():
        raise InvalidError(f"--data: there is no file {given}")
    return str(given)


def _keep_outputs(made: Path, target: Path) -> None:
    files = sorted(path for path in made.rglob("*") if path.is_file())
    for file in files:
        kept = target / file.relative_to(made)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, kept)
        say(f"wrote {kept}", stderr=True)
