"""Runs begin and end where the score of a class crosses its threshold."""

import numpy as np
import numpy.typing as npt

from compactcli.detection.runs import NO_RUNS, Frames, Probabilities, Runs

Activity = npt.NDArray[np.bool_]


class ThresholdFinder:
    """A class becomes active at its threshold and stays so down to a lower one; see ``RunFinder``.

    A run that goes on from one piece of the recording into the next is given out in two parts without a gap.

    Args:
        thresholds: For each class, shape ``(n_events,)``.
        lower_thresholds: The same or lower ones.
    """

    def __init__(self, thresholds: Probabilities, lower_thresholds: Probabilities) -> None:
        self._thresholds = thresholds
        self._lower_thresholds = lower_thresholds
        self._active = np.zeros(len(thresholds), dtype=np.bool_)
        self._n_frames = 0

    @property
    def horizon(self) -> Frames:
        """See ``RunFinder``."""
        return np.full(len(self._thresholds), self._n_frames)

    def push(self, probabilities: Probabilities) -> Runs:
        """See ``RunFinder``."""
        active = _find_activity(probabilities, self._thresholds, self._lower_thresholds, self._active)
        self._active = active[-1].copy()
        runs = _find_runs(probabilities, active, self._n_frames)
        self._n_frames += len(probabilities)
        return runs

    def finish(self) -> Runs:
        """See ``RunFinder``."""
        return NO_RUNS


def _find_activity(
    smoothed: Probabilities, threshold: Probabilities, lower_threshold: Probabilities, was_active: Activity
) -> Activity:
    """Which classes are active in each of one or more frames; ``was_active`` says it of the frame before them."""
    begins = smoothed >= threshold
    decided = begins | (smoothed < lower_threshold)
    # between the two thresholds a class stays as the last frame outside them left it
    begins[0] |= ~decided[0] & was_active
    frames = np.arange(len(smoothed))[:, np.newaxis]
    # frames before the first decided one go by frame 0, which knows what was before
    last_decided = np.maximum.accumulate(np.where(decided, frames, 0), axis=0)
    return np.take_along_axis(begins, last_decided, axis=0)


def _find_runs(smoothed: Probabilities, is_active: Activity, start: int) -> Runs:
    """Unbroken stretches of activity; the first row of ``smoothed`` is frame ``start``."""
    n_frames, n_classes = smoothed.shape
    # one inactive frame on both sides of each class: every run has a beginning and an end inside its row
    active = np.zeros((n_classes, n_frames + 2), dtype=np.bool_)
    active[:, 1:-1] = is_active.T
    changes = np.flatnonzero(active.ravel()[1:] != active.ravel()[:-1])
    first, stop = changes[::2], changes[1::2]
    if len(first) == 0:
        return NO_RUNS
    column, first_frame = np.divmod(first, n_frames + 2)
    # the padding leaves room for ``stop``, which would otherwise be past the end of the last class
    padded = np.zeros((n_classes, n_frames + 2), dtype=np.float32)
    padded[:, :n_frames] = smoothed.T
    peak = np.maximum.reduceat(padded.ravel(), changes)[::2]
    return Runs(column=column, first=first_frame + start, stop=first_frame + (stop - first) + start, score=peak)
