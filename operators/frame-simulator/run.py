"""Sends the frames of a simulated scan whose true centre of mass is known."""

from collections.abc import Iterator
from typing import Any

from distiller_streaming import Simulation
from distiller_streaming.sources import frames_per_message, message_positions
from interactem.runtime import BytesMessage, Context, operator


def simulation(parameters: dict[str, Any]) -> Simulation:
    """The simulation that the operator's parameters describe; absent ones keep their defaults."""
    given = {name: parameters[name] for name in ("field", "amplitude", "radius", "dose", "seed") if name in parameters}
    return Simulation(
        scan_shape=(parameters.get("scan_rows", 64), parameters.get("scan_columns", 64)),
        frame_shape=(parameters.get("frame_rows", 64), parameters.get("frame_columns", 64)),
        **given,
    )


@operator
def simulate(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    scan = simulation(parameters)
    per_message = frames_per_message(parameters, context.state, default=16)
    for positions in message_positions(scan.scan_shape, per_message, context.position):
        yield scan.frames(positions).to_bytes_message()
