"""Sends on what it receives, as a batch kernel."""

from collections.abc import Sequence

from interactem.runtime import BytesMessage, operator


@operator.batch(max_size=256)
def pass_on(inputs: Sequence[BytesMessage]) -> list[BytesMessage]:
    return list(inputs)
