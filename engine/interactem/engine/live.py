"""Parameters of a run, changed while it runs or before it is resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from interactem.engine.answers import Answers
from interactem.engine.errors import EngineError, RefusedError
from interactem.engine.plan import Plan
from interactem.runtime.connections import Storer
from interactem.runtime.mapped_values import with_mapped_values
from interactem.runtime.path_mapping import parse_rules
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
    rules = parse_rules(plan.path_rules) if plan.path_rules else ()
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
        typed[key] = with_mapped_values(spec, typed.get(key, {}), rules)
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
        merged = {**await _parameters(storer, plan, key), **given}
        result[key] = {name: value for name, value in merged.items() if value is not None}
        await _store(storer, plan, key, result[key])
    return result


async def change_parameters(
    storer: Storer, plan: Plan, values: Mapping[str, Mapping[str, Any]], *, seconds: float
) -> tuple[dict[str, Any], dict[str, int]]:
    """Set parameters of a run that goes on: each operator's parameters, and how many of its replicas have them.

    Waits for all replicas, up to `seconds`. Raises `RefusedError` where a kernel does not take them: the operators
    then have the parameters that they had.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    before = {key: await _parameters(storer, plan, key) for key in values}
    async with Answers.listening(storer.client, plan) as answers:
        changed = await set_parameters(storer, plan, values)
        while True:
            told = {key: _told(answers, plan.operator(key).index, changed[key]) for key in changed}
            refused = [(key, str(one["refused"])) for key in told for one in told[key] if "refused" in one]
            if refused:
                for key, parameters in before.items():
                    await _store(storer, plan, key, parameters)
                raise RefusedError(*refused[0])
            everyone = all(len(told[key]) == plan.operator(key).replicas for key in told)
            if everyone or (left := until - loop.time()) <= 0:
                return changed, {key: len(replicas) for key, replicas in told.items()}
            await answers.wait(left)


def _told(answers: Answers, index: int, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What replicas have answered to these parameters."""
    digest = short_hash(_payload(parameters).decode())
    told = answers.of(lambda value: value.get("parameters") == digest)
    return [value for (operator, _), value in told.items() if operator == index]


async def _parameters(storer: Storer, plan: Plan, key: str) -> dict[str, Any]:
    index = plan.operator(key).index
    subject = plan.names.control(index, "parameters")
    stored: dict[str, Any] = json.loads(await _stored(storer, plan, plan.names.control_stream(index), subject))
    return stored


async def _store(storer: Storer, plan: Plan, key: str, parameters: Mapping[str, Any]) -> None:
    subject = plan.names.control(plan.operator(key).index, "parameters")
    await storer.store(Store(subject, _payload(parameters)))


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
