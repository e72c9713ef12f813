"""Parameters: the typed settings that a spec declares, and the values that they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from interactem.spec.errors import ParameterValueError, Problem
from interactem.spec.models import Name, SpecModel, fitting, refuse
from interactem.spec.values import (
    BOOLEAN_TEXT,
    FLOAT_TEXT,
    INTEGER_TEXT,
    LARGEST,
    REFERENCE_TEXT,
    SMALLEST,
    MisfitError,
    Value,
    to_bool,
    to_float,
    to_int,
    to_option,
    to_path,
    to_reference,
    to_str,
)
from interactem.spec.wording import show

_IntegerText = Annotated[str, Field(pattern=INTEGER_TEXT)]
_FloatText = Annotated[str, Field(pattern=FLOAT_TEXT)]
_BooleanText = Annotated[str, Field(pattern=BOOLEAN_TEXT)]
_Integer = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]


class OperatorSpecParameterBase(SpecModel):
    """What parameters of every type have."""

    name: Name
    """The key under which the kernel finds the value."""
    label: str = ""
    """The name that people read."""
    description: str = ""
    """What the parameter does, with its unit."""
    required: bool = False
    """Whether it must have a value, from its default or from the pipeline."""


class _WithoutOptions(OperatorSpecParameterBase):
    options: None = None
    """Only a str-enum has options."""


class OperatorSpecParameterString(_WithoutOptions):
    type: Literal["str"]
    """Any text."""
    default: str | None = None
    """A text."""


class OperatorSpecParameterInteger(_WithoutOptions):
    type: Literal["int"]
    """A whole number of 64 bits."""
    default: Annotated[
        int | None, BeforeValidator(fitting(to_int), json_schema_input_type=_Integer | _IntegerText | None)
    ] = None
    """A whole number, or its text."""


class OperatorSpecParameterFloat(_WithoutOptions):
    type: Literal["float"]
    """A finite number."""
    default: Annotated[
        float | None, BeforeValidator(fitting(to_float), json_schema_input_type=float | _FloatText | None)
    ] = None
    """A number, or its text."""


class OperatorSpecParameterBoolean(_WithoutOptions):
    type: Literal["bool"]
    """true or false."""
    default: Annotated[
        bool | None, BeforeValidator(fitting(to_bool), json_schema_input_type=bool | _BooleanText | None)
    ] = None
    """true or false, or their text."""


class OperatorSpecParameterMount(_WithoutOptions):
    type: Literal["mount"]
    """A file or folder of the host, which the kernel sees under the data directory by the parameter's name."""
    default: Annotated[str | None, AfterValidator(lambda path: path or None)] = None
    """A path of the host; an empty one is none."""
    writable: bool = False
    """Whether the kernel may write to it; a container cannot otherwise."""


class OperatorSpecParameterPath(_WithoutOptions):
    type: Literal["path"]
    """A path that the kernel is given as text, where the path mapping rules have it; nothing is mounted for it."""
    default: Annotated[str | None, AfterValidator(lambda path: path or None)] = None
    """A path, of any machine; an empty one is none."""


class OperatorSpecParameterConnection(_WithoutOptions):
    type: Literal["connection"]
    """What the kernel connects to: a dict of values that stand in connections.json, and nowhere else."""
    default: Annotated[
        str | None,
        BeforeValidator(
            fitting(to_reference), json_schema_input_type=Annotated[str, Field(pattern=REFERENCE_TEXT)] | None
        ),
    ] = None
    """The connection's name: @family.alias."""


class OperatorSpecParameterStrEnum(OperatorSpecParameterBase):
    type: Literal["str-enum"]
    """One of several texts."""
    options: Annotated[
        tuple[str, ...],
        BeforeValidator(
            lambda value: tuple(value) if isinstance(value, list) else value,
            json_schema_input_type=Annotated[list[str], Field(min_length=1)],
        ),
    ] = Field(min_length=1)
    """The texts to choose from."""
    default: str | None = None
    """One of the options."""

    @field_validator("default")
    @classmethod
    def _is_an_option(cls, default: str | None, info: ValidationInfo) -> str | None:
        options = info.data.get("options")  # absent where the options themselves are wrong
        if default is None or options is None:
            return default
        try:
            return to_option(default, options)
        except MisfitError as error:
            raise refuse(error.message, error.hint) from None


OperatorSpecParameter = Annotated[
    OperatorSpecParameterString
    | OperatorSpecParameterInteger
    | OperatorSpecParameterFloat
    | OperatorSpecParameterBoolean
    | OperatorSpecParameterMount
    | OperatorSpecParameterPath
    | OperatorSpecParameterConnection
    | OperatorSpecParameterStrEnum,
    Field(discriminator="type"),
]
"""A parameter of any type; `type` says of which."""

_CONVERTERS: dict[str, Callable[[object], Value]] = {
    "str": to_str,
    "int": to_int,
    "float": to_float,
    "bool": to_bool,
    "mount": to_path,
    "path": to_path,
    "connection": to_reference,
}


def coerce(parameter: OperatorSpecParameter, value: object, path: str = "$", *, source: str = "") -> Value:
    """The typed value that `value` stands for: a JSON value, or text as a command line gives it.

    None, and for numbers and booleans the text `null`, mean that the parameter is absent, which a required one
    cannot be. `path` and `source` say in an error where the value stood.

    Raises `ParameterValueError`, and nothing else.
    """
    if value is None or (value == "null" and parameter.type in ("int", "float", "bool")):
        if not parameter.required:
            return None
        message = f"the parameter {parameter.name!r} is required and cannot be null"
        hint = f"give a value of type {parameter.type}"
        raise ParameterValueError(parameter.name, Problem(source, path, message, hint))
    try:
        if parameter.type == "str-enum":
            return to_option(value, parameter.options)
        return _CONVERTERS[parameter.type](value)
    except MisfitError as error:
        message = f"parameter {parameter.name!r}: {error.message}"
        raise ParameterValueError(parameter.name, Problem(source, path, message, error.hint)) from None


def describe_default(parameter: OperatorSpecParameter) -> str:
    """The default as a file shows it, or an empty text where there is none."""
    return "" if parameter.default is None else show(parameter.default)
