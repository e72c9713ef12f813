import sqlite3

from interactem.runtime import BytesMessage, EndOfStream, Source, operator


@operator.source
class Queue(Source):
    def start(self):
        self.database = sqlite3.connect(self.init_data["database"])

    def read(self, position, most):
        wanted = "SELECT id, task FROM tasks WHERE id > ? ORDER BY id LIMIT ?"
        rows = self.database.execute(wanted, (position or 0, most)).fetchall()
        if not rows:
            raise EndOfStream
        return [(BytesMessage(data=task.encode()), number) for number, task in rows]

    def ack(self, position):
        with self.database:
            self.database.execute("DELETE FROM tasks WHERE id <= ?", (position,))

    def stop(self):
        self.database.close()
