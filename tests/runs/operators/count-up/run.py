"""Sends numbers; a test can make it fail."""

import time
from pathlib import Path

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
def count_up(parameters, context):
    for number in range(context.position, parameters["count"]):
        if number == parameters["fail_at"] and fails(Path(context.outputs, ".failures"), parameters["fails"]):
            raise RuntimeError(f"no number {number} today")
        if parameters["rate"] > 0:
            time.sleep(1 / parameters["rate"])
        data = number.to_bytes(8, "little") + bytes(parameters["size"] - 8)
        yield BytesMessage(MessageHeader(meta={"number": number}), data)


def fails(marker, times):
    """Whether to fail once more, where processes come and go."""
    with marker.open("a+") as file:
        file.write("x")
        file.seek(0)
        return times == 0 or len(file.read()) <= times
