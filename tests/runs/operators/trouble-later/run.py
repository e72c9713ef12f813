"""Squares of numbers, with some of which it never comes to an end."""

import asyncio

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator
async def trouble(inputs, parameters, context):
    number = inputs.meta["number"]
    every, attempts = parameters["every"], parameters["attempts"]
    if every and number % every == 0 and (attempts == 0 or context.attempt <= attempts):
        await asyncio.sleep(1000)
    return BytesMessage(MessageHeader(meta={"number": number, "square": number**2}), inputs.data)
