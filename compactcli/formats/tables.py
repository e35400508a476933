"""Records as comma-separated tables, one row for each scene or event."""

import csv
import io

from compactcli.records import Record, Scenes, rounded_events


class SceneCsvWriter:
    """A table with one row for each stretch of an input and scene, best scene first.

    An input that was not asked for stretches is one. An input without scenes, such as one that failed, has one row
    whose times, rank, label and score are empty.
    """

    def begin(self) -> str:
        """The column names."""
        return _csv_row("path", "status", "duration", "start", "stop", "rank", "label", "score", "error")

    def record(self, record: Record) -> str:
        """The rows of one input."""
        head = (record.path, record.status, _seconds(record.duration))
        rows = [
            _csv_row(*head, _seconds(start), _seconds(stop), str(rank), label, f"{score:.4f}", record.error)
            for start, stop, scenes in _stretches(record)
            for rank, (label, score) in enumerate(scenes, start=1)
        ]
        return "".join(rows) or _csv_row(*head, "", "", "", "", "", record.error)

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
        for event in rounded_events(record.events or ()):
            score = "" if event.score is None else f"{event.score:.4f}"
            rows.append(_csv_row(*head, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label, score, record.error))
        return "".join(rows) or _csv_row(*head, "", "", "", "", record.error)

    def end(self) -> str:
        """Nothing."""
        return ""


def _stretches(record: Record) -> list[tuple[float, float | None, Scenes]]:
    if record.stretches is None:
        return [(0.0, record.duration, record.scenes or ())]
    return [(stretch.start, stretch.stop, stretch.scenes) for stretch in record.stretches]


def _seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.3f}"


def _csv_row(*fields: str) -> str:
    """Quoting as in RFC 4180; lines end with LF alone, because shell tools take CR for part of the last field."""
    buffer = io.StringIO(newline="")
    # CRLF makes the csv module quote fields that hold a CR or an LF
    csv.writer(buffer, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue().removesuffix("\r\n") + "\n"
