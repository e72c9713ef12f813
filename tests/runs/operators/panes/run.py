"""Sends large arrays that are full of their number, some of them made where they are sent from."""

import time

import numpy as np

from interactem.runtime import BytesMessage, operator


@operator
def panes(inputs, parameters, context):
    for number in range(context.position, parameters["count"]):
        time.sleep(parameters["seconds"])
        if number % 2:
            message = BytesMessage.empty(parameters["size"], np.uint32, number=number)
            message.array[:] = number
            yield message
        else:
            yield BytesMessage.from_array(np.full(parameters["size"], number, np.uint32), number=number)
