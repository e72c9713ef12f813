"""Gives each number a group, which pipelines can take as its key, and tags."""

from interactem.runtime import BytesMessage, MessageHeader, operator

GROUPS = 7


@operator
def label(inputs, parameters, context):
    number, once = inputs.meta["number"], parameters["once"]
    if once and number % once == 1 and context.attempt == 1:
        raise ValueError(f"not yet {number}")
    tags = [tag for tag, every in (("even", 2), ("third", 3)) if number % every == 0]
    meta = {**inputs.meta, "group": number % GROUPS}
    return BytesMessage(MessageHeader(meta=meta), inputs.data).to("out", tags=tags)
