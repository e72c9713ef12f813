"""Sends numbers as `numbers` does, by reading from positions. What was acknowledged cannot be read again."""

import os
import time

from interactem.runtime import BytesMessage, EndOfStream, MessageHeader, Source, operator

PATIENCE = 600.0


@operator
class ReadNumbers(Source):
    def start(self):
        self.first = None
        self.begun = time.monotonic()
        self.acknowledged = self.context.outputs / f".{self.context.operator}.acknowledged"

    def read(self, position, most, parameters):
        first = 0 if position is None else position["next"]
        if first < self.forgotten():
            os.abort()  # a crash that is told: what was acknowledged was not stored
        if self.first is None:
            self.first = first
        count, seconds = parameters["count"], time.monotonic() - self.begun
        if first == count:
            raise EndOfStream
        hurried = (self.context.outputs / ".hurry").exists() or seconds > PATIENCE
        paced = min(count - parameters["held"], self.first + int(seconds * parameters["rate"]) + 1)
        ahead = range(first, count if hurried else paced)[:most]
        return [(self.message(number), {"next": number + 1}) for number in ahead]

    def message(self, number):
        meta = {"lane": self.context.operator, "number": number}
        return BytesMessage(MessageHeader(meta=meta), number.to_bytes(8, "little") + bytes(24))

    def forgotten(self):
        return int(self.acknowledged.read_text()) if self.acknowledged.exists() else 0

    def ack(self, position):
        temporary = self.acknowledged.with_suffix(".new")
        temporary.write_text(str(position["next"]))
        temporary.replace(self.acknowledged)
