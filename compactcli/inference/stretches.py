"""Means over consecutive stretches of one recording: a day outside is seldom one scene."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compactcli.inference.planning import SHORTEST_STRETCH_S
from compactcli.records import Stretch
from compactcli.scores import SceneScores
from compactcli.timing import FrameClock

# of each stretch, seconds at which it starts, and the mean of its frames
StartsAndMeans = list[tuple[float, npt.NDArray[np.float64]]]
# the same of its scenes
StretchScores = tuple[float, SceneScores]


class StretchMeans:
    """Averages what is known of each frame over consecutive stretches of a recording.

    Stretch ``k`` is ``[k * every_s, (k + 1) * every_s)``, to the nearest frame; the last one ends with the recording.

    Args:
        every_s: Seconds, at least ``SHORTEST_STRETCH_S``.
        clock: Of the frames.
    """

    def __init__(self, every_s: float, clock: FrameClock) -> None:
        self._every_s = every_s
        self._clock = clock
        self._sums: list[npt.NDArray[np.float64]] = []
        self._counts: list[int] = []
        # frames so far; where the stretch that is being added up ends
        self._n_frames = 0
        self._end = 0

    def push(self, rows: npt.NDArray[np.float32]) -> None:
        """Add the next frames.

        Args:
            rows: One for each frame, shape ``(n_output_frames, n_values)``.
        """
        while len(rows):
            if self._n_frames == self._end:
                self._sums.append(np.zeros(rows.shape[1], np.float64))
                self._counts.append(0)
                self._end = self._clock.s_to_frames(len(self._sums) * self._every_s)
            part, rows = np.split(rows, [self._end - self._n_frames])
            self._sums[-1] += part.sum(axis=0, dtype=np.float64)
            self._counts[-1] += len(part)
            self._n_frames += len(part)

    def finish(self, n_samples: int) -> StartsAndMeans:
        """Start in seconds and mean of each stretch; a rest below ``SHORTEST_STRETCH_S`` belongs to the one before it.

        Args:
            n_samples: Of the whole recording, at least one.
        """
        last_s = self._clock.samples_to_s(n_samples) - (len(self._sums) - 1) * self._every_s
        if len(self._sums) > 1 and last_s < SHORTEST_STRETCH_S:
            total, count = self._sums.pop(), self._counts.pop()
            self._sums[-1] += total
            self._counts[-1] += count
        means = (total / count for total, count in zip(self._sums, self._counts, strict=True))
        return [(float(index * self._every_s), mean) for index, mean in enumerate(means)]


def name_stretches(
    stretches: Sequence[StretchScores] | None, *, top_k: int, duration_s: float
) -> tuple[Stretch, ...] | None:
    """Stretches as a record has them, None where there are none.

    Args:
        stretches: Start and scenes of each, in their order.
        top_k: Scenes to name of each, best first.
        duration_s: Of the recording, where the last one ends.
    """
    if stretches is None:
        return None
    starts, scores = zip(*stretches, strict=True)
    return tuple(
        Stretch(start=start, stop=stop, scenes=tuple(scenes.top(top_k)))
        for start, stop, scenes in zip(starts, stretch_stops(starts, duration_s), scores, strict=True)
    )


def stretch_stops(starts: Sequence[float], duration_s: float) -> list[float]:
    """Where stretches with those starts end: with the next one, and the last with the recording."""
    return [*starts[1:], duration_s]
