"""What `keep` wants to know of a number."""

from interactem.runtime import BytesMessage, MessageHeader


def postrun(result, inputs):
    number = inputs.meta["number"]
    return BytesMessage(MessageHeader(meta={"number": number, "square": number**2}), result.files[0].read_bytes())
