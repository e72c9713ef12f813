"""Counts how often each number came: once, if nothing is lost or doubled."""

import numpy as np

from interactem.runtime import BytesMessage, operator


def finish(parameters, context):
    if parameters["broken"]:
        raise RuntimeError("no end in sight")
    counts = context.state.get("counts", np.zeros(parameters["count"], int))
    return BytesMessage.from_array(counts, number=-1)


@operator(finish=finish)
def total(inputs, parameters, context):
    counts = context.state.setdefault("counts", np.zeros(parameters["count"], int))
    counts[inputs.meta["number"]] += 1
