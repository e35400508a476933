"""Scenes of consecutive stretches of one recording: a day outside is seldom one scene."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compactcli.calibration import scene_probabilities
from compactcli.config import ModelConfig
from compactcli.inference.planning import SHORTEST_STRETCH_S
from compactcli.records import Stretch
from compactcli.scores import SceneScores

# seconds at which a stretch starts, and the scenes of its frames
StretchScores = tuple[float, SceneScores]


class StretchSums:
    """Adds up the scene logits of consecutive stretches of a recording.

    Stretch ``k`` is ``[k * every_s, (k + 1) * every_s)``, to the nearest frame; the last one ends with the recording.

    Args:
        every_s: Seconds, at least ``SHORTEST_STRETCH_S``.
        config: The model's.
    """

    def __init__(self, every_s: float, config: ModelConfig) -> None:
        self._every_s = every_s
        self._config = config
        self._sums: list[npt.NDArray[np.float64]] = []
        self._counts: list[int] = []
        # frames so far; where the stretch that is being added up ends
        self._n_frames = 0
        self._end = 0

    def push(self, logits: npt.NDArray[np.float32]) -> None:
        """Add the next frames.

        Args:
            logits: Scene logits, shape ``(n_output_frames, n_scenes)``.
        """
        while len(logits):
            if self._n_frames == self._end:
                self._sums.append(np.zeros(logits.shape[1], np.float64))
                self._counts.append(0)
                self._end = self._config.clock.s_to_frames(len(self._sums) * self._every_s)
            part, logits = np.split(logits, [self._end - self._n_frames])
            self._sums[-1] += part.sum(axis=0, dtype=np.float64)
            self._counts[-1] += len(part)
            self._n_frames += len(part)

    def finish(self, n_samples: int) -> list[StretchScores]:
        """The stretches, in their order; a rest shorter than ``SHORTEST_STRETCH_S`` belongs to the one before it.

        Args:
            n_samples: Of the whole recording, at least one.
        """
        config = self._config
        last_s = config.clock.samples_to_s(n_samples) - (len(self._sums) - 1) * self._every_s
        if len(self._sums) > 1 and last_s < SHORTEST_STRETCH_S:
            total, count = self._sums.pop(), self._counts.pop()
            self._sums[-1] += total
            self._counts[-1] += count
        stretches = []
        for index, (total, count) in enumerate(zip(self._sums, self._counts, strict=True)):
            probabilities = scene_probabilities(total / count, config.calibration)
            scores = SceneScores(probabilities=probabilities, classes=config.scenes)
            stretches.append((index * self._every_s, scores))
        return stretches


def name_stretches(
    stretches: Sequence[StretchScores] | None, *, top_k: int, duration_s: float
) -> tuple[Stretch, ...] | None:
    """Stretches as a record has them, None where there are none.

    Args:
        stretches: As ``StretchSums`` gives them.
        top_k: Scenes to name of each, best first.
        duration_s: Of the recording, where the last one ends.
    """
    if stretches is None:
        return None
    stops = [*(start for start, _ in stretches[1:]), duration_s]
    return tuple(
        Stretch(start=start, stop=stop, scenes=tuple(scores.top(top_k)))
        for (start, scores), stop in zip(stretches, stops, strict=True)
    )
