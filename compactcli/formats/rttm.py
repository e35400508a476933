"""Rich Transcription Time Marked: the format of speaker diarization, one line for each event."""

import re
from urllib.parse import quote

from compactcli.records import NAMELESS, Record, rounded_events


class RttmWriter:
    """One SPEAKER line for each event, with the event's label in the place of the speaker's name.

    Fields stand between spaces, so in paths and labels white space and ``%`` are percent-encoded, as in URLs; other
    characters stay as they are. Recordings without events have no line. Times are in seconds with 3 decimals.

    Source:
        ``Annotation.to_rttm`` of pyannote.core; it refuses names with spaces, which would end a batch.
    """

    def begin(self) -> str:
        """Nothing."""
        return ""

    def record(self, record: Record) -> str:
        """The lines of one recording."""
        name = _one_word(record.path or NAMELESS)
        return "".join(
            f"SPEAKER {name} 1 {event.onset:.3f} {event.duration_s:.3f} <NA> <NA> {_one_word(event.label)} <NA> <NA>\n"
            for event in rounded_events(record.events or ())
        )

    def end(self) -> str:
        """Nothing."""
        return ""


def _one_word(name: str) -> str:
    return re.sub(r"[%\s]", lambda match: quote(match[0], safe=""), name)
