"""From text to models: JSON is read, pydantic's errors become problems, and all problems are raised at once."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from interactem.spec.command_templates import command_problems
from interactem.spec.commands import FUNCTION_PATTERN, INPUT_PATTERN, OUTPUT_PATTERN, VARIABLE_PATTERN
from interactem.spec.errors import Problem, SpecError
from interactem.spec.models import DUPLICATE, NAME_PATTERN, duplicates
from interactem.spec.operators import OperatorSpec
from interactem.spec.pipelines import KEY_PATTERN, PipelineSpec
from interactem.spec.wording import join_path, kind, listing, nearest, show, suggest

Model = TypeVar("Model", bound=BaseModel)


def parse_operator(given: object, source: str) -> OperatorSpec:
    """The spec in an `operator.json`. `given` is its text (str or bytes) or the value that JSON made of it.

    `source` names it in the problems. Raises `SpecError` with all of them.
    """
    value = read_json(given, source) if isinstance(given, str | bytes) else given
    return validate(OperatorSpec, value, source, [*_repeated_names(value, source), *command_problems(value, source)])


def parse_pipeline(given: object, source: str) -> PipelineSpec:
    """The pipeline in a pipeline file, likewise. The graph's own rules are for `Graph` to check."""
    value = read_json(given, source) if isinstance(given, str | bytes) else given
    return validate(PipelineSpec, value, source, [])


def read_json(text: str | bytes, source: str) -> Any:
    """The value of a JSON text. Stricter than Python's reader: no key twice in one object, no NaN.

    Raises `SpecError` that tells line and column.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 text (byte {error.start})"
            raise SpecError([Problem(source, "", message, "save it as UTF-8")]) from None
    repeated: list[str] = []
    try:
        value = json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_pairs(repeated), parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise SpecError([Problem(source, where, f"invalid JSON: {error.msg}", _json_hint(text, error))]) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise SpecError([Problem(source, "", f"invalid JSON: {reason}")]) from None
    if repeated:
        raise SpecError(
            Problem(source, "", f"the key {show(key)} is twice in one object", "keep one of them") for key in repeated
        )
    return value


def _pairs(repeated: list[str]) -> Any:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.extend(name for _, name in duplicates(key for key, _ in pairs))
        return dict(pairs)

    return build


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value; write a number or null")


def _json_hint(text: str, error: json.JSONDecodeError) -> str:
    before = text[: error.pos].rstrip()
    if not text.strip():
        return "the file is empty"
    if text[error.pos : error.pos + 1] == "'":
        return "JSON strings stand in double quotes"
    if before.endswith(",") and text[error.pos : error.pos + 1] in ("}", "]"):
        return "remove the comma before it"
    if text[error.pos : error.pos + 1] in ("/", "#"):
        return "JSON has no comments"
    return ""


def validate(model: type[Model], value: object, source: str, problems: list[Problem]) -> Model:
    try:
        parsed = model.model_validate(value)
    except ValidationError as error:
        problems.extend(
            _problem(model, details, source)
            for details in error.errors(include_url=False)
            if details["type"] != DUPLICATE
        )
        raise SpecError(problems) from None
    except RecursionError:
        raise SpecError([Problem(source, "", "is nested too deeply")]) from None
    if problems:
        raise SpecError(problems)
    return parsed


def _repeated_names(value: object, source: str) -> Iterator[Problem]:
    """Names that stand twice in one list, found in the raw value so that other problems do not hide them."""
    if not isinstance(value, dict):
        return
    for field in ("inputs", "outputs", "parameters", "triggers"):
        items = value.get(field)
        if not isinstance(items, list):
            continue
        for index, name in duplicates(item.get("name") if isinstance(item, dict) else None for item in items):
            path = join_path("$", field, index, "name")
            yield Problem(source, path, f"there is another {field[:-1]} named {name!r}", "give each its own name")


def _problem(model: type[BaseModel], details: ErrorDetails, source: str) -> Problem:
    path, owner, field = _locate(model, details["loc"])
    message, hint = _explain(details, owner, field)
    return Problem(source, path, message, hint)


def _explain(details: ErrorDetails, owner: type[BaseModel] | None, field: str) -> tuple[str, str]:
    """What is wrong and what would be right, for every kind of error that our models can have."""
    given = details["input"]
    context = details.get("ctx", {})
    meaning = _meaning(owner, field)
    match details["type"]:
        case "spec":
            return str(context["message"]), str(context["hint"])
        case "missing":
            return "is missing", meaning and f"give {meaning}"
        case "extra_forbidden":
            known = _keys(owner) if owner is not None else []
            near = nearest(field, known)
            return f"unknown key {field!r}", f"did you mean {near!r}?" if near else f"known keys: {listing(known)}"
        case "union_tag_invalid":
            tags = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
            return f"there is no parameter type {context['tag']!r}", suggest(str(context["tag"]), tags, "types")
        case "union_tag_not_found":
            return "has no type", 'add "type": one of str, int, float, bool, mount, path, str-enum'
        case "literal_error":
            return f"{show(given)} is not allowed here", f"give {context['expected']}"
        case "none_required":
            return f"should be absent or null, not {kind(given)}", meaning
        case "string_pattern_mismatch":
            return f"{show(given)} is not a name that fits here", _NAMING.get(str(context["pattern"]), "")
        case "uuid_parsing" | "uuid_type":
            return f"{show(given)} is not a UUID", f"give {meaning}"
        case "string_too_short" | "too_short":
            return "is empty", meaning and f"give {meaning}"
        case "greater_than":
            return f"{show(given)} is too small", f"give a number above {context['gt']:g}"
        case "greater_than_equal":
            return f"{show(given)} is too small", f"give {context['ge']} or more"
        case "less_than_equal":
            return f"{show(given)} is too large", f"give {context['le']:g} or less"
        case other:
            return _mistyped(other, given, details["msg"], meaning)


_NAMING = {
    NAME_PATTERN: "use no spaces, '/' or '=', and no dot in front",
    KEY_PATTERN: "use lower-case letters, digits and hyphens, at most 63, no hyphen in front",
    INPUT_PATTERN: 'give "stdin", or "file:" and a name, such as "file:scan.tif"',
    OUTPUT_PATTERN: 'give "stdout", or "files:" and a pattern, such as "files:*.png"',
    VARIABLE_PATTERN: "a variable's name has letters, digits and underscores, and no digit in front",
    FUNCTION_PATTERN: "name a function of run.py",
}

_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def _mistyped(error: str, given: object, fallback: str, meaning: str) -> tuple[str, str]:
    if error not in _TYPES:
        return fallback, meaning
    return f"should be {_TYPES[error]}, not {kind(given)}", meaning and f"give {meaning}"


def _meaning(owner: type[BaseModel] | None, field: str) -> str:
    """The field's own description as the end of a sentence."""
    if owner is None:
        return ""
    for name, info in owner.model_fields.items():
        if (info.alias or name) == field and info.description:
            text = info.description.rstrip(".")
            return text if text[1:2].isupper() else text[:1].lower() + text[1:]
    return ""


def _keys(owner: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in owner.model_fields.items()]


def _locate(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, type[BaseModel] | None, str]:
    """The JSON path of a pydantic location, the model that the last key is in, and that key.

    Pydantic adds steps that are not in the file: the tag of a parameter's type, and `[key]` for an object's key.
    """
    path = "$"
    owner: type[BaseModel] | None = None
    field = ""
    here: type[BaseModel] | None = model  # the model that the next step is a key of
    inside: list[type[BaseModel]] = []  # the models in the list or object that the next step is an index or key of
    for step in location:
        if step in _NOT_IN_THE_FILE:
            continue
        if here is None and len(inside) > 1 and isinstance(step, str):
            here = next(one for one in inside if step in _tags(one))
            continue
        path = join_path(path, step)
        if here is None:
            here = inside[0] if len(inside) == 1 else None
            owner, field = None, ""
            continue
        owner, field = here, str(step)
        annotation = _field(here, field)
        inside = list(_models(annotation))
        here = None if _is_container(annotation) or not inside else inside[0]
    return path, owner, field


_NOT_IN_THE_FILE = ("[key]", "[text]", "[option]")


def _is_container(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (tuple, dict)


def _field(model: type[BaseModel], key: str) -> Any:
    for name, info in model.model_fields.items():
        if (info.alias or name) == key:
            return info.annotation
    return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation, such as that of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("type")
    if field is None or typing.get_origin(field.annotation) is not Literal:
        return ()
    return typing.get_args(field.annotation)
