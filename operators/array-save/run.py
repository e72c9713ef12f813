"""Writes an array into the run's outputs, as numpy's .npy."""

import io
from typing import Any

import numpy as np

from distiller_streaming.outputs import is_newer, note_revision, output_path, replace_file
from interactem.runtime import BytesMessage, Context, operator


@operator
def save(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> None:
    name = parameters.get("file", "array.npy")
    path = output_path(context.outputs, name, (".npy",))
    if is_newer(context.state, name, inputs.meta):
        file = io.BytesIO()
        np.save(file, inputs.array, allow_pickle=False)
        replace_file(path, file.getbuffer())
        note_revision(context.state, name, inputs.meta)
