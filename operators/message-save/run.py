"""Writes the data of each message into a file of its own, named by the message's id."""

from typing import Any

from interactem.runtime import BytesMessage, Context, operator


@operator.sink
def save(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    folder = context.outputs / parameters["folder"]
    if context.outputs not in folder.parents or ".." in folder.parts or "/" in parameters["suffix"]:
        raise ValueError(f"{parameters['folder']!r} is not the name of a folder in the run's outputs/")
    folder.mkdir(parents=True, exist_ok=True)
    name = str(context.message_id).replace("/", "-") + parameters["suffix"]
    temporary = folder / f".{name}"
    temporary.write_bytes(inputs.data)
    temporary.rename(folder / name)
