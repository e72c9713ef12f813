import json

from interactem.runtime import Failed, operator


@operator.sink
def keep(inputs, context):
    try:
        record = json.loads(bytes(inputs.data))
    except ValueError:
        return inputs.to("rejected")
    before = record.get("after")
    if before and not (context.outputs / f"{before}.json").exists():
        return Failed(f"{before} is not there yet")
    (context.outputs / f"{record['name']}.json").write_bytes(inputs.data)
    return None
