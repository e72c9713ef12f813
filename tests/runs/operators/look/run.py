"""Passes large arrays on with what is in them. One may take long: until somebody says so."""

import os
import time

import numpy as np

from interactem.runtime import BytesMessage, operator


@operator
def look(inputs, parameters, context):
    number = inputs.meta["number"]
    if number == parameters["fails"] and context.attempt == 1:
        raise ValueError("once")
    if number == parameters["holds"] and not list(context.outputs.glob(".holds-*")):
        context.outputs.joinpath(f".holds-{os.getpid()}").touch()
        while not context.outputs.joinpath(".go").exists():
            time.sleep(0.02)
    found = [int(value) for value in np.unique(inputs.array)]
    return BytesMessage.from_array(inputs.array, number=number, square=found)
