import csv

from interactem.runtime import data_directory, operator


@operator.side_input
def prices():
    with (data_directory() / "file").open(newline="") as file:
        return {row["item"]: float(row["price"]) for row in csv.DictReader(file)}
