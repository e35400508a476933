"""Scenes in the place of events, for formats that know when something is and what it is called."""

from dataclasses import replace

from compactcli.events import Event
from compactcli.formats.writer import Writer
from compactcli.records import Record


class SceneTrack:
    """Writes the best scene of each stretch as an event that lasts as long; a recording without stretches is one.

    Args:
        writer: Of events.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def begin(self) -> str:
        """See the writer."""
        return self._writer.begin()

    def record(self, record: Record) -> str:
        """See the writer."""
        return self._writer.record(replace(record, events=_scene_events(record)))

    def end(self) -> str:
        """See the writer."""
        return self._writer.end()


def _scene_events(record: Record) -> tuple[Event, ...]:
    whole = [] if record.scenes is None or record.duration is None else [(0.0, record.duration, record.scenes)]
    parts = whole if record.stretches is None else [(item.start, item.stop, item.scenes) for item in record.stretches]
    return tuple(
        Event(onset=start, offset=stop, label=scenes[0][0], score=scenes[0][1]) for start, stop, scenes in parts
    )
