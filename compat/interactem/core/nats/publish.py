"""`publish_image` and `publish_table_data`, under interactEM's path."""

from __future__ import annotations

from uuid import UUID

from interactem.core.constants import STREAM_IMAGES, STREAM_TABLES
from interactem.core.nats.results import Results

__all__ = ["publish_image", "publish_table_data"]


async def publish_image(js: Results, image_data: bytes, canonical_operator_id: UUID | str) -> None:
    """Store the bytes of an image as the latest one of this replica, in the run's broker.

    `js` is the `self.js` of an `AsyncOperator`. Raises `MessageTooLargeError` for more than the broker's limit.
    """
    await js.publish(f"{STREAM_IMAGES}.{canonical_operator_id}", image_data)


async def publish_table_data(js: Results, table_data_json: bytes, operator_id: UUID | str) -> None:
    """Store the JSON text of tables as the latest one of this replica. Raises as `publish_image` does."""
    await js.publish(f"{STREAM_TABLES}.{operator_id}", table_data_json)
