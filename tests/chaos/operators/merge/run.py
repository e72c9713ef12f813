"""Two inputs become one output, which says where each message came in."""

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def merge(inputs):
    lane = f"{inputs.meta['lane']}/{inputs.port}"
    return BytesMessage(MessageHeader(meta={"lane": lane, "number": inputs.meta["number"]}), inputs.data)
