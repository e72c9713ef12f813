import asyncio
import json
from typing import Any

from interactem.core.constants import STREAM_IMAGES
from interactem.core.logger import get_logger
from interactem.core.models.messages import BytesMessage
from interactem.core.nats.publish import publish_image, publish_table_data
from interactem.operators.operator import AsyncOperator

logger = get_logger()


class Display(AsyncOperator):
    def __init__(self):
        super().__init__()
        self.shown: list[dict[str, Any]] = []

    async def start(self):
        logger.info(f"starting {self.info.canonical_id}")
        await super().start()

    async def kernel(self, inputs: BytesMessage | None, parameters: dict[str, Any]) -> None:
        if not inputs:
            return

        self.shown.append(inputs.header.meta)
        await publish_image(self.js, image_data=inputs.data, canonical_operator_id=self.info.canonical_id)
        table = json.dumps({"tables": {"shown": self.shown}}).encode()
        await publish_table_data(self.js, table_data_json=table, operator_id=self.info.canonical_id)
        logger.info(f"shown {len(self.shown)}, broker {self.nc is not None}")

    async def shutdown(self):
        await self.js.purge_stream(STREAM_IMAGES, subject=f"{STREAM_IMAGES}.{self.info.canonical_id}")
        logger.info("shut down")
        await super().shutdown()


async def async_main():
    op = Display()
    await op.start()


def main():
    asyncio.run(async_main())


if __name__ == "__main__":
    main()
