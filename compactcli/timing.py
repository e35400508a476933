"""The only place where samples, frames and seconds are turned into one another.

Frames tile the recording from sample 0 without gaps; frame ``i`` covers the half-open interval
``[i * frame_length, (i + 1) * frame_length)`` samples, and the last frame ends with the recording::

    samples  0        640       1280      1500
    frames   |---0----|----1----|--2--|
    edges    0.00     0.04      0.08  0.09375 s

Counts stay integers until the last step, then become float64 seconds.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from compactcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class FrameClock:
    """Time arithmetic of a regular grid of frames.

    Args:
        sample_rate: Samples per second, positive.
        frame_length: Samples per frame, positive.

    Raises:
        ConfigError: One of the two is not positive.

    Example:
        >>> clock = FrameClock(sample_rate=16000, frame_length=640)
        >>> clock.n_frames(1500)
        3
        >>> clock.edges_s(1500).tolist()
        [0.0, 0.04, 0.08, 0.09375]
    """

    sample_rate: int
    frame_length: int

    def __post_init__(self) -> None:
        if self.sample_rate <= 0 or self.frame_length <= 0:
            raise ConfigError(
                f"a frame clock got {self.sample_rate} Hz and {self.frame_length} samples a frame, "
                "expected two positive numbers"
            )

    @classmethod
    def from_edges(cls, edges_s: npt.NDArray[np.float64]) -> "FrameClock":
        """The clock whose frames have these edges.

        Args:
            edges_s: Frame edges in seconds from 0, shape ``(n_frames + 1,)``, at least one frame; the last frame
                may be shorter than the others.

        Returns:
            A clock with the same ``frame_s``; its sample rate is the smallest that fits, not that of the audio.

        Raises:
            ConfigError: There is no frame, or the edges are not evenly spaced from 0.

        Example:
            >>> FrameClock.from_edges(np.array([0.0, 0.04, 0.08, 0.09375])).frame_s
            0.04
        """
        if len(edges_s) < 2 or not edges_s[1] > edges_s[0]:
            raise ConfigError(f"frame edges are {edges_s.tolist()[:3]}, expected two or more, each later than the last")
        # sample rates and frame lengths are whole numbers far below a million, so the quotient is found exactly
        frame_s = Fraction(float(edges_s[1] - edges_s[0])).limit_denominator(1_000_000)
        clock = cls(sample_rate=frame_s.denominator, frame_length=frame_s.numerator)
        grid = np.arange(len(edges_s)) * clock.frame_s
        last_s = edges_s[-1] - grid[-2]
        if not (np.allclose(edges_s[:-1], grid[:-1], rtol=0, atol=1e-6) and 0 < last_s <= clock.frame_s + 1e-6):
            raise ConfigError(f"frame edges are not evenly spaced, expected one every {clock.frame_s} seconds from 0")
        return clock

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.frame_length

    @property
    def frame_s(self) -> float:
        """Seconds per frame."""
        return self.frame_length / self.sample_rate

    def n_frames(self, n_samples: int) -> int:
        """Frames needed to cover ``n_samples``: the tail counts as one frame."""
        return -(-n_samples // self.frame_length)

    def samples_to_s(self, n_samples: int) -> float:
        """Seconds from the start of the recording."""
        return n_samples / self.sample_rate

    def frames_to_s(self, n_frames: int) -> float:
        """Start of frame ``n_frames`` in seconds, exact to float64 after any number of hours."""
        return n_frames * self.frame_length / self.sample_rate

    def s_to_frames(self, duration_s: float) -> int:
        """Whole number of frames nearest to ``duration_s``."""
        return round(duration_s * self.sample_rate / self.frame_length)

    def s_to_frames_within(self, duration_s: float) -> int:
        """Largest whole number of frames that is not longer than ``duration_s``."""
        # 1e-6 of a frame: 0.28 / 0.04 must give 7 whatever side float64 rounds to
        return math.floor(duration_s * self.sample_rate / self.frame_length + 1e-6)

    def s_to_odd_frames(self, duration_s: float) -> int:
        """Odd number of frames nearest to ``duration_s``, the larger of two equally near; at least 1."""
        return 2 * self.s_to_frames_within(duration_s / 2) + 1

    def edges_s(self, n_samples: int, *, first: int = 0) -> npt.NDArray[np.float64]:
        """Edges of the frames of a recording from frame ``first`` on, shape ``(n_frames - first + 1,)``.

        The last edge is the recording's end.
        """
        edges = np.arange(first, self.n_frames(n_samples) + 1, dtype=np.int64) * self.frame_length
        edges[-1] = n_samples
        return edges / self.sample_rate
