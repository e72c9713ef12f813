"""Sends three numbers, and takes too long with the fourth."""

import time

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def send(parameters, context):
    for number in range(context.position, 4):
        if number == 3:
            time.sleep(1000)
        yield BytesMessage(MessageHeader(meta={"number": number}))
