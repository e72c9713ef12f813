"""A new operator's files, made from what its author says about it. Pure: flags in, texts out."""

from __future__ import annotations

import json
import keyword
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactem.cli.failures import InvalidError
from interactem.cli.scaffold_kinds import COMMANDS, Kind, Ports, exchange, kind_of

if TYPE_CHECKING:
    from interactem.spec import OperatorSpec

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
TYPES = ("str", "int", "float", "bool", "mount", "path", "str-enum")

TEMPLATES = ("operator.json", "Containerfile", "requirements.txt", "README.md")
FOLDER = "tests"
_TAKEN = {
    "operator",
    "data_directory",
    *"context inputs key messages most parameters path position prepare put_out window".split(),
}
_EXAMPLES: dict[str, Any] = {"str": "text", "int": 1, "float": 1.0, "bool": True, "path": "/data/example"}
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
    kind: Kind | None = None
    """None: what its ports make it."""


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
    kind = request.kind or kind_of(ports_of_spec(spec))
    if kind == "command":
        document["command"] = COMMANDS[ports_of_spec(spec)]
    if kind == "side-input":
        document["side_input"] = {"type": "any", "description": "", "every": 60}
    if kind == "sink":
        document["outputs"] = [{**port, "fallback": True} for port in document["outputs"]]
    for written, parameter in zip(document["parameters"], spec.parameters, strict=True):
        if parameter.default is not None:
            written["default"] = parameter.default  # flags are text; in the file a number is a number
    return document


def render(folder: Path, document: dict[str, Any], kind: Kind | None = None) -> dict[str, str]:
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
    ports = ports_of_spec(spec)
    kind = kind or kind_of(ports)
    values = {
        "name": name,
        "folder": folder.as_posix(),
        "function": identifier(name),
        "spec": spec,
        "document": document,
        "kind": kind,
        "ports": ports,
        "mounts": _mounts(spec),
        "class": identifier(name).title().replace("_", ""),
        "fallback": next((port.name for port in spec.outputs if port.fallback), None),
        **_given(spec, kind),
    }
    texts = {path: environment.get_template(f"{path}.jinja").render(values) for path in TEMPLATES}
    if kind != "command":
        texts["run.py"] = environment.get_template(f"run/{kind}.py.jinja").render(values).lstrip()
    texts[f"tests/test_{identifier(name)}.py"] = environment.get_template("test.py.jinja").render(values)
    texts["tests/example.json"] = _to_json(example(spec, kind)) + "\n"
    if _mounts(spec):
        texts[f"tests/{_EXAMPLE_FILE}"] = "an example\n"
    return texts


def example(spec: OperatorSpec, kind: Kind) -> dict[str, Any]:
    """A case that what the template of `run.py` makes passes."""
    case: dict[str, Any] = {"description": "an example; replace it with what your operator does"}
    if parameters := _needed(spec):
        case["parameters"] = parameters
    if mounts := _mounts(spec):
        case["mounts"] = {parameter.name: _EXAMPLE_FILE for parameter in mounts}
    return case | exchange(kind, ports_of_spec(spec), spec.inputs[0].name if spec.inputs else None)


def _needed(spec: OperatorSpec) -> dict[str, Any]:
    """Values for the parameters that have none."""
    needed = [parameter for parameter in spec.parameters if parameter.default is None and parameter.type != "mount"]
    options = {parameter.name: parameter.options[0] for parameter in needed if parameter.type == "str-enum"}
    return {p.name: options.get(p.name, _EXAMPLES.get(p.type)) for p in needed}


def _given(spec: OperatorSpec, kind: str) -> dict[str, str]:
    """What a test gives to the operator, as Python: a message, and what comes behind it."""
    ports = ports_of_spec(spec)
    message = 'BytesMessage(data=b"hello")'
    if len(spec.inputs) > 1:
        message += f".to({_to_json(spec.inputs[0].name)})"
    more = []
    if parameters := _needed(spec):
        more.append(_python(parameters) if kind == "side-input" else f"parameters={_python(parameters)}")
    files = {parameter.name: f'operator.folder / "{FOLDER}/{_EXAMPLE_FILE}"' for parameter in _mounts(spec)}
    if files and kind == "side-input":
        more.append("**{" + ", ".join(f"{_to_json(name)}: {file}" for name, file in files.items()) + "}")
    elif files:
        more.append("mounts={" + ", ".join(f"{_to_json(name)}: {file}" for name, file in files.items()) + "}")
    expected = [f"b{_to_json(one['data'])}" for one in exchange(kind, ports, None).get("expect", ())]
    before = [message] if ports in ("map", "sink") and kind != "reduce" else ["messages"] if kind == "reduce" else []
    ending = {"sink": ["outputs=tmp_path"], "map": ["finish=True"] if kind == "reduce" else []}.get(ports, [])
    return {
        "arguments": ", ".join([*before, *more, *ending]),
        "expected": f"[{', '.join(expected)}]",
    }


def _python(values: dict[str, Any]) -> str:
    """A dict of plain values as a formatter writes it."""
    items = (f"{_to_json(name)}: {_to_json(v) if isinstance(v, str) else repr(v)}" for name, v in values.items())
    return "{" + ", ".join(items) + "}"


def ports_of_spec(spec: OperatorSpec) -> Ports:
    if not spec.inputs:
        return "source" if spec.outputs else "none"
    return "sink" if spec.is_sink else "map"


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
