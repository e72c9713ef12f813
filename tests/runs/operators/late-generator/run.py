"""Makes two messages of each number, and of the number 1 too late."""

import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def double(inputs, parameters):
    number = inputs.meta["number"]
    yield BytesMessage(MessageHeader(meta={"number": 2 * number}))
    if number == 1:
        time.sleep(1000)
    yield BytesMessage(MessageHeader(meta={"number": 2 * number + 1}))
