"""Writes when its first message came."""

import json
import os
import time

from interactem.runtime import BytesMessage, Context, operator


@operator
def first_arrival(inputs: BytesMessage, context: Context) -> None:
    now = time.monotonic()
    path = context.outputs / "first-arrival.json"
    if path.exists():
        return
    context.outputs.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".first-arrival.partial")
    temporary.write_text(json.dumps({"monotonic": now}) + "\n", encoding="utf-8")
    os.replace(temporary, path)
