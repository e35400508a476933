"""Whether scores mean what they say: of all that scores 0.8, four fifths should be right."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import require


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """What scored between two bounds.

    Args:
        low: Lower bound, exclusive but for a score of 0.
        high: Upper bound, inclusive.
        n_scores: Number of scores.
        mean_score: Their mean; NaN without scores.
        share_right: Part of them that was right; NaN without scores.
    """

    low: float
    high: float
    n_scores: int
    mean_score: float
    share_right: float


def reliability(scores: npt.ArrayLike, right: npt.ArrayLike, *, n_bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Sort scores into bins of equal width ``[0, 1/n], (1/n, 2/n] ... (.., 1]``: the points of a reliability picture.

    Args:
        scores: Probabilities, shape ``(n_scores,)``, in [0, 1].
        right: Whether what each score stands for is true, same shape.
        n_bins: Number of bins, at least 1.

    Returns:
        All bins, from the lowest to the highest.

    Raises:
        ConfigError: The shapes differ, a score is outside [0, 1], or ``n_bins`` is below 1.

    Example:
        >>> reliability([0.1, 0.4, 0.9, 0.8], [False, False, True, False], n_bins=2)[1].share_right
        0.5
    """
    values, hits = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    require(n_bins >= 1, f"n_bins is {n_bins}, expected at least 1")
    require(
        values.ndim == 1 and values.shape == hits.shape,
        f"scores have shape {values.shape} and truth {hits.shape}, expected (n_scores,) twice",
    )
    outside = values[~((values >= 0) & (values <= 1))]
    require(len(outside) == 0, f"a score is {outside[:1].tolist()}, expected numbers from 0 to 1")
    # edges are compared, not divided out: 0.2 * 15 is a hair above 3 in float64 and would change bins
    edges = np.arange(n_bins + 1) / n_bins
    bins = np.searchsorted(edges[1:-1], values, side="left")
    n_scores = np.bincount(bins, minlength=n_bins)
    means = []
    for weights in (values, hits):
        mean = np.full(n_bins, np.nan)
        np.divide(np.bincount(bins, weights=weights, minlength=n_bins), n_scores, out=mean, where=n_scores > 0)
        means.append(mean)
    return tuple(
        ReliabilityBin(low=low, high=high, n_scores=number, mean_score=mean_score, share_right=share)
        for low, high, number, mean_score, share in zip(
            edges[:-1].tolist(),
            edges[1:].tolist(),
            n_scores.tolist(),
            *(mean.tolist() for mean in means),
            strict=True,
        )
    )


def expected_calibration_error(scores: npt.ArrayLike, right: npt.ArrayLike, *, n_bins: int = 15) -> float:
    """Mean over scores of the distance between the mean score and the share right of the score's bin.

    Args:
        scores: Probabilities, shape ``(n_scores,)``, at least one.
        right: Whether what each score stands for is true, same shape.
        n_bins: Number of bins, at least 1.

    Raises:
        ConfigError: There are no scores, or as ``reliability``.

    Source:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2.

    Example:
        >>> expected_calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False])
        0.0
    """
    require(np.size(scores) > 0, "there are no scores, expected at least one")
    bins = [item for item in reliability(scores, right, n_bins=n_bins) if item.n_scores > 0]
    return sum(item.n_scores * abs(item.mean_score - item.share_right) for item in bins) / np.size(scores)
