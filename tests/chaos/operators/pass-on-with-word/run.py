"""Passes messages on; one without the word fails, which no message is to do."""

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def pass_on(inputs, parameters, context):
    if context.side_inputs["word"] != "pass":
        raise ValueError(f"not {inputs.meta['number']} without the word")
    return BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)
