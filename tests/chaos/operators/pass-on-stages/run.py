"""Passes messages on through three stages and a file of their own; fails in the last of them."""

from interactem.runtime import BytesMessage, MessageHeader, operator


def keep(inputs, context):
    path = context.folder / "message"
    path.write_bytes(inputs.data)
    return path


def send(path, parameters, context):
    number = context.message.meta["number"]
    always, once = parameters["always"], parameters["once"]
    if (always and number % always == 0) or (once and number % once == 1 and context.attempt == 1):
        raise ValueError(f"not {number}")
    return BytesMessage(MessageHeader(meta=context.message.meta), path.read_bytes())


@operator.staged(prepare=keep, output=send, prepare_concurrency=4, max_concurrency=2, output_concurrency=4)
def pass_on(path):
    return path.rename(path.with_name("done"))
