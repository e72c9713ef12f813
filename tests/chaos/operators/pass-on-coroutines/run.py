"""Passes messages on from several coroutines, in order; fails on some always, on others at their first attempt."""

import asyncio
import os

from interactem.runtime import BytesMessage, MessageHeader, operator


@operator(concurrency=8, ordered=True)
async def pass_on(inputs, parameters, context):
    number = inputs.meta["number"]
    await asyncio.sleep(0.001 * (number % 3))
    always, once = parameters["always"], parameters["once"]
    if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
        if parameters["mode"] == "exit":
            os._exit(7)
        raise ValueError(f"not {number}")
    return BytesMessage(MessageHeader(meta=inputs.meta), inputs.data)
