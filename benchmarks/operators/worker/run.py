"""Takes so much of a processor for each message, and sends it on."""

import time
from typing import Any

from interactem.runtime import BytesMessage, operator


@operator
def work(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
    until = time.thread_time() + parameters["milliseconds"] / 1e3
    while time.thread_time() < until:
        sum(range(100))
    return inputs
