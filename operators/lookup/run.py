"""Adds to each JSON record what a table, a side input, says of it."""

import json
from typing import Any

from interactem.runtime import BytesMessage, Context, MessageHeader, operator


@operator
def look_up(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> BytesMessage:
    try:
        record = json.loads(bytes(inputs.data))
    except ValueError:
        return inputs
    if not isinstance(record, dict):
        return inputs
    row = context.side_inputs["table"].get(str(record.get(parameters["field"])))
    found = {**record, parameters["into"]: row}
    return BytesMessage(MessageHeader(meta=inputs.header.meta), json.dumps(found, ensure_ascii=False).encode())
