import pathlib
from typing import Any

from interactem.core.logger import get_logger
from interactem.core.models.messages import BytesMessage, MessageHeader, MessageSubject
from interactem.operators.operator import DATA_DIRECTORY, dependencies, operator

logger = get_logger()

directory = pathlib.Path(f"{DATA_DIRECTORY}/offsets.emd")
lines: list[str] | None = None
sent = 0


@dependencies
def set_up_and_tear_down():
    global lines

    lines = directory.read_text().splitlines()
    logger.info("the lines are read")

    yield

    lines = None
    logger.info("the lines are gone")


@operator
def source(inputs: BytesMessage | None, parameters: dict[str, Any]) -> BytesMessage | None:
    global sent

    if inputs is not None or lines is None:
        raise RuntimeError("called before its set-up")
    if sent >= len(lines):
        return None

    header = MessageHeader(subject=MessageSubject.BYTES, meta={"number": sent, "mode": parameters["mode"]})
    data = (lines[sent] * parameters.get("repeat", 1)).encode()
    sent += 1
    return BytesMessage(header=header, data=data)
