"""Passes messages on, and fails with some: with one kind once, with the other always."""

from interactem.runtime import operator


@operator
def pass_on(inputs, parameters, context):
    number = inputs.meta["number"]
    if hits(parameters["fails_always"], number):
        raise ValueError(f"{number} never passes")
    if hits(parameters["fails_once"], number) and context.attempt == 1:
        raise ValueError(f"{number} does not pass at first")
    return inputs


def hits(every, number):
    return every > 0 and number % every == every - 1
