"""Sends the frames of a 4D-STEM file."""

from collections.abc import Iterator
from typing import Any

from distiller_streaming import BatchedFrames, FramesHeader
from distiller_streaming.scans import open_scan
from distiller_streaming.sources import frames_per_message, frames_that_fit, message_positions
from interactem.runtime import BytesMessage, Context, data_directory, operator


@operator
def read(parameters: dict[str, Any], context: Context) -> Iterator[BytesMessage]:
    scan = open_scan(data_directory() / "file", parameters.get("scan_rows"))
    if scan.remark:
        context.logger.warning("%s: %s", scan.path, scan.remark)
    per_message = frames_per_message(parameters, context.state, default=frames_that_fit(scan.frame_bytes))
    for positions in message_positions(scan.scan_shape, per_message, context.position):
        header = FramesHeader(scan.scan_shape, scan.frame_shape, positions)
        yield BatchedFrames(header, scan.read(positions)).to_bytes_message()
