"""Sends on what it receives."""

from interactem.runtime import BytesMessage, operator


@operator
def pass_through(inputs: BytesMessage) -> BytesMessage:
    return inputs
