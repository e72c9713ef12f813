"""Pipelines: the file that names operators and joins their ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from interactem.spec.errors import Problem, SpecError
from interactem.spec.models import SpecModel, null_is_empty, refuse
from interactem.spec.operators import Attempts, Timeout
from interactem.spec.resources import Resources
from interactem.spec.routes import RouteKey, When
from interactem.spec.values import Value
from interactem.spec.wording import join_path, kind, show, suggest

MAJOR_VERSION = 1
"""The version of the pipeline file that this package reads and writes."""

KEY_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
REFERENCE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}\..+$"
VERSION_PATTERN = rf"^{MAJOR_VERSION}(\.[0-9]+)*$"

Key = Annotated[str, Field(pattern=KEY_PATTERN)]
"""An operator's name in a pipeline."""


class PortReference(NamedTuple):
    """A port of an operator of a pipeline, in the file `operator.port`."""

    operator: str
    port: str

    def __str__(self) -> str:
        return f"{self.operator}.{self.port}"

    @classmethod
    def parse(cls, text: str) -> PortReference:
        """Splits at the first dot, since ports may have dots in their names. Raises `ValueError` for other text."""
        if not re.fullmatch(REFERENCE_PATTERN, text):
            raise ValueError(f"{show(text)} is not a port; write operator.port, such as frames.out")
        operator, _, port = text.partition(".")
        return cls(operator, port)


def _reference(value: object) -> object:
    if isinstance(value, PortReference):
        return value
    if not isinstance(value, str):
        raise refuse(f"should be a string, not {kind(value)}", "write operator.port, such as frames.out")
    try:
        return PortReference.parse(value)
    except ValueError as error:
        message, _, hint = str(error).rpartition("; ")
        raise refuse(message, hint) from None


_Reference = Annotated[
    PortReference,
    BeforeValidator(_reference),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": REFERENCE_PATTERN}),
]


def _scalar(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise refuse(f"a parameter's value cannot be {kind(value)}", "give a string, a number, true, false or null")


_Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


def _version(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(VERSION_PATTERN, text):
        raise refuse(f"version {show(value)} is not one that this program reads", f'it reads version "{MAJOR_VERSION}"')
    return text


_Version = Annotated[
    str,
    BeforeValidator(_version),
    WithJsonSchema({"anyOf": [{"const": MAJOR_VERSION}, {"type": "string", "pattern": VERSION_PATTERN}]}),
]


def _by_name_or_image(schema: dict[str, Any]) -> None:
    schema["required"].remove("operator")
    schema["anyOf"] = [{"required": ["operator"]}, {"required": ["image"]}]


class PipelineOperator(SpecModel):
    """An operator in a pipeline: which one it is, by its name in the catalog or by its image, and its settings."""

    model_config = ConfigDict(json_schema_extra=_by_name_or_image)

    operator: str = Field(min_length=1)
    """The operator's name in the catalog: its folder's. Of one that is named by its image, that name."""
    image: str | None = Field(default=None, min_length=1)
    """In place of `operator`: the container image that holds the operator, and its spec in a label."""
    description: str = ""
    """What it does here."""
    parameters: dict[str, _Scalar] = Field(default_factory=dict)
    """Values for its parameters, by name; null makes one absent."""
    side_inputs: dict[str, str] = Field(default_factory=dict)
    """Its side inputs: the operators of this pipeline that give them, by the names that its spec declares."""
    replicas: int = Field(default=1, ge=1)
    """How many processes or containers share its input."""
    timeout: Timeout | None = None
    """How long one call of the kernel may take, in seconds; before what the spec says."""
    max_attempts: Attempts | None = None
    """After how many failed attempts a message is a dead letter; 0 is never; before what the spec says."""
    resources: Resources | None = None
    """The most that one replica may have of its machine, in a container; each before what the spec says."""

    @model_validator(mode="before")
    @classmethod
    def _named_once(cls, value: object) -> object:
        if not isinstance(value, dict) or not isinstance(value.get("image"), str):
            return value
        if value.get("operator", value["image"]) != value["image"]:
            raise refuse("it is named twice, by operator and by image", "keep one of both")
        return {**value, "operator": value["image"]}


class PipelineEdge(SpecModel):
    """A connection from an output port to an input port."""

    source: _Reference = Field(alias="from")
    """The output port that the messages come from: operator.port."""
    target: _Reference = Field(alias="to")
    """The input port that they go to: operator.port."""
    when: When | None = None
    """Which messages it takes; without it, all."""
    key: RouteKey | None = None
    """A place in the messages' meta: those with equal values there go to the same replica, in order."""
    ordered: bool = False
    """Whether a message that fails holds back what comes behind it with its key; without a key, all that does."""

    @model_serializer(mode="wrap")
    def _without_absent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value is not None and value is not False}

    @property
    def route(self) -> str:
        """What it says beside its ports, for people; empty where that is nothing."""
        said = [f"when {self.when}"] if self.when else []
        said += [f"key {self.key}"] if self.key else []
        said += ["ordered"] if self.ordered else []
        return ", ".join(said)

    @classmethod
    def between(cls, source: str | PortReference, target: str | PortReference) -> PipelineEdge:
        return cls.model_validate({"from": source, "to": target})

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class PipelineSpec(SpecModel):
    """A pipeline file."""

    schema_uri: str | None = Field(default=None, alias="$schema")
    """Where an editor finds the JSON Schema of this file."""
    version: _Version | None = None
    """The version of this file's format."""
    name: str = Field(min_length=1)
    """The pipeline's name."""
    description: str = ""
    """What the pipeline does."""
    durability: Literal["power", "process"] = "power"
    """What a run survives: the loss of power, or only that of its processes."""
    operators: dict[Key, PipelineOperator] = Field(min_length=1, json_schema_extra={"additionalProperties": False})
    """The operators, by the names that the edges use."""
    edges: Annotated[tuple[PipelineEdge, ...], null_is_empty(PipelineEdge)] = ()
    """What is connected to what."""

    def with_parameters(self, values: Mapping[str, Mapping[str, Value]]) -> PipelineSpec:
        """The same pipeline with these parameters set, by operator and name. Raises `SpecError`: unknown operators."""
        self._require(values)
        return self._with(
            {key: {"parameters": {**self.operators[key].parameters, **new}} for key, new in values.items()}
        )

    def with_replicas(self, counts: Mapping[str, int]) -> PipelineSpec:
        """The same pipeline with these numbers of replicas. Raises `SpecError`: unknown operators, less than 1."""
        self._require(counts)
        few = [key for key, count in counts.items() if count < 1]
        if few:
            raise SpecError(Problem("", key, f"{counts[key]} replicas", "give 1 or more") for key in few)
        return self._with({key: {"replicas": count} for key, count in counts.items()})

    def _require(self, keys: Mapping[str, object]) -> None:
        unknown = [key for key in keys if key not in self.operators]
        if unknown:
            raise SpecError(
                Problem("", key, f"the pipeline has no operator {key!r}", suggest(key, self.operators, "operators"))
                for key in unknown
            )

    def _with(self, changes: Mapping[str, dict[str, Any]]) -> PipelineSpec:
        changed = {key: self.operators[key].model_copy(update=update) for key, update in changes.items()}
        return self.model_copy(update={"operators": {**self.operators, **changed}})


def parse_assignment(text: str) -> tuple[str, str, str]:
    """`operator.parameter=value` as its three parts, the value still text. Raises `SpecError` for other text."""
    name, equals, value = text.partition("=")
    operator, dot, parameter = name.partition(".")
    if not (equals and dot and operator and parameter):
        raise SpecError([Problem("", "", f"{show(text)} does not set a parameter", "write operator.parameter=value")])
    return operator, parameter, value


def operator_path(key: str, *steps: str | int) -> str:
    """The JSON path of something of an operator in a pipeline file."""
    return join_path("$", "operators", key, *steps)
