"""Selection tables of Raven: one row for each event, over one or many recordings."""

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats.fields import (
    from_pictures,
    make_event,
    read_score,
    read_times,
    show_header,
    split_lines,
    to_pictures,
)
from compactcli.records import NAMELESS, Record, rounded_events

BEGIN, END, FILE_OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
COLUMNS = (
    "Selection",
    "View",
    "Channel",
    BEGIN,
    END,
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin Path",
    FILE_OFFSET,
    "Annotation",
    "Score",
)
# where a table may name the recordings, best first
NAME_COLUMNS = ("Begin Path", "Begin File")
# where one may say how sure its events are: here, and in the tables of BirdNET-Analyzer
SCORE_COLUMNS = ("Score", "Confidence")


class RavenWriter:
    """A selection table of Raven Pro: one row for each event.

    Raven opens many recordings as one long sound: begin and end are seconds from the start of the first recording in
    the table, the file offset is the onset inside the event's own recording. All recordings count with the length
    that was analysed; those that failed have none, and Raven is to be given the others in the same order. The events
    have no frequency range, so each takes the whole band of its recording.

    Recordings without events have no row. Times are in seconds with 6 decimals. In paths and labels, tab, line feed
    and carriage return are written as their pictures U+2409, U+240A and U+240D; backslashes stay as they are.

    Source:
        Columns of the selection tables that Raven Pro and BirdNET-Analyzer write, with Annotation for the label.
    """

    def __init__(self) -> None:
        self._n_rows = 0
        # whole microseconds add up exactly over any number of recordings
        self._start_us = 0

    def begin(self) -> str:
        """The column names."""
        return "\t".join(COLUMNS) + "\n"

    def record(self, record: Record) -> str:
        """The rows of one recording."""
        band = "" if record.sample_rate is None else f"{record.sample_rate / 2:.1f}"
        name = to_pictures(record.path or NAMELESS)
        rows = []
        for event in rounded_events(record.events or (), decimals=6):
            self._n_rows += 1
            begin, end = (_seconds(self._start_us + _microseconds(time)) for time in (event.onset, event.offset))
            score = "" if event.score is None else f"{event.score:.4f}"
            label = to_pictures(event.label)
            place = f"{begin}\t{end}\t0.0\t{band}\t{name}\t{event.onset:.6f}"
            rows.append(f"{self._n_rows}\tSpectrogram 1\t1\t{place}\t{label}\t{score}\n")
        self._start_us += 0 if record.duration is None else _microseconds(record.duration)
        return "".join(rows)

    def end(self) -> str:
        """Nothing."""
        return ""


def read_raven_table(text: str, source: str, *, label_column: str = "Annotation") -> dict[str, list[Event]]:
    r"""Read a selection table as Raven and ``RavenWriter`` write it.

    Args:
        text: Table with a header line that names at least Begin Time (s), End Time (s) and the label, in any order;
            fields are separated by tabs. Where a selection has a row for each view, the first counts. The columns Score
            or Confidence are read where they are there. Empty lines are skipped.
        source: Name of the table for messages.
        label_column: Column of the labels.

    Returns:
        Events of each recording, recordings and events in the order of the table. Recordings are named by Begin
        Path, else by Begin File; where the table has neither, all events are those of the recording ``""``. Times
        are those inside the recording where the table has File Offset (s), else begin and end as they are.

    Raises:
        ManifestError: A column is missing, or a line has too few or too many fields, no name, no label, or times that
            make no event; the message names the line.

    Example:
        >>> table = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t0.5\t1.0\towl\n"
        >>> read_raven_table(table, "owls.txt", label_column="Species")
        {'': [Event(onset=0.5, offset=1.0, label='owl', score=None)]}
    """
    lines = split_lines(text)
    header = lines[0].split("\t")
    missing = [name for name in (BEGIN, END, label_column) if name not in header]
    if missing:
        raise ManifestError(
            f"{source} line 1 lacks the columns {missing}, found {show_header(header)}",
            hint="the first line of a selection table names its columns, separated by tabs",
        )
    name_column = next((name for name in NAME_COLUMNS if name in header), None)
    table: dict[str, list[Event]] = {}
    views: dict[tuple[str, str], tuple[str, Event]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        fields = line.split("\t")
        where = f"{source} line {number}"
        if len(fields) != len(header):
            raise ManifestError(f"{where} has {len(fields)} fields, expected {len(header)} as in line 1")
        row = dict(zip(header, fields, strict=True))
        name = "" if name_column is None else from_pictures(row[name_column])
        if name_column is not None and not name:
            raise ManifestError(f"{where} has no {name_column}")
        event = _read_row(row, from_pictures(row[label_column]), where=where)
        # of one recording and the same times: tables that were joined count their selections from 1 again
        view = row.get("View", "")
        first_view, first = views.setdefault((name, row.get("Selection", str(number))), (view, event))
        if first_view == view or first != event:
            table.setdefault(name, []).append(event)
    return table


def _read_row(row: dict[str, str], label: str, *, where: str) -> Event:
    begin, end = read_times(row[BEGIN], row[END], where=where)
    if FILE_OFFSET in row:
        onset, _ = read_times(row[FILE_OFFSET], row[END], where=where)
        # late in a long table the difference of two sums is not exact; the microsecond is
        begin, end = onset, round(onset + (end - begin), 6)
    score = next((row[name] for name in SCORE_COLUMNS if name in row), "")
    return make_event(begin, end, label, where=where, score=read_score(score))


def _microseconds(time_s: float) -> int:
    return round(time_s * 1_000_000)


def _seconds(time_us: int) -> str:
    return f"{time_us // 1_000_000}.{time_us % 1_000_000:06d}"
