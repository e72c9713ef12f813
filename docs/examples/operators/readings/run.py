import csv
from datetime import datetime

from interactem.runtime import BytesMessage, MessageHeader, data_directory, operator


def stamped(message):
    row = message.meta
    if not row["value"]:
        return None
    time = datetime.fromisoformat(row["time"]).timestamp()
    message.header.meta = {"time": time, "sensor": row["sensor"], "value": float(row["value"])}
    return message


@operator.source(transform=stamped)
def readings():
    with (data_directory() / "file").open(newline="") as file:
        for row in csv.DictReader(file):
            yield BytesMessage(MessageHeader(meta=row))
