"""Sends the numbers that are the names of files, a few at a time, and removes the files of those that are stored."""

import time
from pathlib import Path

from interactem.runtime import BytesMessage, EndOfStream, MessageHeader, Source, operator


@operator.source
class ReadFiles(Source):
    def start(self):
        self.folder = Path(self.init_data["folder"])

    def read(self, position, most):
        time.sleep(0.1)
        ahead = sorted(number for number in self.numbers() if position is None or number > position)[: min(most, 3)]
        if not ahead:
            raise EndOfStream
        return [(BytesMessage(MessageHeader(meta={"number": number})), number) for number in ahead]

    def ack(self, position):
        for number in self.numbers():
            if number <= position:
                (self.folder / str(number)).unlink()

    def numbers(self):
        return [int(path.name) for path in self.folder.iterdir()]
