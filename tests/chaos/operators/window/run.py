"""Counts how often each number came, in windows of 25 numbers and by their remainder; sends the counts of each window.

A number is its own event time: what comes too late is missing from the counts, and what is told twice is doubled.
"""

import numpy as np

from interactem.runtime import BytesMessage, Fixed, operator


@operator.reduce(
    window=Fixed(25), key=lambda message: message.meta["number"] % 5, event_time="meta.number", patience=3600
)
def window(key, messages, window, parameters):
    counts = np.zeros(parameters["count"], np.uint8)
    for message in messages:
        number = message.meta["number"]
        if number % 5 == key and window.start <= number < window.end:
            counts[number] += 1
    return BytesMessage.from_array(counts, lane="numbers/windows")
