"""Counts and sums up numbers: right only if each has come once."""

from typing import Any

from interactem.runtime import BytesMessage, Context, MessageHeader, operator


def tell(parameters: dict[str, Any], context: Context) -> BytesMessage:
    state = context.state
    return BytesMessage(MessageHeader(meta={"count": state.get("count", 0), "sum": state.get("sum", 0)}))


@operator(finish=tell)
def add(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    state = context.state
    state["count"] = state.get("count", 0) + 1
    state["sum"] = state.get("sum", 0) + inputs.meta["number"]
