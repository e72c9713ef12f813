import sqlite3

from interactem.runtime import BytesMessage, Operator, data_directory, operator


@operator
class StationNames(Operator):
    database = None

    def start(self):
        self.database = sqlite3.connect(data_directory() / "stations")

    def run(self, inputs, parameters):
        wanted = "SELECT name FROM stations WHERE id = ?"
        [name] = self.database.execute(wanted, (inputs.meta["station"],)).fetchone()
        return BytesMessage(data=f"{name}: {bytes(inputs.data).decode()}".encode())

    def cleanup(self):
        if self.database is not None:
            self.database.close()
