"""Sound events: labelled half-open intervals ``[onset, offset)`` in seconds, and their rolls."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import ManifestError


@dataclass(frozen=True, kw_only=True)
class Event:
    """One sound event.

    Args:
        onset: Start in seconds, at or after 0.
        offset: End in seconds, after the onset.
        label: Class name.
        score: How sure a detected event is, in [0, 1], see ``compactcli.detection``; None for reference annotations.

    Raises:
        ManifestError: The times are not finite numbers, or the event ends before it starts.
    """

    onset: float
    offset: float
    label: str
    score: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.onset) and math.isfinite(self.offset)) or not 0 <= self.onset < self.offset:
            raise ManifestError(
                f"event '{self.label}' has onset {self.onset} and offset {self.offset}, expected 0 <= onset < offset"
            )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.offset - self.onset


def sort_events(events: Iterable[Event]) -> list[Event]:
    """Events ordered by onset, then label, then offset."""
    return sorted(events, key=lambda event: (event.onset, event.label, event.offset))


def join_events(events: Iterable[Event]) -> list[Event]:
    """Events without scores, those of one class that touch or overlap joined, ordered by onset, then label."""
    joined: list[Event] = []
    for event in sorted(events, key=lambda item: (item.label, item.onset)):
        last = joined[-1] if joined else None
        if last is not None and last.label == event.label and event.onset <= last.offset:
            joined[-1] = Event(onset=last.onset, offset=max(last.offset, event.offset), label=event.label)
        else:
            joined.append(event)
    return sort_events(joined)


def events_to_roll(
    events: Iterable[Event], *, edges_s: npt.NDArray[np.float64], classes: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Mark the frames that an event touches.

    Args:
        events: Events; those whose label is not among ``classes`` are refused.
        edges_s: Frame edges in seconds, shape ``(n_frames + 1,)``.
        classes: Column order of the roll.

    Returns:
        Event roll, shape ``(n_frames, n_classes)``; True where event and frame share more than 1 ns.

    Raises:
        ManifestError: An event's label is not among ``classes``.
    """
    column = {name: index for index, name in enumerate(classes)}
    roll = np.zeros((len(edges_s) - 1, len(classes)), dtype=np.bool_)
    for event in events:
        if event.label not in column:
            raise ManifestError(f"event label '{event.label}' is not one of the {len(classes)} classes expected")
        # 1 ns: an event that ends exactly on an edge must not leak into the next frame through float rounding
        first = int(np.searchsorted(edges_s, event.onset + 1e-9, side="right")) - 1
        last = int(np.searchsorted(edges_s, event.offset - 1e-9, side="left"))
        roll[max(first, 0) : last, column[event.label]] = True
    return roll
