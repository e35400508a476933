"""Event-based detection metrics: was each event found, and with the right times?

An estimated event matches a reference event of the same class when its onset lies within the onset collar and
its offset within the offset collar. Each event takes part in at most one match, and the matches are chosen so
that there are as many as possible.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from compactcli.errors import ManifestError, require
from compactcli.events import Event, sort_events
from compactcli.metrics.counts import Counts, DetectionMetrics, RecordingEvents, summarise

# times that differ by exactly a collar match, whatever float64 makes of 1.2 - 1.0
TOLERANCE_S = 1e-9


def event_metrics(
    recordings: Iterable[RecordingEvents],
    classes: Sequence[str],
    *,
    onset_collar_s: float = 0.2,
    offset_collar_s: float = 0.2,
    offset_collar_rate: float = 0.5,
) -> DetectionMetrics:
    """Compare reference and estimate event by event.

    Args:
        recordings: Events of each recording; read once, one recording at a time. Durations are not used.
        classes: Classes to score, in the order of the result.
        onset_collar_s: Largest distance of two matching onsets in seconds, 0 or more.
        offset_collar_s: Largest distance of two matching offsets in seconds, 0 or more ...
        offset_collar_rate: ... or this part of the reference event's length, 0 or more, where that is longer.

    Returns:
        Counts of events per class, and their micro and macro averages. An event found with wrong times is one
        miss and one false alarm.

    Raises:
        ConfigError: A collar is negative or not a number.
        ManifestError: An event's label is not among ``classes``.

    Source:
        Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6(6):162,
        2016, as sed_eval implements it with optimal matching. We differ in accepting distances up to
        1 ns over a collar, which can only add matches, and in the macro average as ``segment_metrics`` does.

    Example:
        >>> recording = RecordingEvents(
        ...     reference=[Event(onset=1.0, offset=2.0, label="dog"), Event(onset=5.0, offset=6.0, label="dog")],
        ...     estimated=[Event(onset=1.1, offset=2.4, label="dog"), Event(onset=5.3, offset=6.0, label="dog")],
        ...     duration_s=10.0,
        ... )
        >>> event_metrics([recording], ("dog",)).micro
        Counts(tp=1, fp=1, fn=1)
    """
    collars = {
        "onset_collar_s": onset_collar_s,
        "offset_collar_s": offset_collar_s,
        "offset_collar_rate": offset_collar_rate,
    }
    for name, value in collars.items():
        require(0 <= value < math.inf, f"{name} is {value}, expected a number, 0 or more")
    per_class = dict.fromkeys(classes, Counts())
    for recording in recordings:
        reference = _by_class(recording.reference, classes)
        estimated = _by_class(recording.estimated, classes)
        for name in reference.keys() | estimated.keys():
            truth, estimate = reference.get(name, []), estimated.get(name, [])
            candidates = _candidates(truth, estimate, onset_collar_s, offset_collar_s, offset_collar_rate)
            tp = max_matching(candidates)
            per_class[name] += Counts(tp=tp, fp=len(estimate) - tp, fn=len(truth) - tp)
    return summarise(per_class)


def max_matching(candidates: Sequence[Sequence[int]]) -> int:
    """Largest number of one-to-one pairs between two sets.

    Args:
        candidates: For each item of the left set, the items of the right set that it may be paired with.

    Returns:
        Size of a maximum matching: pairs are rearranged along augmenting paths for as long as that frees an item.

    Source:
        Berge, "Two theorems in graph theory", PNAS 43(9), 1957: a matching is as large as it can be when no
        augmenting path is left. Paths are searched breadth first, so that none is too long for the
        interpreter's stack.

    Example:
        >>> max_matching([[0, 1], [0]])
        2
    """
    partner: dict[int, int] = {}
    return sum(_augment(start, candidates, partner) for start in range(len(candidates)))


def _augment(start: int, candidates: Sequence[Sequence[int]], partner: dict[int, int]) -> bool:
    """Pair left item ``start``, moving others where needed; ``partner`` maps right to left and is changed."""
    came_from: dict[int, int] = {}
    given_up: dict[int, int | None] = {start: None}
    waiting = deque([start])
    while waiting:
        left = waiting.popleft()
        for right in candidates[left]:
            if right in came_from:
                continue
            came_from[right] = left
            if right not in partner:
                _flip(right, came_from, given_up, partner)
                return True
            given_up[partner[right]] = right
            waiting.append(partner[right])
    return False


def _flip(end: int, came_from: dict[int, int], given_up: dict[int, int | None], partner: dict[int, int]) -> None:
    """Walk an augmenting path back to its start; each left item takes the right item that led on."""
    right: int | None = end
    while right is not None:
        left = came_from[right]
        partner[right] = left
        right = given_up[left]


def _by_class(events: Sequence[Event], classes: Sequence[str]) -> dict[str, list[Event]]:
    known = set(classes)
    grouped: dict[str, list[Event]] = {}
    for event in sort_events(events):
        if event.label not in known:
            raise ManifestError(f"event label '{event.label}' is not one of the {len(classes)} classes expected")
        grouped.setdefault(event.label, []).append(event)
    return grouped


def _candidates(
    reference: list[Event],
    estimated: list[Event],
    onset_collar_s: float,
    offset_collar_s: float,
    offset_collar_rate: float,
) -> list[list[int]]:
    """For each reference event, the estimated events within its collars; both lists sorted by onset."""
    onsets = np.array([event.onset for event in estimated])
    candidates = []
    for event in reference:
        offset_collar = max(offset_collar_s, offset_collar_rate * event.duration_s) + TOLERANCE_S
        first = np.searchsorted(onsets, event.onset - onset_collar_s - TOLERANCE_S, side="left")
        last = np.searchsorted(onsets, event.onset + onset_collar_s + TOLERANCE_S, side="right")
        candidates.append(
            [
                index
                for index in range(int(first), int(last))
                if abs(estimated[index].offset - event.offset) <= offset_collar
            ]
        )
    return candidates
