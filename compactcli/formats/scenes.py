"""Scenes in the place of events, for formats that know when something is and what it is called."""

from dataclasses import replace

from compactcli.events import Event
from compactcli.formats.writer import Writer
from compactcli.records import Record, scene_parts


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
    return tuple(
        Event(onset=start, offset=stop, label=scenes[0][0], score=scenes[0][1])
        for start, stop, scenes in scene_parts(record)
        if scenes and stop is not None
    )
