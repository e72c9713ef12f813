"""Operators: the spec in an `operator.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from interactem.spec.commands import CommandSpec
from interactem.spec.errors import ParameterValueError, Problem, SpecError
from interactem.spec.models import Name, SpecModel, distinct, null_is_empty, refuse
from interactem.spec.parameters import OperatorSpecParameter, coerce
from interactem.spec.resources import Resources
from interactem.spec.values import Value
from interactem.spec.wording import join_path, suggest

OperatorSpecID = UUID
"""What tells operators apart, whatever their names."""

ANY_TYPE = "any"
"""The type of a port that fits every other."""

Timeout = Annotated[float, Field(gt=0)]
Attempts = Annotated[int, Field(ge=0)]


class OperatorSpecPort(SpecModel):
    """What inputs and outputs have in common."""

    name: Name
    """The name that a pipeline's edges use."""
    type: str = Field(min_length=1)
    """What the messages hold; an edge joins ports of one type, and `any` fits all."""
    label: str = ""
    """The name that people read."""
    description: str = ""
    """What the messages hold, in words."""


class OperatorSpecInput(OperatorSpecPort):
    required: bool = True
    """Whether an edge must lead to this input."""


class OperatorSpecOutput(OperatorSpecPort):
    fallback: bool = False
    """Whether only what the kernel could not deal with goes here, by its name: a sink may have such ports."""


class OperatorSpecTag(SpecModel):
    """What a machine must have for this operator to run on it."""

    value: str = Field(min_length=1)
    """A word, such as `gpu`."""
    description: str | None = None
    """What it stands for."""


class ParallelConfig(SpecModel):
    type: Literal["none", "embarrassing"] = "none"
    """`embarrassing`: replicas may share the input in any order."""


class OperatorSpecTrigger(SpecModel):
    name: Name
    """The name to poke it by."""
    label: str = ""
    """The name that people read."""
    description: str = ""
    """What a poke does."""
    mode: Literal["single", "drain"] = "single"
    """`single` calls the kernel once for a poke, `drain` until it returns nothing."""


class OperatorSpecSideInput(SpecModel):
    """What a side input gives to the operators that name it."""

    type: str = Field(min_length=1)
    """What its value holds; those that name it declare the same, and `any` fits all."""
    description: str = ""
    """What the value is, in words."""
    every: Timeout = 60.0
    """Seconds between two calls."""


class OperatorSpecNamedSideInput(SpecModel):
    """A side input that the kernel finds in `context.side_inputs`."""

    name: Name
    """The name that the kernel finds it by."""
    type: str = Field(min_length=1)
    """What its value holds."""
    label: str = ""
    """The name that people read."""
    description: str = ""
    """What the value is, in words."""
    required: bool = True
    """Whether the pipeline must say which operator it is."""
    wait: Timeout = 60.0
    """How long a replica waits for the first value, in seconds."""


class OperatorSpec(SpecModel):
    """An `operator.json`: what an operator takes, gives and can be set to."""

    schema_uri: str | None = Field(default=None, alias="$schema")
    """Where an editor finds the JSON Schema of this file."""
    id: OperatorSpecID = Field(strict=False)
    """A UUID of its own, such as the one that `uuidgen` prints."""
    label: str
    """The name that people read."""
    description: str
    """What the operator does, in a sentence."""
    image: str = Field(min_length=1)
    """The container image, such as `ghcr.io/you/operators/center-of-mass`."""
    inputs: Annotated[tuple[OperatorSpecInput, ...], null_is_empty(OperatorSpecInput), AfterValidator(distinct)] = ()
    """The input ports; an operator without is a source."""
    outputs: Annotated[tuple[OperatorSpecOutput, ...], null_is_empty(OperatorSpecOutput), AfterValidator(distinct)] = ()
    """The output ports; an operator without, or with none but fallbacks, is a sink."""
    parameters: Annotated[
        tuple[OperatorSpecParameter, ...], null_is_empty(OperatorSpecParameter), AfterValidator(distinct)
    ] = ()
    """The settings of the kernel."""
    tags: Annotated[tuple[OperatorSpecTag, ...], null_is_empty(OperatorSpecTag)] = ()
    """What it needs of a machine."""
    parallel_config: ParallelConfig | None = None
    """Whether replicas may share the input."""
    triggers: Annotated[
        tuple[OperatorSpecTrigger, ...], null_is_empty(OperatorSpecTrigger), AfterValidator(distinct)
    ] = ()
    """Pokes that call the kernel out of band."""
    timeout: Timeout | None = None
    """How long one call of the kernel may take, in seconds."""
    max_attempts: Attempts | None = None
    """After how many failed attempts a message is a dead letter; 0 is never."""
    resources: Resources | None = None
    """The most that one replica may have of its machine, in a container."""
    command: CommandSpec | None = None
    """The executable that does the work, in place of a kernel in run.py."""

    side_input: OperatorSpecSideInput | None = None
    """Of an operator that is a side input of others: without ports, called on a schedule."""
    side_inputs: Annotated[
        tuple[OperatorSpecNamedSideInput, ...], null_is_empty(OperatorSpecNamedSideInput), AfterValidator(distinct)
    ] = ()
    """The side inputs that its kernel looks at."""

    @model_validator(mode="after")
    def _side_input_alone(self) -> Self:
        others = ("inputs", "outputs", "triggers", "side_inputs", "command")
        there = [name for name in others if getattr(self, name)] if self.side_input is not None else []
        if there:
            raise refuse(f"a side input has no {there[0]}: it gives one value", f"leave {there[0]} or side_input out")
        return self

    @model_validator(mode="after")
    def _falls_back_from_something(self) -> Self:
        names = [port.name for port in self.outputs if port.fallback]
        if names and not self.inputs:
            raise refuse(f"the output {names[0]!r} is a fallback, and nothing is sent to a source", "leave it out")
        return self

    @property
    def is_sink(self) -> bool:
        """Whether its effects are its own: it sends nothing on, but for what goes to a fallback."""
        return all(port.fallback for port in self.outputs)

    @property
    def embarrassing(self) -> bool:
        """Whether several replicas may share the input."""
        return self.parallel_config is not None and self.parallel_config.type == "embarrassing"

    def input(self, name: str) -> OperatorSpecInput | None:
        return next((port for port in self.inputs if port.name == name), None)

    def named_side_input(self, name: str) -> OperatorSpecNamedSideInput | None:
        return next((entry for entry in self.side_inputs if entry.name == name), None)

    def output(self, name: str) -> OperatorSpecOutput | None:
        return next((port for port in self.outputs if port.name == name), None)

    def parameter(self, name: str) -> OperatorSpecParameter | None:
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


def resolve_parameters(
    spec: OperatorSpec, overrides: Mapping[str, object], *, source: str = "", path: str = "$.parameters"
) -> dict[str, Value]:
    """The typed values of an operator's parameters: what is given, else the default. Mounts are among them.

    A parameter without either, and one that is set to null, is left out. `source` and `path` say in an error where
    the overrides stand. Raises `SpecError` with every unknown name, every value that does not fit and every required
    parameter that has none.
    """
    known = [parameter.name for parameter in spec.parameters]
    problems = [
        Problem(source, join_path(path, name), f"there is no parameter {name!r}", suggest(name, known, "parameters"))
        for name in overrides
        if name not in known
    ]
    values: dict[str, Value] = {}
    for parameter in spec.parameters:
        given = overrides[parameter.name] if parameter.name in overrides else parameter.default
        if given is None and parameter.required and parameter.name not in overrides:
            message = f"the parameter {parameter.name!r} is required and has no default"
            problems.append(Problem(source, path, message, f"add {parameter.name!r}, of type {parameter.type}"))
            continue
        try:
            value = coerce(parameter, given, join_path(path, parameter.name), source=source)
        except ParameterValueError as error:
            problems.extend(error.problems)
            continue
        if value is not None:
            values[parameter.name] = value
    if problems:
        raise SpecError(problems)
    return values
