"""Running medians of frame probabilities."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from compactcli.scores import FrameScores
from compactcli.timing import FrameClock

Probabilities = npt.NDArray[np.float32]

# up to so many frames, comparing whole columns of frames with one another is quicker than sorting each window
FEW_FRAMES = 25


def median_filter(block: Probabilities, n_frames: int) -> Probabilities:
    """Medians of all full windows of frames.

    Args:
        block: Shape ``(n, n_events)``.
        n_frames: Length of a window, odd.

    Returns:
        Shape ``(max(0, n - n_frames + 1), n_events)``.
    """
    if n_frames == 1:
        return block
    if len(block) < n_frames:
        return block[:0]
    middle = n_frames // 2
    if n_frames > FEW_FRAMES:
        windows = np.lib.stride_tricks.sliding_window_view(block, n_frames, axis=0)
        return np.partition(windows, middle, axis=-1)[..., middle]
    length = len(block) - middle * 2
    ordered = [block[start : start + length] for start in range(n_frames)]
    # the largest of those left rises to their end, until one of them is the middle one
    for end in range(n_frames - 1, middle - 1, -1):
        for place in range(end):
            low, high = ordered[place], ordered[place + 1]
            ordered[place], ordered[place + 1] = np.minimum(low, high), np.maximum(low, high)
    return ordered[middle]


def smooth_scores(scores: FrameScores, median_s: float) -> FrameScores:
    """Frame scores after the running median that ``detect_events`` applies, the first and last frame repeated."""
    if len(scores.probabilities) == 0:
        return scores
    n_frames = FrameClock.from_edges(scores.edges_s).s_to_odd_frames(median_s)
    padded = np.pad(scores.probabilities, ((n_frames // 2, n_frames // 2), (0, 0)), mode="edge")
    return replace(scores, probabilities=median_filter(padded, n_frames))
