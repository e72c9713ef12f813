"""Counts and sums up numbers: right only if each has come once."""

from interactem.runtime import BytesMessage, MessageHeader, operator


def tell(parameters, context):
    state = context.state
    return BytesMessage(MessageHeader(meta={"count": state.get("count", 0), "sum": state.get("sum", 0)}))


@operator(finish=tell)
def add(inputs, parameters, context):
    state = context.state
    state["count"] = state.get("count", 0) + 1
    state["sum"] = state.get("sum", 0) + inputs.meta["number"]
