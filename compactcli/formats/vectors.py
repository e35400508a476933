"""Embeddings as a comma-separated table, one row for each stretch of a recording."""

from compactcli.formats.tables import csv_row, seconds
from compactcli.records import Record


class VectorCsvWriter:
    """A table with one row for each stretch, its embedding in columns v1, v2 and so on, with 5 decimals.

    An input without an embedding, such as one that failed, has one row whose times and values are empty. How many
    columns there are shows with the first embedding: what failed before it is written with it.
    """

    def __init__(self) -> None:
        self._n_values: int | None = None
        self._waiting: list[Record] = []

    def begin(self) -> str:
        """Nothing yet."""
        return ""

    def record(self, record: Record) -> str:
        """The rows of one input."""
        if self._n_values is not None:
            return self._rows(record)
        self._waiting.append(record)
        if not record.vectors:
            return ""
        self._n_values = len(record.vectors[0].values)
        return self.end()

    def end(self) -> str:
        """What waits for the first embedding, after the names of the columns."""
        waiting, self._waiting = self._waiting, []
        begun, self._n_values = self._n_values is not None, self._n_values or 0
        if begun and not waiting:
            return ""
        names = (f"v{number}" for number in range(1, self._n_values + 1))
        head = csv_row("path", "status", "duration", "start", "stop", "error", *names)
        return head + "".join(map(self._rows, waiting))

    def _rows(self, record: Record) -> str:
        head = (record.path, record.status, seconds(record.duration))
        rows = [
            csv_row(
                *head,
                seconds(vector.start),
                seconds(vector.stop),
                record.error,
                *(f"{value:.5f}" for value in vector.values),
            )
            for vector in record.vectors or ()
        ]
        return "".join(rows) or csv_row(*head, "", "", record.error, *[""] * (self._n_values or 0))
