"""Frame probabilities become sound events: runs of frames are found, gaps closed, short ones dropped.

The decoder reads a recording piece by piece and keeps only what later frames can still change: the frames inside one
median window or step filter and, for each class, the event that may go on. How the frames are cut into pieces has no
influence on the events.
"""

import math
from collections.abc import Sequence

import numpy as np

from compactcli.config import DetectionConfig
from compactcli.detection.runs import NO_RUNS, Probabilities, RunFinder, Runs, close_gaps, join
from compactcli.detection.steps import StepFinder
from compactcli.detection.thresholds import ThresholdFinder
from compactcli.errors import ConfigError
from compactcli.events import Event, sort_events
from compactcli.scores import FrameScores
from compactcli.smoothing import median_filter
from compactcli.timing import FrameClock

# values that one median filtering may hold at a time, 16 MiB of float32
WORKSPACE_VALUES = 1 << 22

# events whose length is the shortest one up to float64 rounding are kept
TOLERANCE_S = 1e-9


def detect_events(scores: FrameScores, config: DetectionConfig) -> list[Event]:
    """Turn frame probabilities into sound events.

    Where ``config.step_s`` is above 0, events begin and end at steep rises and falls of the probability, as
    ``compactcli.detection.steps`` says. Else a class becomes active in a frame where its smoothed probability is at or
    above its threshold, and stays so while that is at or above the threshold less ``config.hysteresis``; neighbouring
    active frames form one event, whose score is the highest smoothed probability inside it. Either way, gaps of at most
    ``config.max_gap_s`` are closed before events shorter than ``config.min_duration_s`` are dropped.

    Args:
        scores: Probabilities in [0, 1], shape ``(n_frames, n_events)``, with evenly spaced frame edges in seconds.
        config: Thresholds (per class or one for all) and durations in seconds.

    Returns:
        Events ordered by onset, then label; each covers ``[onset, offset)``, none ends after the last edge.

    Raises:
        ConfigError: A threshold names a class that ``scores`` does not have, or the frame edges are not evenly
            spaced from 0.

    Source:
        Median smoothing and fixed thresholds as in the DCASE Task 4 baselines; we differ in closing gaps first, which
        can only lengthen events. For steps see ``compactcli.detection.steps``.

    Example:
        >>> scores = FrameScores(
        ...     probabilities=np.array([[0.1], [0.7], [0.9], [0.2]], dtype=np.float32),
        ...     edges_s=np.array([0.0, 0.5, 1.0, 1.5, 2.0]),
        ...     classes=("dog",),
        ... )
        >>> [(event.onset, event.offset) for event in detect_events(scores, DetectionConfig(median_s=0))]
        [(0.5, 1.5)]
    """
    if len(scores.probabilities) == 0:
        _thresholds(config, scores.classes)
        return []
    decoder = EventDecoder(config, scores.classes, FrameClock.from_edges(scores.edges_s))
    events = decoder.push(scores.probabilities)
    return sort_events(events + decoder.finish_at(float(scores.edges_s[-1])))


class EventDecoder:
    """Turns frame probabilities into events while they arrive, as ``detect_events`` does for a whole recording.

    At the two ends of the recording the median filter sees the first and the last frame repeated. ``push`` and
    ``finish`` return an event once nothing can change it, each time ordered by the frame in which they end, then class.

    Args:
        config: Thresholds and durations. ``median_s`` is taken as the nearest odd number of frames, of which 1
            leaves the probabilities as they are, and half of ``step_s`` as the nearest number of frames from 1 up.
        classes: Event names, in the order of the columns.
        clock: Clock of the frames.

    Raises:
        ConfigError: A threshold names a class that is not in ``classes``.

    Example:
        >>> clock = FrameClock(sample_rate=16000, frame_length=640)
        >>> decoder = EventDecoder(DetectionConfig(median_s=0, max_gap_s=0), ("dog",), clock)
        >>> decoder.push(np.array([[0.2], [0.8], [0.9], [0.7]], dtype=np.float32))
        []
        >>> decoder.finish(n_samples=2500)[0].offset
        0.15625
    """

    def __init__(self, config: DetectionConfig, classes: Sequence[str], clock: FrameClock) -> None:
        self._config = config
        self._classes = tuple(classes)
        self._clock = clock
        self._thresholds = _thresholds(config, self._classes)
        self._median_frames = 1 if config.step_s else clock.s_to_odd_frames(config.median_s)
        self._max_gap = clock.s_to_frames_within(config.max_gap_s)
        self._reset()

    def push(self, probabilities: Probabilities) -> list[Event]:
        """Take the next frames.

        Args:
            probabilities: Shape ``(n_frames, n_events)``, in [0, 1]; any number of frames, 0 too.

        Returns:
            Events that no later frame can change, in the order in which they ended.

        Raises:
            ConfigError: The shape does not fit the classes.
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self._classes):
            raise ConfigError(
                f"frame probabilities have shape {probabilities.shape}, expected (n_frames, {len(self._classes)})"
            )
        if len(probabilities) == 0:
            return []
        if self._n_frames == 0:
            self._recent = np.repeat(probabilities[:1], self._median_frames // 2, axis=0).astype(np.float32)
        self._n_frames += len(probabilities)
        return self._events(self._advance(probabilities), end_s=math.inf)

    def finish(self, n_samples: int) -> list[Event]:
        """End the recording; the decoder is then ready for the next one.

        Args:
            n_samples: Length of the recording in samples of the clock.

        Returns:
            The events not returned yet; none ends after the recording.

        Raises:
            ConfigError: The recording has another number of frames than were pushed.
        """
        expected = self._clock.n_frames(n_samples)
        if self._n_frames != expected:
            raise ConfigError(
                f"{self._n_frames} frames were decoded of a recording of {n_samples} samples, expected {expected}"
            )
        return self.finish_at(self._clock.samples_to_s(n_samples))

    def finish_at(self, end_s: float) -> list[Event]:
        """End the recording at a time in the last frame pushed, as ``finish`` does.

        Args:
            end_s: Length of the recording in seconds.
        """
        ended = self._advance(np.repeat(self._recent[-1:], self._median_frames // 2, axis=0))
        runs = close_gaps(join(self._open, self._finder.finish()), self._max_gap)
        events = self._events(join(ended, runs), end_s=end_s)
        self._reset()
        return events

    def _reset(self) -> None:
        self._n_frames = 0
        self._recent = np.empty((0, len(self._classes)), dtype=np.float32)
        self._finder = self._new_finder()
        self._open = NO_RUNS

    def _new_finder(self) -> RunFinder:
        threshold, lower_threshold = self._thresholds
        if not self._config.step_s:
            return ThresholdFinder(threshold, lower_threshold)
        half = max(1, self._clock.s_to_frames(self._config.step_s / 2))
        return StepFinder(threshold, half=half, merge_share=self._config.merge_share)

    def _advance(self, probabilities: Probabilities) -> Runs:
        """Smooth the frames that the new ones complete, and look for runs; those that ended for good."""
        length = max(1, WORKSPACE_VALUES // (self._median_frames * max(1, len(self._classes))))
        ended = NO_RUNS
        for start in range(0, len(probabilities), length):
            block = np.concatenate([self._recent, probabilities[start : start + length]], dtype=np.float32)
            # a copy: a view would keep the whole block alive until the next push
            self._recent = block[max(0, len(block) - (self._median_frames - 1)) :].copy()
            smoothed = median_filter(block, self._median_frames)
            if len(smoothed) == 0:
                continue
            runs = close_gaps(join(self._open, self._finder.push(smoothed)), self._max_gap)
            may_go_on = self._finder.horizon[runs.column] - runs.stop <= self._max_gap
            self._open = runs.select(may_go_on)
            ended = join(ended, runs.select(~may_go_on))
        return ended

    def _events(self, runs: Runs, *, end_s: float) -> list[Event]:
        """Events in order of their last frame, then class, without those that are too short."""
        events = []
        for index in np.lexsort((runs.column, runs.stop)):
            onset = self._clock.frames_to_s(int(runs.first[index]))
            offset = min(self._clock.frames_to_s(int(runs.stop[index])), end_s)
            if offset - onset >= self._config.min_duration_s - TOLERANCE_S:
                label = self._classes[runs.column[index]]
                events.append(Event(onset=onset, offset=offset, label=label, score=float(runs.score[index])))
        return events


def _thresholds(config: DetectionConfig, classes: Sequence[str]) -> Probabilities:
    """Both thresholds of each class, two rows of float32, so that a probability computed as 0.7 reaches 0.7."""
    unknown = sorted(set(config.class_thresholds) - set(classes))
    if unknown:
        raise ConfigError(f"thresholds for unknown events {unknown}, expected some of {list(classes)}")
    thresholds = [[of(label) for label in classes] for of in (config.threshold_of, config.lower_threshold_of)]
    return np.array(thresholds, dtype=np.float32)
