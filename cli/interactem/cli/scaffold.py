"""A new operator's files, made from what its author says about it. Pure: flags in, texts out."""

from __future__ import annotations

import json
import keyword
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interactem.cli.failures import InvalidError

if TYPE_CHECKING:
    from interactem.spec import OperatorSpec

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
TYPES = ("str", "int", "float", "bool", "mount", "str-enum")

TEMPLATES = ("run.py", "operator.json", "Containerfile", "requirements.txt", "README.md")
NewKind = Literal["kernel", "command"]
"""What does the work of a new operator: a function in `run.py`, or an executable."""
COMMANDS: dict[str, dict[str, Any]] = {
    "source": {"arguments": ["echo", "message"]},
    "map": {"arguments": ["cat"]},
    "sink": {"arguments": ["tee", "data"], "output": "files:data"},
}
"""What a new command does, by what its ports make it."""

_TAKEN = {"operator", "context", "inputs", "parameters", "data_directory"}
_EXAMPLES: dict[str, Any] = {"str": "text", "int": 1, "float": 1.0, "bool": True}
_EXAMPLE_FILE = "data/example.txt"
"""In a folder of its own, since every JSON file in `tests/` is a case."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an author says about a new operator, as flags or as answers."""

    name: str
    label: str
    description: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]
    tags: tuple[str, ...]
    parallel: str
    image: str
    new_kind: NewKind = "kernel"


def check_name(name: str) -> str:
    """Raises `InvalidError` for a name that a pipeline could not use."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidError(
            f"{name!r} is not a name for an operator: use lower-case letters, digits and hyphens, at most 63, "
            "no hyphen in front"
        )
    return name


def parse_port(text: str) -> dict[str, str]:
    """`name:type` as a port. Raises `InvalidError`."""
    name, _, type_ = text.partition(":")
    if not (name and type_):
        raise InvalidError(f"{text!r} is not a port: write name:type, such as in:frame")
    return {"name": name, "label": title(name), "type": type_, "description": ""}


def parse_parameter(text: str) -> dict[str, Any]:
    """`name:type`, `name:type=default` or `name:str-enum[a|b]=a` as a parameter; without default it is required.

    Raises `InvalidError` for other text; whether the default fits the type is for the spec to say.
    """
    found = re.fullmatch(r"(?P<name>[^:=]+):(?P<type>[a-z-]+)(\[(?P<options>[^\]]*)\])?(=(?P<default>.*))?", text, re.S)
    if found is None:
        raise InvalidError(f"{text!r} is not a parameter: write name:type=default, such as size:int=3")
    type_, options, default = found["type"], found["options"], found["default"]
    if type_ not in TYPES:
        raise InvalidError(f"{text!r}: there is no type {type_!r}; types: {', '.join(TYPES)}")
    if (options is not None) != (type_ == "str-enum"):
        raise InvalidError(f"{text!r}: write the options of a str-enum, and of nothing else, as mode:str-enum[a|b]=a")
    parameter: dict[str, Any] = {"name": found["name"], "label": title(found["name"]), "type": type_, "description": ""}
    if options is not None:
        parameter["options"] = options.split("|")
    if default is not None:
        parameter["default"] = default
    return {**parameter, "required": default is None}


def title(name: str) -> str:
    """`center-of-mass` is `Center of mass`."""
    words = re.sub(r"[-_.]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def make_document(request: Request) -> dict[str, Any]:
    """The new `operator.json`, with an id of its own. Raises `InvalidError` for flags, `SpecError` for the rest."""
    from interactem.spec import parse_operator

    document: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "label": request.label,
        "description": request.description,
        "image": request.image,
        "inputs": [parse_port(text) for text in request.inputs],
        "outputs": [parse_port(text) for text in request.outputs],
        "parameters": [parse_parameter(text) for text in request.parameters],
        "tags": [{"value": tag} for tag in request.tags],
        "parallel_config": {"type": request.parallel},
    }
    spec = parse_operator(document, f"the new {request.name}")
    if request.new_kind == "command":
        document["command"] = COMMANDS[kind(spec)]
    for written, parameter in zip(document["parameters"], spec.parameters, strict=True):
        if parameter.default is not None:
            written["default"] = parameter.default  # flags are text; in the file a number is a number
    return document


def render(folder: Path, document: dict[str, Any]) -> dict[str, str]:
    """The texts of the operator's files, by their path in its folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from interactem.spec import parse_operator

    spec = parse_operator(document, folder.name)
    name = folder.name
    environment = Environment(
        loader=PackageLoader("interactem.cli", "templates/operator"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # none of it is a web page
    )
    environment.filters |= {"json": _to_json, "docstring": _in_docstring, "identifier": identifier}
    values = {
        "name": name,
        "folder": folder.as_posix(),
        "function": identifier(name),
        "spec": spec,
        "document": document,
        "kind": kind(spec),
        "mounts": _mounts(spec),
    }
    paths = [path for path in TEMPLATES if path != "run.py" or spec.command is None]
    texts = {path: environment.get_template(f"{path}.jinja").render(values) for path in paths}
    texts["tests/example.json"] = _to_json(example(spec)) + "\n"
    if _mounts(spec):
        texts[f"tests/{_EXAMPLE_FILE}"] = "an example\n"
    return texts


def example(spec: OperatorSpec) -> dict[str, Any]:
    """A case that what the template of `run.py` makes passes."""
    needed = [parameter for parameter in spec.parameters if parameter.default is None and parameter.type != "mount"]
    options = {parameter.name: parameter.options[0] for parameter in needed if parameter.type == "str-enum"}
    case: dict[str, Any] = {"description": "an example; replace it with what your operator does"}
    if needed:
        case["parameters"] = {p.name: options.get(p.name, _EXAMPLES.get(p.type)) for p in needed}
    if mounts := _mounts(spec):
        case["mounts"] = {parameter.name: _EXAMPLE_FILE for parameter in mounts}
    if kind(spec) == "source" and spec.command is not None:
        return {**case, "inputs": [], "expect": [{"data": "message\n"}]}
    if kind(spec) == "source":
        return {**case, "inputs": [], "expect": [{"data": f"message {number}"} for number in range(3)]}
    case["inputs"] = [{"port": spec.inputs[0].name, "meta": {"number": 1}, "data": "hello"}]
    if kind(spec) == "map":
        return {**case, "expect": [{"meta": {"number": 1}, "data": "hello"}]}
    file = "case.0" if spec.command is None else "data"
    return {**case, "expect": [], "outputs": {file: {"data": "hello"}}}


def kind(spec: OperatorSpec) -> Literal["source", "map", "sink"]:
    if not spec.inputs:
        return "source"
    return "map" if spec.outputs else "sink"


def identifier(name: str) -> str:
    """A name of Python's for a name of ours, not one that the template uses itself."""
    made = re.sub(r"\W", "_", name)
    return f"its_{made}" if made[:1].isdigit() or keyword.iskeyword(made) or made in _TAKEN else made


def _mounts(spec: OperatorSpec) -> list[Any]:
    return [parameter for parameter in spec.parameters if parameter.type == "mount"]


def _to_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _in_docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'")
