"""Gives each message the next number of its group, kept in state of its replica; fails on some after it has changed."""

from interactem.runtime import BytesMessage, MessageHeader, operator

GROUPS = 7


@operator
def turn(inputs, parameters, context):
    number, group = inputs.meta["number"], inputs.meta["group"]
    turn = context.state.get(group, 0)
    context.state[group] = turn + 1
    once = parameters["once"]
    if once and number % once == 1 and context.attempt == 1:
        raise ValueError(f"not yet {number}")
    return BytesMessage(MessageHeader(meta={**inputs.meta, "serial": turn * GROUPS + group}), inputs.data)
