"""`interactem operator new`: flags, questions for what is missing, and the files of a new operator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from interactem.cli import scaffold
from interactem.cli.failures import CommandError, InvalidError
from interactem.cli.output import say
from interactem.cli.scaffold_kinds import Kind, ports_of


def on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def complete_request(
    directory: Path,
    *,
    name: str | None,
    label: str | None,
    description: str | None,
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
    parameters: Sequence[str] | None,
    tags: Sequence[str] | None,
    parallel: str | None,
    image: str | None,
    kind: Kind | None = None,
    ask: bool,
) -> scaffold.Request:
    """The request with everything in it: flags, then answers where `ask` says so, then defaults."""
    if name is None and not ask:
        raise InvalidError("the new operator has no name: interactem operator new NAME")
    name = _ask("Name", check=partial(_free, directory)) if name is None else _free(directory, name)
    inputs_then, outputs_then = ports_of(kind, inputs, outputs)
    request = scaffold.Request(
        name=name,
        label=label if label is not None else scaffold.title(name),
        description=description if description is not None else "",
        inputs=inputs_then,
        outputs=outputs_then,
        parameters=tuple(parameters or ()),
        tags=tuple(tags or ()),
        parallel=parallel or "none",
        image=image or f"localhost/{name}:latest",
        kind=kind,
    )
    scaffold.make_document(request)  # what is wrong with the flags is said before anything is asked
    if not ask:
        return request
    answers: dict[str, Any] = {}
    if label is None:
        answers["label"] = _ask("Label", request.label)
    if description is None:
        answers["description"] = _ask("What does it do, in a sentence", request.description)
    if inputs is None and kind not in ("source", "side-input"):
        answers["inputs"] = _ask_list("Inputs", request.inputs, scaffold.parse_port, "name:type, …; - for a source")
    if outputs is None and kind != "side-input":
        answers["outputs"] = _ask_list("Outputs", request.outputs, scaffold.parse_port, "name:type, …; - for a sink")
    if parameters is None:
        answers["parameters"] = _ask_list("Parameters", (), scaffold.parse_parameter, "name:type=default, …; - if none")
    if parallel is None and kind != "side-input":
        alike = typer.confirm("May replicas share its input in any order?", default=False, err=True)
        answers["parallel"] = "embarrassing" if alike else "none"
    return replace(request, **answers)


def write_operator(request: scaffold.Request, directory: Path) -> tuple[Path, dict[str, Any]]:
    """Make the operator's folder. Raises `InvalidError` where it exists already. Returns it, and what was made."""
    folder = directory / _free(directory, request.name)
    document = scaffold.make_document(request)
    texts = scaffold.render(folder, document, request.kind)
    folder.mkdir(parents=True)
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder, {"name": request.name, "id": document["id"], "folder": str(folder), "files": sorted(texts)}


def _free(directory: Path, name: str) -> str:
    folder = directory / scaffold.check_name(name)
    if folder.exists():
        raise InvalidError(f"{folder} exists already: choose another name, or another --directory")
    return name


def _ask(question: str, default: str | None = None, check: Callable[[str], str] | None = None) -> str:
    while True:
        answer = str(typer.prompt(question, default=default, err=True)).strip()
        if check is None:
            return answer
        try:
            return check(answer)
        except CommandError as error:
            say(error.message, "red", stderr=True)


def _ask_list(question: str, default: Sequence[str], parse: Callable[[str], object], form: str) -> tuple[str, ...]:
    """Answers with commas between them; a hyphen is none."""

    def check(answer: str) -> str:
        for item in _split(answer):
            parse(item)
        return answer

    return _split(_ask(f"{question} ({form})", ", ".join(default) or "-", check))


def _split(answer: str) -> tuple[str, ...]:
    items = (item.strip() for item in answer.split(","))
    return tuple(item for item in items if item not in ("", "-"))
