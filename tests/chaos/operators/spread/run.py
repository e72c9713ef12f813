"""Sends three copies of each message, each on a lane of its own; at some first attempts it fails between them."""

from interactem.runtime import BytesMessage, MessageHeader, operator

COPIES = 3


@operator.stream
def spread(inputs, parameters, context):
    number, lane = inputs.meta["number"], inputs.meta["lane"]
    once = parameters["once"]
    for copy in range(COPIES):
        if copy == number % COPIES and once and number % once == 1 and context.attempt == 1:
            raise ValueError(f"not yet {number}")
        yield BytesMessage(MessageHeader(meta={"lane": f"{lane}/{copy}", "number": number}), inputs.data)
