"""Hits and errors of single recordings and classes under any detection settings, each counted once and kept.

Classes are detected independently of one another, so what is known of a class at a threshold serves every combination
with thresholds of other classes, and folds of a cross-validation only add up other recordings.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from compactcli.config import DetectionConfig
from compactcli.detection import detect_events
from compactcli.errors import ConfigError, ManifestError
from compactcli.events import Event
from compactcli.metrics.counts import DetectionMetrics, RecordingEvents
from compactcli.metrics.event import event_metrics
from compactcli.metrics.segment import segment_metrics
from compactcli.scores import FrameScores
from compactcli.smoothing import smooth_scores

Metric = Callable[[Iterable[RecordingEvents], Sequence[str]], DetectionMetrics]
# segments of 1 s, and collars of 200 ms, as compact evaluate has them
METRICS: dict[str, Metric] = {"segment": segment_metrics, "event": event_metrics}

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledScores:
    """Frame scores of one recording, and what happened in it.

    Args:
        scores: Calibrated probabilities before smoothing.
        reference: True events; their labels are among the classes of ``scores``.
    """

    scores: FrameScores
    reference: tuple[Event, ...]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The settings of a ``DetectionConfig`` that all classes share, without the threshold."""

    step_s: float
    merge_share: float
    median_s: float
    hysteresis: float
    max_gap_s: float
    min_duration_s: float

    @classmethod
    def of(cls, detection: DetectionConfig) -> "Shared":
        """Those of a detection."""
        return cls(
            step_s=detection.step_s,
            merge_share=detection.merge_share,
            median_s=detection.median_s,
            hysteresis=detection.hysteresis,
            max_gap_s=detection.max_gap_s,
            min_duration_s=detection.min_duration_s,
        )


# every frame is active at threshold 0, and nothing cuts or drops the one event that this gives
EVERYTHING = Shared(step_s=0.0, merge_share=0.0, median_s=0.0, hysteresis=0.0, max_gap_s=0.0, min_duration_s=0.0)


class Judge:
    """Counts hits and errors, each combination of recording, class and settings once.

    Args:
        recordings: Scores and true events, all with the same classes.
        metric: One of ``METRICS``.

    Raises:
        ConfigError: The metric is unknown.
        ManifestError: An event's label is not among the classes.
    """

    def __init__(self, recordings: Sequence[LabelledScores], *, metric: str) -> None:
        if metric not in METRICS:
            raise ConfigError(f"metric '{metric}' is unknown, expected one of {', '.join(METRICS)}")
        self._metric = METRICS[metric]
        self._recordings = recordings
        labels = {event.label for item in recordings for event in item.reference}
        all_classes = recordings[0].scores.classes
        unknown = sorted(labels - set(all_classes))
        if unknown:
            raise ManifestError(f"event label '{unknown[0]}' is not one of the {len(all_classes)} classes expected")
        #: Those that occur in the reference, in the order of the scores.
        self.classes = tuple(label for label in all_classes if label in labels)
        self._columns = [index for index, label in enumerate(all_classes) if label in labels]
        #: Reference events, shape ``(n_recordings, n_classes)``.
        self.n_events = np.array(
            [[sum(event.label == label for event in item.reference) for label in self.classes] for item in recordings]
        )
        self._known: dict[tuple[Shared, int, float], Numbers] = {}
        self._median_s = -1.0
        self._smoothed: list[FrameScores] = []

    def counts(self, shared: Shared, thresholds: Sequence[float]) -> Numbers:
        """Hits, false alarms and misses.

        Args:
            shared: Settings of all classes.
            thresholds: One for each class.

        Returns:
            Shape ``(n_recordings, n_classes, 3)``.
        """
        if shared.step_s:  # what has no part in such events makes no difference
            shared = replace(shared, median_s=0.0, hysteresis=0.0)
        keys = [(shared, index, threshold) for index, threshold in enumerate(thresholds)]
        missing = [index for index, key in enumerate(keys) if key not in self._known]
        if missing:
            found = self._count(shared, missing, [thresholds[index] for index in missing])
            self._known.update({keys[index]: found[:, place] for place, index in enumerate(missing)})
        return np.stack([self._known[key] for key in keys], axis=1)

    def counts_of_all(self) -> Numbers:
        """The counts of a report that every class sounds all the time, of the same shape."""
        return self.counts(EVERYTHING, [0.0] * len(self.classes))

    def _count(self, shared: Shared, indices: Sequence[int], thresholds: Sequence[float]) -> Numbers:
        self._smooth(shared.median_s)
        classes = tuple(self.classes[index] for index in indices)
        settings = {**asdict(shared), "median_s": 0.0}  # the scores are smoothed by now
        detection = DetectionConfig(class_thresholds=dict(zip(classes, thresholds, strict=True)), **settings)
        rows = []
        for smoothed, item in zip(self._smoothed, self._recordings, strict=True):
            scores = FrameScores(
                probabilities=smoothed.probabilities[:, list(indices)], edges_s=smoothed.edges_s, classes=classes
            )
            pair = RecordingEvents(
                reference=[event for event in item.reference if event.label in classes],
                estimated=detect_events(scores, detection),
                duration_s=float(smoothed.edges_s[-1]),
            )
            per_class = self._metric([pair], classes).per_class
            rows.append([[counts.tp, counts.fp, counts.fn] for counts in per_class.values()])
        return np.array(rows, dtype=np.int64)

    def _smooth(self, median_s: float) -> None:
        """Have the scores at hand with one median; one at a time, as they may be long."""
        if median_s == self._median_s:
            return
        self._smoothed = [
            smooth_scores(
                FrameScores(
                    probabilities=item.scores.probabilities[:, self._columns],
                    edges_s=item.scores.edges_s,
                    classes=self.classes,
                ),
                median_s,
            )
            for item in self._recordings
        ]
        self._median_s = median_s


def f1_of(counts: Numbers) -> npt.NDArray[np.float64]:
    """F1 of hits, false alarms and misses, 0 where nothing occurs.

    Args:
        counts: Shape ``(..., 3)``.

    Returns:
        ``2 tp / (2 tp + fp + fn)``, shape ``(...)``.

    Example:
        >>> f1_of(np.array([[3, 1, 2], [0, 0, 0]])).tolist()
        [0.6666666666666666, 0.0]
    """
    both = 2 * counts[..., 0]
    whole = both + counts[..., 1] + counts[..., 2]
    ratio: npt.NDArray[np.float64] = both / np.maximum(whole, 1)
    return ratio
