"""Passes messages on, and fails with some: with one kind once, with the other always."""

from typing import Any

from interactem.runtime import BytesMessage, Context, operator


@operator
def pass_on(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> BytesMessage:
    number = inputs.meta["number"]
    if hits(parameters["fails_always"], number):
        raise ValueError(f"{number} never passes")
    if hits(parameters["fails_once"], number) and context.attempt == 1:
        raise ValueError(f"{number} does not pass at first")
    return inputs


def hits(every: int, number: int) -> bool:
    return every > 0 and number % every == every - 1
