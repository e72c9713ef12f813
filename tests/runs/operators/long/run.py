"""Takes long with the number 0, and notes each call."""

import ctypes
import time
from pathlib import Path

from interactem.runtime import operator


@operator
def long(inputs, parameters, context):
    number = inputs.meta["number"]
    with Path(context.outputs, f"calls-{context.operator}").open("a") as file:
        file.write(f"{number}\n")
    if number == 0 and parameters["hold"]:
        ctypes.PyDLL(None).sleep(int(parameters["seconds"]))
    elif number == 0:
        time.sleep(parameters["seconds"])
    return inputs
