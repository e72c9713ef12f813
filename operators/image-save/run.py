"""Writes an image into the run's outputs."""

from typing import Any

from distiller_streaming.outputs import is_newer, note_revision, output_path, replace_file
from interactem.runtime import BytesMessage, Context, operator

SUFFIXES = (".png", ".jpg", ".jpeg", ".svg", ".tif", ".tiff", ".webp")


@operator
def save(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    name = parameters.get("file", "image.png")
    path = output_path(context.outputs, name, SUFFIXES)
    if is_newer(context.state, name, inputs.meta):
        replace_file(path, inputs.data)
        note_revision(context.state, name, inputs.meta)
