"""Embeddings as a comma-separated table, one row for each stretch of a recording, and back."""

import csv
import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from compactcli.errors import ManifestError
from compactcli.formats.documents import is_number, parse_records
from compactcli.formats.fields import show_header
from compactcli.formats.tables import csv_row, seconds
from compactcli.records import SCHEMA, Record, Vector

COLUMNS = ("path", "status", "duration", "start", "stop", "model", "model_version", "error")
# columns that a table of embeddings is read by
NEEDED_COLUMNS = tuple(name for name in COLUMNS if name != "duration")
FIRST_VALUE = "v1"
# name and version
Model = tuple[str, str]
MAKE_ONE = "make one with: compact embed RECORDINGS --every 3 --output vectors.csv"


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
        return csv_row(*COLUMNS, *names) + "".join(map(self._rows, waiting))

    def _rows(self, record: Record) -> str:
        head = (record.path, record.status, seconds(record.duration))
        model = (record.model or "", record.model_version or "")
        rows = [
            csv_row(
                *head,
                seconds(vector.start),
                seconds(vector.stop),
                *model,
                record.error,
                *(f"{value:.5f}" for value in vector.values),
            )
            for vector in record.vectors or ()
        ]
        return "".join(rows) or csv_row(*head, "", "", *model, record.error, *[""] * (self._n_values or 0))


def read_vectors(lines: Iterable[str], source: str) -> Iterator[Record]:
    r"""Read what ``compact embed`` wrote; a table row by row, so that it may be longer than memory.

    Args:
        lines: Of a table, or of JSON or JSON Lines. Tables may follow one another, each with its column names.
        source: Name of the table for messages.

    Yields:
        A record for each row of a table or for each record of JSON: path, model and vectors, or why there are none.

    Raises:
        ManifestError: It is no such table, or is damaged; the message names the line or the record.

    Example:
        >>> table = "path,status,start,stop,model,model_version,error,v1\na.wav,ok,0,5,compactnet,2026.11,,0.25\n"
        >>> [record.vectors[0].values.tolist() for record in read_vectors(table.splitlines(True), "vectors.csv")]
        [[0.25]]
    """
    rest = iter(lines)
    head: list[str] = []
    for line in rest:
        head.append(line if head else line.removeprefix("\ufeff"))
        if head[-1].strip():
            break
    whole = itertools.chain(head, rest)
    if head and head[-1].lstrip().startswith(("{", "[")):
        expected = "records of compact embed"
        for number, values in enumerate(parse_records("".join(whole), source, expected=expected), start=1):
            yield _record_of_values(values, where=f"{source} record {number}")
        return
    yield from _read_table(whole, source)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where the columns of a table stand.

    Args:
        n_columns: In all.
        places: Of the columns that every table has, by their names.
        values_at: Place of the first value; behind the last column where the table has none.
    """

    n_columns: int
    places: dict[str, int]
    values_at: int

    @classmethod
    def of(cls, names: Sequence[str]) -> "_Layout | None":
        """That of a table with such column names; None where they are none of a table of vectors."""
        if not set(NEEDED_COLUMNS) <= set(names):
            return None
        places = {name: names.index(name) for name in NEEDED_COLUMNS}
        values_at = names.index(FIRST_VALUE) if FIRST_VALUE in names else len(names)
        return cls(n_columns=len(names), places=places, values_at=values_at)


def _read_table(lines: Iterable[str], source: str) -> Iterator[Record]:
    rows = csv.reader(lines, strict=True)
    try:
        header = next(filter(any, rows), [])
        layout = _Layout.of(header)
        if layout is None:
            raise ManifestError(
                f"{source} begins with {show_header(header)}, expected a table of vectors", hint=MAKE_ONE
            )
        for fields in filter(any, rows):
            fits = len(fields) == layout.n_columns
            # another table begins, of another model perhaps, and perhaps with its own mark of byte order
            is_head = not fits or fields[layout.places["status"]] == "status"
            if is_head and (other := _Layout.of([name.removeprefix("\ufeff") for name in fields])):
                layout = other
                continue
            where = f"{source} line {rows.line_num}"
            if not fits:
                raise ManifestError(
                    f"{where} has {len(fields)} fields, expected {layout.n_columns}, one for each column"
                )
            row = {name: fields[place] for name, place in layout.places.items()}
            yield _record_of_row(row, fields[layout.values_at :], where=where)
    except csv.Error as error:
        raise ManifestError(f"{source} line {rows.line_num} is no row of a table ({error})") from error


def _record_of_row(row: dict[str, str], fields: list[str], *, where: str) -> Record:
    model = (row["model"], row["model_version"])
    if row["status"] == "error":
        return _failed(row["path"], model, row["error"])
    try:
        start, stop = float(row["start"]), float(row["stop"])
    except ValueError as error:
        raise ManifestError(
            f"{where} has start '{row['start']}' and stop '{row['stop']}', expected two numbers"
        ) from error
    try:
        values = array("f", map(float, fields))
    except ValueError as error:
        raise ManifestError(f"{where} holds what is no number among its values ({error})") from error
    return _record(row["path"], model, [(start, stop, values)], where=where)


def _record_of_values(record: Any, *, where: str) -> Record:
    """What a record of JSON says, checked; see ``read_vectors``."""
    fields = record if isinstance(record, dict) else {}
    path, vectors = fields.get("path"), fields.get("vectors")
    model = (str(fields.get("model") or ""), str(fields.get("model_version") or ""))
    if fields.get("schema") != SCHEMA or not isinstance(path, str):
        raise ManifestError(f"{where} is no record of schema {SCHEMA}, expected what compact embed writes")
    if fields.get("status") == "error":
        return _failed(path, model, "")
    if not isinstance(vectors, list):
        raise ManifestError(f"{where} has no vectors, expected a record of compact embed")
    found = []
    for index, vector in enumerate(vectors, start=1):
        parts = vector if isinstance(vector, dict) else {}
        start, stop, values = parts.get("start"), parts.get("stop"), parts.get("values")
        if not (is_number(start) and is_number(stop) and isinstance(values, list)):
            raise ManifestError(
                f"{where}, vector {index} is {vector!r:.100}, expected start and stop in seconds and values"
            )
        try:
            found.append((start, stop, array("f", values)))
        except (TypeError, OverflowError) as error:
            raise ManifestError(
                f"{where}, vector {index} holds what is no number of float32 among its values ({error})"
            ) from error
    return _record(path, model, found, where=where)


def _record(path: str, model: Model, vectors: Sequence[tuple[float, float, Sequence[float]]], *, where: str) -> Record:
    if not path or not all(model):
        raise ManifestError(
            f"{where} has path '{path}', model '{model[0]}' and version '{model[1]}', expected all three"
        )
    for start, stop, values in vectors:
        if not (0 <= start < stop < math.inf):
            raise ManifestError(f"{where} starts at {start} and stops at {stop}, expected 0 <= start < stop")
        if not math.isfinite(sum(values)):
            raise ManifestError(f"{where} holds values that are not finite, expected numbers that float32 can hold")
    found = (Vector(start=start, stop=stop, values=values) for start, stop, values in vectors)
    return Record(path=path, model=model[0], model_version=model[1], vectors=tuple(found))


def _failed(path: str, model: Model, error: str) -> Record:
    code, _, message = error.partition(": ")
    return Record(
        path=path,
        status="error",
        error_code=code or "unknown",
        error_message=message or "unknown",
        model=model[0],
        model_version=model[1],
    )
