"""Puts partial centres of mass together to maps of the scan."""

from typing import Any

from distiller_streaming import COMPartial, ScanMaps
from distiller_streaming.maps import EMISSIONS
from interactem.runtime import BytesMessage, Context, operator


def finish(context: Context) -> BytesMessage | None:
    maps = ScanMaps(context.state)
    if not maps.started:
        context.logger.warning("the stream ended before any frame came: there are no maps")
        return None
    if maps.filled < maps.total:
        context.logger.warning("%d of %d scan positions never came; they are NaN", maps.total - maps.filled, maps.total)
    return maps.to_bytes_message(final=True)


@operator(finish=finish)
def reduce(inputs: BytesMessage, parameters: dict[str, Any], context: Context) -> BytesMessage | None:
    maps = ScanMaps(context.state)
    before = maps.filled
    filled = maps.add(COMPartial.from_bytes_message(inputs))
    asked = parameters.get("emit_every", 0)
    step = asked if asked > 0 else max(1, maps.total // EMISSIONS)
    # the full maps are sent once, at the end of the stream
    due = filled // step > before // step and filled < maps.total
    return maps.to_bytes_message() if due else None
