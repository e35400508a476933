"""Label tracks of Audacity: onset, offset and label between tabs, without a header."""

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats.fields import from_pictures, read_event, split_lines, to_pictures
from compactcli.formats.writer import OneRecording
from compactcli.records import Record, rounded_events


class AudacityWriter:
    """A label track of Audacity: one region for each event, times in seconds with 6 decimals.

    Silent and failed recordings give an empty document. In labels, tab, line feed and carriage return are written as
    their pictures U+2409, U+240A and U+240D: Audacity knows no escapes.

    Source:
        "Importing and Exporting Labels" in the manual of Audacity, standard format.
    """

    def __init__(self) -> None:
        self._one = OneRecording("audacity")

    def begin(self) -> str:
        """Nothing."""
        return ""

    def record(self, record: Record) -> str:
        """One line for each event.

        Raises:
            ConfigError: It is the second recording of the document.
        """
        self._one.take(record.path)
        return "".join(
            f"{event.onset:.6f}\t{event.offset:.6f}\t{to_pictures(event.label)}\n"
            for event in rounded_events(record.events or (), decimals=6)
        )

    def end(self) -> str:
        """Nothing."""
        return ""


def is_audacity_track(text: str) -> bool:
    r"""Whether a text may be a label track: it begins with two numbers and a label between tabs, or is empty.

    Example:
        >>> [is_audacity_track(text) for text in ("0.5\t1.0\tdog\n", "", "filename\tonset\n")]
        [True, True, False]
    """
    line = next((line for line in split_lines(text) if line and not line.startswith("\\")), "0\t0\t")
    times, labels = line.split("\t")[:2], line.split("\t")[2:]
    try:
        return bool([float(time) for time in times] and labels)
    except ValueError:
        return False


def read_audacity_labels(text: str, source: str) -> list[Event]:
    r"""Read a label track as Audacity and ``AudacityWriter`` write it.

    Args:
        text: Lines of onset, offset and label between tabs. Further fields, such as a confidence, and the lines of
            frequency ranges, which begin with a backslash, are ignored, empty lines too.
        source: Name of the track for messages.

    Returns:
        Events of the one recording that the track belongs to, in the order of the track.

    Raises:
        ManifestError: A line has too few fields, no label, or times that make no event, as those of a point label;
            the message names the line.

    Example:
        >>> read_audacity_labels("0.500000\t1.000000\tdog\n\\\t200.0\t8000.0\n", "labels.txt")
        [Event(onset=0.5, offset=1.0, label='dog', score=None)]
    """
    events = []
    for number, line in enumerate(split_lines(text), start=1):
        if not line or line.startswith("\\"):
            continue
        fields = line.split("\t")
        where = f"{source} line {number}"
        if len(fields) < 3:
            raise ManifestError(f"{where} has {len(fields)} fields, expected onset, offset and label between tabs")
        onset, offset, label = fields[:3]
        events.append(read_event(onset, offset, from_pictures(label), where=where))
    return events
