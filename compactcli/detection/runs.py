"""Stretches of frames in which a class sounds, of all classes together."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Stretches of frames, ordered by class, then time; four arrays of one length.

    Args:
        column: Class of each.
        first: Its first frame in the recording.
        stop: The frame after its last one.
        score: How sure it is, in [0, 1].
    """

    column: Frames
    first: Frames
    stop: Frames
    score: Probabilities

    def select(self, index: npt.NDArray[np.bool_] | Frames) -> "Runs":
        """Some of them."""
        return Runs(column=self.column[index], first=self.first[index], stop=self.stop[index], score=self.score[index])


NO_RUNS = Runs(
    column=np.empty(0, dtype=np.int64),
    first=np.empty(0, dtype=np.int64),
    stop=np.empty(0, dtype=np.int64),
    score=np.empty(0, dtype=np.float32),
)


class RunFinder(Protocol):
    """Finds runs in the frames of one recording while they arrive."""

    def push(self, probabilities: Probabilities) -> Runs:
        """Take the next frames, shape ``(n_frames, n_events)``, at least one; what is found for good by then."""
        ...

    def finish(self) -> Runs:
        """End the recording; what had not been found for good."""
        ...

    @property
    def horizon(self) -> Frames:
        """For each class the frame before which no run to come begins, shape ``(n_events,)``."""
        ...


def join(earlier: Runs, later: Runs) -> Runs:
    """Both together, ordered by class; within a class the earlier ones first."""
    if len(earlier.column) == 0:
        return later
    column = np.concatenate([earlier.column, later.column])
    both = Runs(
        column=column,
        first=np.concatenate([earlier.first, later.first]),
        stop=np.concatenate([earlier.stop, later.stop]),
        score=np.concatenate([earlier.score, later.score]),
    )
    return both.select(np.argsort(column, kind="stable"))


def close_gaps(runs: Runs, max_gap: int) -> Runs:
    """Unite runs of one class with at most ``max_gap`` frames between them; the higher score holds."""
    if len(runs.column) == 0:
        return runs
    apart = (np.diff(runs.column) != 0) | (runs.first[1:] - runs.stop[:-1] > max_gap)
    heads = np.flatnonzero(np.concatenate([[True], apart]))
    tails = np.append(heads[1:], len(runs.column)) - 1
    return Runs(
        column=runs.column[heads],
        first=runs.first[heads],
        stop=runs.stop[tails],
        score=np.maximum.reduceat(runs.score, heads),
    )
