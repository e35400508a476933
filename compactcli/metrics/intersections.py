"""How detections and reference events overlap at every threshold of one class in one recording."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import ManifestError
from compactcli.events import Event, sort_events
from compactcli.scores import FrameScores

# an overlap that misses a criterion by less meets it, whatever float64 makes of 0.7 * 0.3
TOLERANCE_S = 1e-9
# values of one table of thresholds by frames, 4 MiB
WORKSPACE_VALUES = 1 << 22

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordingScores:
    """Frame scores and true events of one recording.

    Args:
        scores: What a system says, frame by frame; the last edge is the recording's end.
        reference: What happened; events of one class may touch, not overlap.
    """

    scores: FrameScores
    reference: Sequence[Event]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.scores.edges_s[-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Reference events of one recording by class.

    Args:
        events: Events of each class, ordered by onset.
        n_events: Their number, shape ``(n_classes,)``.
        seconds: Their length together, shape ``(n_classes,)``.
        covered_s: Seconds of each class's events before each frame edge, shape ``(n_frames + 1, n_classes)``.
    """

    events: tuple[tuple[Event, ...], ...]
    n_events: npt.NDArray[np.int64]
    seconds: Floats
    covered_s: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSteps:
    """What changes at each threshold, from the highest to the lowest; arrays of one length.

    Args:
        thresholds: Every score that occurs, descending.
        found: Reference events found more than at the threshold before.
        wrong: False alarms more than at the threshold before.
        crossed: Weighted cross triggers more than at the threshold before.
    """

    thresholds: npt.NDArray[np.float32]
    found: Floats
    wrong: Floats
    crossed: Floats


def reference_of(recording: RecordingScores) -> Reference:
    """Sort the reference events of a recording by class.

    Raises:
        ManifestError: An event's label is not a class, or events of one class overlap.
    """
    classes, edges = recording.scores.classes, recording.scores.edges_s
    events: dict[str, list[Event]] = {name: [] for name in classes}
    covered = np.zeros((len(edges), len(classes)))
    for event in sort_events(recording.reference):
        if event.label not in events:
            raise ManifestError(f"event label '{event.label}' is not one of the {len(classes)} classes expected")
        earlier = events[event.label]
        if earlier and event.onset < earlier[-1].offset - TOLERANCE_S:
            raise ManifestError(
                f"two events '{event.label}' overlap at {event.onset:.3f} s, expected one after the other",
                hint="join them into one event",
            )
        earlier.append(event)
        covered[:, classes.index(event.label)] += np.clip(edges - event.onset, 0, event.duration_s)
    listed = tuple(tuple(events[name]) for name in classes)
    return Reference(
        events=listed,
        n_events=np.array([len(items) for items in listed], dtype=np.int64),
        seconds=np.array([sum(event.duration_s for event in items) for items in listed], dtype=np.float64),
        covered_s=covered,
    )


def class_steps(
    recording: RecordingScores,
    reference: Reference,
    column: int,
    *,
    dtc: float,
    gtc: float,
    cttc: float,
    weights: Floats,
) -> ClassSteps:
    """Follow one class of one recording from the highest threshold to the lowest.

    Args:
        recording: Scores.
        reference: Its events.
        column: The class.
        dtc: See ``PsdsConfig``.
        gtc: See ``PsdsConfig``.
        cttc: See ``PsdsConfig``.
        weights: What a cross trigger of each class counts, shape ``(n_classes,)``.
    """
    edges, covered = recording.scores.edges_s, reference.covered_s
    others = np.flatnonzero((reference.n_events > 0) & (weights > 0))
    others = others[others != column]
    column_scores = recording.scores.probabilities[:, column]
    thresholds = np.unique(column_scores)[::-1]
    found, wrong, crossed = (np.zeros(len(thresholds)) for _ in range(3))
    for levels, level, first, stop in _runs(column_scores, thresholds):
        n_levels = levels.stop - levels.start
        length = edges[stop] - edges[first]
        right = covered[stop, column] - covered[first, column] >= dtc * length - TOLERANCE_S
        false_alarm = ~right
        wrong[levels] = np.bincount(level[false_alarm], minlength=n_levels)
        if len(others):
            begin, end = first[false_alarm], stop[false_alarm]
            inside = covered[np.ix_(end, others)] - covered[np.ix_(begin, others)]
            triggers = inside >= cttc * length[false_alarm, np.newaxis] - TOLERANCE_S
            crossed[levels] = np.bincount(level[false_alarm], weights=triggers @ weights[others], minlength=n_levels)
        onset_s, offset_s = edges[first[right]], edges[stop[right]]
        for event in reference.events[column]:
            inside = np.minimum(offset_s, event.offset) - np.maximum(onset_s, event.onset)
            overlap_s = np.bincount(level[right], weights=np.maximum(inside, 0), minlength=n_levels)
            found[levels] += overlap_s >= gtc * event.duration_s - TOLERANCE_S
    return ClassSteps(
        thresholds=thresholds,
        found=np.diff(found, prepend=0),
        wrong=np.diff(wrong, prepend=0),
        crossed=np.diff(crossed, prepend=0),
    )


def _runs(
    scores: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32]
) -> Iterator[tuple[slice, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Unbroken stretches of frames at or above each threshold, some thresholds at a time.

    Yields:
        Which thresholds; then of each stretch the threshold, counted from the first of these, the first frame and
        the frame after the last.
    """
    width = len(scores) + 1
    n_levels = max(1, WORKSPACE_VALUES // width)
    for start in range(0, len(thresholds), n_levels):
        levels = slice(start, min(start + n_levels, len(thresholds)))
        # an inactive frame on both sides: every stretch has a beginning and an end
        active = np.zeros((levels.stop - levels.start, width + 1), dtype=np.bool_)
        active[:, 1:-1] = scores >= thresholds[levels, np.newaxis]
        changes = np.flatnonzero(active[:, 1:] != active[:, :-1])
        level, first = np.divmod(changes[::2], width)
        yield levels, level, first, changes[1::2] % width
