"""Probabilities that know their classes, levels that know their bands, and edges of frames in seconds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneScores:
    """Scene probabilities of one recording.

    Args:
        probabilities: Shape ``(n_scenes,)``, in [0, 1], summing to 1.
        classes: Scene names, in the order of the probabilities.

    Raises:
        ConfigError: The two lengths differ.
    """

    probabilities: npt.NDArray[np.float64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.probabilities.shape != (len(self.classes),):
            raise ConfigError(
                f"scene probabilities have shape {self.probabilities.shape}, expected ({len(self.classes)},)"
            )

    def top(self, n_classes: int) -> list[tuple[str, float]]:
        """The ``n_classes`` most probable scenes, best first; ties keep class order."""
        order = np.argsort(-self.probabilities, kind="stable")[:n_classes]
        return [(self.classes[index], float(self.probabilities[index])) for index in order]


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameLevels:
    """Log-mel of consecutive frames of one recording.

    Args:
        levels_db: dB relative to a full-scale sine, shape ``(n_frames, n_mels)``.
        edges_s: Frame edges in seconds, shape ``(n_frames + 1,)``; frame ``i`` is ``[edges_s[i], edges_s[i + 1])``.
        centres_hz: Centre frequencies of the bands in Hz, shape ``(n_mels,)``.
    """

    levels_db: npt.NDArray[np.float32]
    edges_s: npt.NDArray[np.float64]
    centres_hz: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameScores:
    """Event probabilities of one recording, frame by frame.

    Args:
        probabilities: Shape ``(n_frames, n_events)``, in [0, 1].
        edges_s: Frame edges in seconds, shape ``(n_frames + 1,)``; frame ``i`` is ``[edges_s[i], edges_s[i + 1])``.
        classes: Event names, in the order of the columns.

    Raises:
        ConfigError: The shapes do not fit together.
    """

    probabilities: npt.NDArray[np.float32]
    edges_s: npt.NDArray[np.float64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.edges_s) - 1, len(self.classes))
        if self.probabilities.shape != expected:
            raise ConfigError(f"frame probabilities have shape {self.probabilities.shape}, expected {expected}")
