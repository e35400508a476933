"""Records as comma-separated tables, one row for each scene or event."""

import csv
import io
from collections.abc import Sequence

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats.fields import read_event, show_header
from compactcli.records import Record, rounded_events, scene_parts

# columns that a table of events is read by
NEEDED_COLUMNS = ("path", "onset", "offset", "label")
# what DCASE calls them
OTHER_NAMES = {"filename": "path", "event_label": "label"}
NUMBERS = ("onset", "offset", "score")


class SceneCsvWriter:
    """A table with one row for each stretch of an input and scene, best scene first.

    An input that was not asked for stretches is one. An input without scenes, such as one that failed, has one row
    whose times, rank, label and score are empty.
    """

    def begin(self) -> str:
        """The column names."""
        return csv_row("path", "status", "duration", "start", "stop", "rank", "label", "score", "error")

    def record(self, record: Record) -> str:
        """The rows of one input."""
        head = (record.path, record.status, seconds(record.duration))
        rows = [
            csv_row(*head, seconds(start), seconds(stop), str(rank), label, f"{score:.4f}", record.error)
            for start, stop, scenes in scene_parts(record)
            for rank, (label, score) in enumerate(scenes, start=1)
        ]
        return "".join(rows) or csv_row(*head, "", "", "", "", "", record.error)

    def end(self) -> str:
        """Nothing."""
        return ""


class EventCsvWriter:
    """A table with one row for each event.

    An input without events, be it silent or failed, has one row whose event columns are empty: every input is in
    the table, and ``status`` tells silence from failure.
    """

    def begin(self) -> str:
        """The column names."""
        return csv_row("path", "status", "duration", "onset", "offset", "label", "score", "error")

    def record(self, record: Record) -> str:
        """The rows of one input."""
        head = (record.path, record.status, seconds(record.duration))
        rows = []
        for event in rounded_events(record.events or ()):
            score = "" if event.score is None else f"{event.score:.4f}"
            rows.append(csv_row(*head, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label, score, record.error))
        return "".join(rows) or csv_row(*head, "", "", "", "", record.error)

    def end(self) -> str:
        """Nothing."""
        return ""


def column_names(fields: Sequence[str]) -> list[str]:
    """Names of columns as ``EventCsvWriter`` has them, where a table has those of DCASE.

    Example:
        >>> column_names(["filename", "onset", "label"])
        ['path', 'onset', 'label']
    """
    # tables that were joined have their marks of byte order inside
    names = [name.removeprefix("\ufeff") for name in fields]
    return [OTHER_NAMES[name] if name in OTHER_NAMES and OTHER_NAMES[name] not in names else name for name in names]


def read_events_csv(text: str, source: str, *, separator: str = ",") -> dict[str, list[Event]]:
    r"""Read a table as ``EventCsvWriter`` writes it.

    Args:
        text: Table with a header line that names at least path, onset, offset and label, in any order, or filename and
            event_label as DCASE calls them; score and status are read where they are there. Rows of empty fields are
            skipped. A header line may come again, with other columns perhaps, as between tables that were joined.
        source: Name of the table for messages.
        separator: What stands between fields; where it is no comma, numbers may have decimal commas, as spreadsheets
            write them in many languages.

    Returns:
        Events of each recording, recordings and events in the order of the table. A row whose onset, offset and label
        are empty says that the recording has no events; recordings that failed are left out.

    Raises:
        ManifestError: A column is missing, or a row has too few or too many fields, no path, no label, or times that
            make no event; the message names the line that the row ends in.

    Example:
        >>> read_events_csv("path,onset,offset,label\na.wav,0.5,1,dog\nb.wav,,,\n", "events.csv")
        {'a.wav': [Event(onset=0.5, offset=1.0, label='dog', score=None)], 'b.wav': []}
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=separator, strict=True)
    table: dict[str, list[Event]] = {}
    try:
        header = column_names(next(rows, []))
        missing = [name for name in NEEDED_COLUMNS if name not in header]
        if missing:
            raise ManifestError(
                f"{source} line 1 lacks the columns {missing}, found {show_header(header)}",
                hint="the first line of a table names its columns, separated by commas",
            )
        for fields in rows:
            where = f"{source} line {rows.line_num}"
            if not any(fields):
                continue
            # rows have numbers there
            if "onset" in fields and set(NEEDED_COLUMNS) <= set(names := column_names(fields)):
                header = names
                continue
            if len(fields) != len(header):
                raise ManifestError(f"{where} has {len(fields)} fields, expected {len(header)}, one for each column")
            row = dict(zip(header, fields, strict=True))
            if separator != ",":
                row |= {name: row[name].replace(",", ".") for name in NUMBERS if name in row}
            _add_row(table, row, where=where)
    except csv.Error as error:
        raise ManifestError(f"{source} line {rows.line_num} is no row of a table ({error})") from error
    return table


def _add_row(table: dict[str, list[Event]], row: dict[str, str], *, where: str) -> None:
    path, onset, offset, label = (row[name] for name in NEEDED_COLUMNS)
    if not path:
        raise ManifestError(f"{where} has no path")
    if row.get("status") == "error":
        return
    events = table.setdefault(path, [])
    if onset or offset or label:
        events.append(read_event(onset, offset, label, where=where, score=row.get("score", "")))


def seconds(time_s: float | None) -> str:
    """Seconds with 3 decimals; empty where they are unknown."""
    return "" if time_s is None else f"{time_s:.3f}"


def csv_row(*fields: str) -> str:
    """A row, quoted as in RFC 4180; lines end with LF alone, because shell tools take CR for part of the last field."""
    buffer = io.StringIO(newline="")
    # CRLF makes the csv module quote fields that hold a CR or an LF
    csv.writer(buffer, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue().removesuffix("\r\n") + "\n"
