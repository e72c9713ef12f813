"""Counts how often each number came, and sends the counts at the end."""

import numpy as np

from interactem.runtime import BytesMessage, operator


def finish(parameters, context):
    counts = context.state.get("counts", {})
    return [BytesMessage.from_array(counts[lane], lane=f"{lane}/total") for lane in sorted(counts)]


@operator(finish=finish)
def tally(inputs, parameters, context):
    counts = context.state.setdefault("counts", {})
    lane = inputs.meta["lane"]
    if lane not in counts:
        counts[lane] = np.zeros(parameters["count"], np.uint8)
    counts[lane][inputs.meta["number"]] += 1
