r"""Results become text, and event tables become events again; pure functions and small writers.

A writer turns records into text one at a time: ``begin()``, then ``record(record)`` for each input, then
``end()``; joined, they are one document. The text is meant to be written as UTF-8 (``encode``) with nothing added.

File names that are not valid UTF-8 arrive from Python with their stray bytes as lone surrogates (PEP 383). JSON
keeps each as its escape ``\udcXX``, so the document stays valid UTF-8 and ``os.fsencode`` of the parsed path gives
the name on disk back; ``encode`` writes the stray bytes of the other formats as they are on disk.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.records import Record, rounded_times

__all__ = [
    "FORMATS",
    "EventCsvWriter",
    "EventTsvWriter",
    "JsonLinesWriter",
    "JsonWriter",
    "Record",
    "SceneCsvWriter",
    "Writer",
    "encode",
    "read_events_tsv",
]

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")


class Writer(Protocol):
    """Turns records into the text of one document, piece by piece."""

    def begin(self) -> str:
        """Text before the first record."""

    def record(self, record: Record) -> str:
        """Text of one record."""

    def end(self) -> str:
        """Text after the last record."""


class JsonWriter:
    """One JSON array with a record a line."""

    def __init__(self) -> None:
        self._separator = "\n"

    def begin(self) -> str:
        """The opening bracket."""
        return "["

    def record(self, record: Record) -> str:
        """One element, after a comma where it is not the first."""
        text = self._separator + _json(record)
        self._separator = ",\n"
        return text

    def end(self) -> str:
        """The closing bracket."""
        return "\n]\n"


class JsonLinesWriter:
    """One JSON object a line."""

    def begin(self) -> str:
        """Nothing."""
        return ""

    def record(self, record: Record) -> str:
        """One line."""
        return _json(record) + "\n"

    def end(self) -> str:
        """Nothing."""
        return ""


class SceneCsvWriter:
    """A table with one row for each input and scene, best scene first.

    An input without scenes, such as one that failed, has one row whose rank, label and score are empty.
    """

    def begin(self) -> str:
        """The column names."""
        return _csv_row("path", "status", "duration", "rank", "label", "score", "error")

    def record(self, record: Record) -> str:
        """The rows of one input."""
        head = (record.path, record.status, _seconds(record.duration))
        rows = [
            _csv_row(*head, str(rank), label, f"{score:.4f}", record.error)
            for rank, (label, score) in enumerate(record.scenes or (), start=1)
        ]
        return "".join(rows) or _csv_row(*head, "", "", "", record.error)

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
        return _csv_row("path", "status", "duration", "onset", "offset", "label", "score", "error")

    def record(self, record: Record) -> str:
        """The rows of one input."""
        head = (record.path, record.status, _seconds(record.duration))
        rows = []
        for event in record.events or ():
            onset, offset = rounded_times(event)
            score = "" if event.score is None else f"{event.score:.4f}"
            rows.append(_csv_row(*head, f"{onset:.3f}", f"{offset:.3f}", event.label, score, record.error))
        return "".join(rows) or _csv_row(*head, "", "", "", "", record.error)

    def end(self) -> str:
        """Nothing."""
        return ""


class EventTsvWriter:
    r"""The event table of the DCASE challenges: file name, onset and offset in seconds, label, between tabs.

    A recording without events has one row with three empty fields, so that an evaluation knows it was heard. A
    recording that failed has no row: it was not heard. In file names, tab, line feed, carriage return and backslash
    are written as ``\t``, ``\n``, ``\r`` and ``\\``.
    """

    def begin(self) -> str:
        """The column names."""
        return "\t".join(EVENT_COLUMNS) + "\n"

    def record(self, record: Record) -> str:
        """The rows of one recording."""
        if record.status == "error":
            return ""
        name = _escape(record.path)
        rows = [
            f"{name}\t{onset:.3f}\t{offset:.3f}\t{_escape(event.label)}\n"
            for event in record.events or ()
            for onset, offset in [rounded_times(event)]
        ]
        return "".join(rows) or f"{name}\t\t\t\n"

    def end(self) -> str:
        """Nothing."""
        return ""


# what each command can write, by the names users ask for; a writer serves one document
FORMATS: Mapping[str, Mapping[str, Callable[[], Writer]]] = {
    "classify": {"json": JsonWriter, "jsonl": JsonLinesWriter, "csv": SceneCsvWriter},
    "detect": {"json": JsonWriter, "jsonl": JsonLinesWriter, "csv": EventCsvWriter, "tsv": EventTsvWriter},
}


def encode(text: str) -> bytes:
    r"""Text of a writer as bytes: UTF-8, with the bytes of ill-encoded file names as they are on disk.

    Surrogates that stand for no byte, which only Windows allows in names, become U+FFFD.

    Example:
        >>> encode("caf\udce9.wav")
        b'caf\xe9.wav'
    """
    return re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text).encode("utf-8", "surrogateescape")


def read_events_tsv(text: str, source: str) -> dict[str, list[Event]]:
    r"""Read an event table as the DCASE challenges and ``EventTsvWriter`` write it.

    Args:
        text: Table with a header line that names at least filename, onset, offset and event_label, in any order;
            fields are separated by tabs. In file names and labels ``\t``, ``\n``, ``\r`` and ``\\`` stand for one
            character each; other backslashes are kept. Empty lines are skipped.
        source: Name of the table for messages.

    Returns:
        Events of each recording, recordings and events in the order of the table. A row whose onset, offset and
        label are empty says that the recording has no events.

    Raises:
        ManifestError: A column is missing, or a line has too few or too many fields, no file name, no label, or times
            that make no event; the message names the line.

    Example:
        >>> read_events_tsv("filename\tonset\toffset\tevent_label\na.wav\t0.5\t1\tdog\nb.wav\t\t\t\n", "truth.tsv")
        {'a.wav': [Event(onset=0.5, offset=1.0, label='dog', score=None)], 'b.wav': []}
    """
    # only line feeds end a line: str.splitlines would also cut at U+2028 and others, which names may hold
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    header = lines[0].split("\t")
    missing = [name for name in EVENT_COLUMNS if name not in header]
    if missing:
        raise ManifestError(
            f"{source} line 1 lacks the columns {missing}, found {header}",
            hint="the first line of an event table names its columns, separated by tabs",
        )
    table: dict[str, list[Event]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise ManifestError(f"{source} line {number} has {len(fields)} fields, expected {len(header)} as in line 1")
        row = dict(zip(header, fields, strict=True))
        name, onset, offset, label = (row[column] for column in EVENT_COLUMNS)
        if not name:
            raise ManifestError(f"{source} line {number} has no filename")
        events = table.setdefault(_unescape(name), [])
        if onset or offset or label:
            events.append(_read_event(onset, offset, _unescape(label), where=f"{source} line {number}"))
    return table


def _read_event(onset: str, offset: str, label: str, *, where: str) -> Event:
    if not label:
        raise ManifestError(f"{where} has no event_label")
    try:
        times = float(onset), float(offset)
    except ValueError as error:
        raise ManifestError(f"{where} has onset '{onset}' and offset '{offset}', expected two numbers") from error
    try:
        return Event(onset=times[0], offset=times[1], label=label)
    except ManifestError as error:
        raise ManifestError(f"{where}: {error.message}") from error


def _seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.3f}"


def _json(record: Record) -> str:
    """One line of JSON; what some readers take for a line end, and lone surrogates, as escapes."""
    text = json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _csv_row(*fields: str) -> str:
    """Quoting as in RFC 4180; lines end with LF alone, because shell tools take CR for part of the last field."""
    buffer = io.StringIO(newline="")
    # CRLF makes the csv module quote fields that hold a CR or an LF
    csv.writer(buffer, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
UNESCAPES = {escape: character for character, escape in ESCAPES.items()}


def _escape(name: str) -> str:
    return re.sub(r"[\\\t\n\r]", lambda match: ESCAPES[match[0]], name)


def _unescape(name: str) -> str:
    return re.sub(r"\\[\\tnr]", lambda match: UNESCAPES[match[0]], name)
