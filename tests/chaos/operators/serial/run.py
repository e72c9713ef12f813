"""Gives each message the next number of its own, kept in its state; fails on some after it has changed that."""

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def serial(inputs, parameters, context):
    number = inputs.meta["number"]
    serial = context.state.get("next", 0)
    context.state["next"] = serial + 1
    always, once = parameters["always"], parameters["once"]
    if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
        raise ValueError(f"not {number}")
    return BytesMessage(MessageHeader(meta={**inputs.meta, "serial": serial}), inputs.data)
