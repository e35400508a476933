"""The event table of the DCASE challenges: file name, onset, offset and label between tabs."""

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats.fields import escape, make_event, read_score, read_times, show_header, split_lines, unescape
from compactcli.records import NAMELESS, Record, rounded_events

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")


class EventTsvWriter:
    r"""The event table of the DCASE challenges: file name, onset and offset in seconds, label, between tabs.

    A recording without events has one row with three empty fields, so that an evaluation knows it was heard. A
    recording that failed has no row: it was not heard. In file names and labels, tab, line feed, carriage return and
    backslash are written as ``\t``, ``\n``, ``\r`` and ``\\``.
    """

    def begin(self) -> str:
        """The column names."""
        return "\t".join(EVENT_COLUMNS) + "\n"

    def record(self, record: Record) -> str:
        """The rows of one recording."""
        if record.status == "error":
            return ""
        name = escape(record.path or NAMELESS)
        rows = [
            f"{name}\t{event.onset:.3f}\t{event.offset:.3f}\t{escape(event.label)}\n"
            for event in rounded_events(record.events or ())
        ]
        return "".join(rows) or f"{name}\t\t\t\n"

    def end(self) -> str:
        """Nothing."""
        return ""


def read_events_tsv(text: str, source: str) -> dict[str, list[Event]]:
    r"""Read an event table as the DCASE challenges and ``EventTsvWriter`` write it.

    Args:
        text: Table with a header line that names at least filename, onset, offset and event_label, in any order;
            fields are separated by tabs. In file names and labels ``\t``, ``\n``, ``\r`` and ``\\`` stand for one
            character each; other backslashes are kept. Where there is a column score, it is read too. Empty lines are
            skipped, and so is the header line where it comes again.
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
    lines = split_lines(text)
    header = lines[0].split("\t")
    missing = [name for name in EVENT_COLUMNS if name not in header]
    if missing:
        raise ManifestError(
            f"{source} line 1 lacks the columns {missing}, found {show_header(header)}",
            hint="the first line of an event table names its columns, separated by tabs",
        )
    table: dict[str, list[Event]] = {}
    for number, line in enumerate(lines[1:], start=2):
        # tables that were joined have their header line again
        if not line or line.removeprefix("\ufeff") == lines[0]:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise ManifestError(f"{source} line {number} has {len(fields)} fields, expected {len(header)} as in line 1")
        row = dict(zip(header, fields, strict=True))
        name, onset, offset, label = (row[column] for column in EVENT_COLUMNS)
        where = f"{source} line {number}"
        if not name:
            raise ManifestError(f"{where} has no filename")
        events = table.setdefault(unescape(name), [])
        if onset or offset or label:
            if not label:
                raise ManifestError(f"{where} has no event_label")
            onset_s, offset_s = read_times(onset, offset, where=where)
            score = read_score(row.get("score", ""))
            events.append(make_event(onset_s, offset_s, unescape(label), where=where, score=score))
    return table
