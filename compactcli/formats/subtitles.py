"""Subtitles: each event is shown while it sounds."""

import re

from compactcli.formats.writer import OneRecording
from compactcli.records import Record, rounded_events


class VttWriter:
    """WebVTT, the subtitles of web pages: one cue for each event, in order of the onsets.

    Silent and failed recordings give a document without cues. In labels, ``&``, ``<`` and ``>`` are written as
    character references, which takes care of ``-->`` too, and line ends as spaces.

    Source:
        W3C WebVTT, section 4, "Syntax".
    """

    def __init__(self) -> None:
        self._one = OneRecording("vtt")

    def begin(self) -> str:
        """The signature."""
        return "WEBVTT\n"

    def record(self, record: Record) -> str:
        """The cues.

        Raises:
            ConfigError: It is the second recording of the document.
        """
        self._one.take(record.path)
        return "".join(
            f"\n{_clock(onset, '.')} --> {_clock(offset, '.')}\n{_reference(label)}\n"
            for onset, offset, label in _cues(record)
        )

    def end(self) -> str:
        """Nothing."""
        return ""


class SrtWriter:
    """SubRip, the subtitles of video players: one numbered cue for each event, in order of the onsets.

    Silent and failed recordings give an empty document. In labels, ``-->`` is written as ``->`` and line ends as
    spaces: SubRip knows no escapes.
    """

    def __init__(self) -> None:
        self._one = OneRecording("srt")

    def begin(self) -> str:
        """Nothing."""
        return ""

    def record(self, record: Record) -> str:
        """The cues.

        Raises:
            ConfigError: It is the second recording of the document.
        """
        self._one.take(record.path)
        return "".join(
            f"{number}\n{_clock(onset, ',')} --> {_clock(offset, ',')}\n{re.sub('-+->', '->', label)}\n\n"
            for number, (onset, offset, label) in enumerate(_cues(record), start=1)
        )

    def end(self) -> str:
        """Nothing."""
        return ""


def _cues(record: Record) -> list[tuple[float, float, str]]:
    """Onset and offset to the millisecond, and label on one line."""
    events = rounded_events(record.events or ())
    return [(event.onset, event.offset, re.sub(r"[\r\n]+", " ", event.label)) for event in events]


def _clock(time_s: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds; hours take as many digits as they need, at least two."""
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{milliseconds:03d}"


def _reference(label: str) -> str:
    return label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
