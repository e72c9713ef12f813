"""Passes on what comes, and keeps count; triggers tell the count, or count it down."""

import numpy as np

from interactem.runtime import BytesMessage, operator


@operator
def poked(inputs, parameters, context, trigger):
    state = context.state
    if trigger is None:
        state["count"] = state.get("count", 0) + 1
        return inputs
    if trigger == "fail":
        state["count"] = -1
        raise ValueError("poked in the wrong place")
    if trigger == "drain":
        state["left"] = state.get("left", 3) - 1
        if state["left"] < 0:
            return None
    number = -2 - state["left"] if trigger == "drain" else -1
    return BytesMessage.from_array(np.array([state["count"]]), number=number)
