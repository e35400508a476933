"""Runs begin and end where the score of a class rises and falls most steeply, whatever its threshold is.

How steeply the score changes at the edge between two frames is the mean score over half a step filter after the edge
less that over half a filter before it; outside the recording all scores are 0.

1.  A candidate begins at every edge at which the change has a maximum above ``SMALLEST_RISE``, and ends at the deepest
    fall before the next candidate begins.
2.  From left to right, a candidate and the one before it become one where the mean score between them is at least
    ``merge_share`` of the higher one of their own mean scores.
3.  The score of what has come of this is the root mean square of its frames' scores. It is a run where that reaches the
    threshold of the class.

Ebbers, Germain, Wichern and Le Roux, "Sound Event Bounding Boxes for Evaluation and Post-Processing of Sound Event
Detection", 2024 (arXiv 2406.04212), find boundaries by such a filter and merge across shallow gaps. We differ: merging
goes once from left to right, so that a recording of any length is read in flat memory, by one rule; and a run is judged
by its root mean square, with which 0.5 was near the best threshold on validation soundscapes of the released model.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from compactcli.detection.runs import NO_RUNS, Frames, Probabilities, Runs

# changes of the mean score below this begin nothing
SMALLEST_RISE = 0.02

Sums = npt.NDArray[np.float64]


class _Edge(NamedTuple):
    """An edge between two frames: the frame after it, and the sums of all scores before it and of their squares."""

    frame: int
    sum: float
    sum_of_squares: float


class _Candidate(NamedTuple):
    """What may become a run: where it begins, where it ends, and how the score changes there."""

    first: _Edge
    stop: _Edge
    change: float

    @property
    def score(self) -> float:
        """Root mean square of the scores."""
        return math.sqrt((self.stop.sum_of_squares - self.first.sum_of_squares) / (self.stop.frame - self.first.frame))


# a class and what nothing to come can change of it
_Settled = tuple[int, _Candidate]


class StepFinder:
    """Finds runs between steep rises and falls; see the module, and ``RunFinder``.

    What is found does not depend on the pieces that the recording comes in: every sum is that of the same numbers in
    the same order.

    Args:
        thresholds: For each class, shape ``(n_events,)``.
        half: Frames in half of the step filter, at least 1.
        merge_share: Of the mean score beside a gap, see the module.
    """

    def __init__(self, thresholds: Probabilities, *, half: int, merge_share: float) -> None:
        self._thresholds = thresholds
        self._half = half
        self._merge_share = merge_share
        n_events = len(thresholds)
        # sums and sums of squares before each frame, from that of frame `_origin` on; nothing sounds before the start
        self._origin = -half - 1
        self._sums: Sums = np.zeros((half + 2, 2, n_events))
        self._n_judged = 0
        self._open: list[_Candidate | None] = [None] * n_events
        self._merged: list[_Candidate | None] = [None] * n_events

    @property
    def horizon(self) -> Frames:
        """See ``RunFinder``."""
        earliest = (
            next((item.first.frame for item in pair if item is not None), self._n_judged)
            for pair in zip(self._merged, self._open, strict=True)
        )
        return np.fromiter(earliest, dtype=np.int64, count=len(self._open))

    def push(self, probabilities: Probabilities) -> Runs:
        """See ``RunFinder``."""
        scores = probabilities.astype(np.float64)
        pieces = np.stack([scores, scores * scores], axis=1)
        sums = np.cumsum(np.concatenate([self._sums[-1:], pieces]), axis=0)
        self._sums = np.concatenate([self._sums, sums[1:]])
        # whether a change is a maximum shows with the next one, and that needs half a filter of frames after its edge
        return self._runs(self._judge(self._n_frames - self._half))

    def finish(self) -> Runs:
        """See ``RunFinder``."""
        n_frames = self._n_frames
        self._sums = np.concatenate([self._sums, np.repeat(self._sums[-1:], self._half + 1, axis=0)])
        settled = self._judge(n_frames + 1)
        for column in range(len(self._open)):
            settled += self._merge(column)
            settled += [(column, item) for item in [self._merged[column]] if item is not None]
        return self._runs(settled)

    @property
    def _n_frames(self) -> int:
        return self._origin + len(self._sums) - 1

    def _judge(self, stop: int) -> list[_Settled]:
        """Look at the edges before frame ``stop`` that nobody has looked at."""
        start, half = self._n_judged, self._half
        if stop <= start:
            return []
        at = self._sums[:, 0]
        # edges from the one before the first to the one after the last; as scores are 0 or more, no change outside the
        # recording hides a maximum inside
        first, n_edges = start - 1 - self._origin, stop - start + 2
        before, here, after = (at[first + shift : first + shift + n_edges] for shift in (-half, 0, half))
        changes = ((after - here) - (here - before)) / half
        inner = changes[1:-1]
        begins = (inner > SMALLEST_RISE) & (inner >= changes[:-2]) & (inner > changes[2:])
        settled = self._take_parts(inner, begins)
        self._n_judged = stop
        n_old = stop - 1 - half - self._origin
        self._origin, self._sums = self._origin + n_old, self._sums[n_old:].copy()
        return settled

    def _take_parts(self, changes: Sums, begins: npt.NDArray[np.bool_]) -> list[_Settled]:
        """Cut the edges at each beginning, class by class, and find the deepest fall of each part."""
        n_edges, n_events = changes.shape
        is_head = begins.T.copy()
        is_head[:, 0] = True
        heads = np.flatnonzero(is_head)
        flat = changes.T.ravel()
        deepest = np.minimum.reduceat(flat, heads)
        lengths = np.diff(heads, append=n_events * n_edges)
        places = np.flatnonzero(flat == np.repeat(deepest, lengths))
        _, firsts = np.unique(np.searchsorted(heads, places, side="right"), return_index=True)
        columns, edges = np.divmod(heads, n_edges)
        falls = places[firsts] % n_edges
        is_begin = begins.T.ravel()[heads]
        is_open = np.array([item is not None for item in self._open])
        parts = np.flatnonzero(is_begin | is_open[columns])
        columns = columns[parts]
        candidates = map(
            _Candidate,
            self._edges(edges[parts], columns),
            self._edges(falls[parts], columns),
            deepest[parts].tolist(),
        )
        settled = []
        for column, begins_here, candidate in zip(columns.tolist(), is_begin[parts].tolist(), candidates, strict=True):
            if begins_here:
                settled += self._merge(column)
                self._open[column] = candidate
                continue
            before = self._open[column]
            if before is not None and candidate.change < before.change:
                self._open[column] = candidate._replace(first=before.first)
        return settled

    def _edges(self, indices: Frames, columns: Frames) -> Iterator[_Edge]:
        """Edges by their place among those that are looked at."""
        frames = self._n_judged + indices
        sums, sums_of_squares = self._sums[frames - self._origin, :, columns].T.tolist()
        return map(_Edge, frames.tolist(), sums, sums_of_squares)

    def _merge(self, column: int) -> list[_Settled]:
        """Put what is open to what came before it, or in its place; what came before is then settled."""
        candidate, before = self._open[column], self._merged[column]
        if candidate is None:
            return []
        self._open[column] = None
        self._merged[column] = candidate
        if before is None:
            return []
        # a candidate begins after the one before it has ended: a rise is no fall
        between = _mean(before.stop, candidate.first)
        if between >= self._merge_share * max(_mean(before.first, before.stop), _mean(candidate.first, candidate.stop)):
            self._merged[column] = candidate._replace(first=before.first)
            return []
        return [(column, before)]

    def _runs(self, settled: list[_Settled]) -> Runs:
        """Those whose score reaches the threshold."""
        if not settled:
            return NO_RUNS
        runs = Runs(
            column=np.array([column for column, _ in settled]),
            first=np.array([item.first.frame for _, item in settled]),
            stop=np.array([item.stop.frame for _, item in settled]),
            # thresholds are float32 too: scores that are all 0.7 reach 0.7
            score=np.array([item.score for _, item in settled], dtype=np.float32),
        )
        runs = runs.select(np.argsort(runs.column, kind="stable"))
        return runs.select(runs.score >= self._thresholds[runs.column])


def _mean(first: _Edge, stop: _Edge) -> float:
    return (stop.sum - first.sum) / (stop.frame - first.frame)
