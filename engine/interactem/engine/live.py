"""Parameters of a run, changed while it runs or before it is resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from interactem.engine.answers import Answers
from interactem.engine.errors import EngineError
from interactem.engine.plan import Plan
from interactem.runtime.connections import Storer
from interactem.runtime.subjects import short_hash
from interactem.runtime.transports import Store
from interactem.spec import OperatorSpec, Problem, SpecError, coerce
from interactem.spec.wording import suggest

START_SECONDS = 30.0
LOOK_SECONDS = 0.05


def check_parameters(plan: Plan, values: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Any]]:
    """The values, typed by the operators' specs. Raises `SpecError` with everything that is wrong."""
    problems: list[Problem] = []
    typed: dict[str, dict[str, Any]] = {}
    known = {operator.key: operator for operator in plan.operators}
    for key, given in values.items():
        if key not in known:
            problems.append(Problem("", key, f"the run has no operator {key!r}", suggest(key, known, "operators")))
            continue
        spec = OperatorSpec.model_validate(plan.specs[known[key].operator])
        for name, value in given.items():
            try:
                typed.setdefault(key, {})[name] = _typed(spec, key, name, value)
            except SpecError as error:
                problems += error.problems
    if problems:
        raise SpecError(problems)
    return typed


def _typed(spec: OperatorSpec, key: str, name: str, value: object) -> Any:
    parameters = {parameter.name: parameter for parameter in spec.parameters}
    path = f"{key}.{name}"
    if name not in parameters:
        hint = suggest(name, parameters, "parameters")
        raise SpecError([Problem("", path, f"there is no parameter {name!r}", hint)])
    if parameters[name].type == "mount":
        raise SpecError([Problem("", path, "a mount cannot change while a run goes on", "start a new run with --set")])
    if parameters[name].type == "connection":
        raise SpecError([Problem("", path, "a connection cannot change while a run goes on", "start a new run")])
    return coerce(parameters[name], value, path)


async def set_parameters(storer: Storer, plan: Plan, values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Store typed values; replicas take them up before their next message. Returns each operator's parameters."""
    result: dict[str, Any] = {}
    for key, given in values.items():
        index = plan.operator(key).index
        subject = plan.names.control(index, "parameters")
        stored = json.loads(await _stored(storer, plan, plan.names.control_stream(index), subject))
        changed = {name: value for name, value in {**stored, **given}.items() if value is not None}
        await storer.store(Store(subject, _payload(changed)))
        result[key] = changed
    return result


async def taken_up(answers: Answers, plan: Plan, changed: Mapping[str, Any], *, seconds: float) -> dict[str, int]:
    """How many replicas of each operator have these parameters; waits for all, up to `seconds`.

    `answers` have been listened to since before they were set.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        took = {key: _took(answers, plan.operator(key).index, parameters) for key, parameters in changed.items()}
        everyone = all(took[key] == plan.operator(key).replicas for key in took)
        if everyone or (left := until - loop.time()) <= 0:
            return took
        await answers.wait(left)


def _took(answers: Answers, index: int, parameters: Mapping[str, Any]) -> int:
    digest = short_hash(_payload(parameters).decode())
    return sum(operator == index for operator, _ in answers.of(lambda value: value.get("parameters") == digest))


def _payload(parameters: Mapping[str, Any]) -> bytes:
    return json.dumps(parameters).encode()


async def _stored(storer: Storer, plan: Plan, stream: str, subject: str) -> bytes:
    """What is stored there; a run that was started a moment ago has still to store it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + START_SECONDS
    while True:
        try:
            return await storer.last_one(stream, subject)
        except KeyError:
            if loop.time() > until:
                raise EngineError(f"run {plan.run} has no parameters in its broker: it has not started") from None
        await asyncio.sleep(LOOK_SECONDS)
