"""What all models of this package have in common: frozen, strict, and no unknown keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from interactem.spec.values import MisfitError

DUPLICATE: Final = "spec_duplicate"
"""The type of the error of a model with a name twice in one list. Parsing finds these itself, with their paths."""

NAME_PATTERN = r"^[^\s/=.\x00-\x1f][^\s/=\x00-\x1f]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""The name of a port, parameter or trigger: no spaces, `/` or `=`, and no dot in front.

A mount's name becomes a file name under the data directory, so it must not lead out of there.
"""


class SpecModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def refuse(message: str, hint: str = "") -> PydanticCustomError:
    """The error to raise in a validator. The message is passed as context, so braces in it are safe."""
    return PydanticCustomError("spec", "{message}", {"message": message, "hint": hint})


def fitting(convert: Callable[[object], object]) -> Callable[[object], object]:
    """A converter of `values` as a validator; null passes."""

    def validate(value: object) -> object:
        if value is None:
            return None
        try:
            return convert(value)
        except MisfitError as error:
            raise refuse(error.message, error.hint) from None

    return validate


def duplicates(names: Iterable[object]) -> list[tuple[int, str]]:
    """Index and name of every name that stood before it already."""
    seen: set[str] = set()
    found: list[tuple[int, str]] = []
    for index, name in enumerate(names):
        if not isinstance(name, str):
            continue
        if name in seen:
            found.append((index, name))
        seen.add(name)
    return found


def distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """A validator for lists of things with a `name`."""
    for _, name in duplicates(item.name for item in items):
        raise PydanticCustomError(DUPLICATE, "the name '{name}' is there twice", {"name": name})
    return items


def _listed(value: object) -> object:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else value


def null_is_empty(item: Any) -> BeforeValidator:
    """A list in the file, a tuple in the model; absent, null and empty mean the same."""
    return BeforeValidator(_listed, json_schema_input_type=list[item] | None)
