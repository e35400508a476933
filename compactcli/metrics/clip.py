"""Clip-level metrics: one true class and one distribution over classes for each clip.

Truth is an array of class indices, shape ``(n_clips,)``; probabilities have shape ``(n_clips, n_classes)``. The
predicted class is the most probable one, the first of them on a tie.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import require
from compactcli.metrics.reliability import ReliabilityBin, expected_calibration_error, reliability

# the natural logarithm of a probability of 0 has no value; float64 distinguishes about this much from 1
SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipMetrics:
    """Classification quality over a set of clips.

    Args:
        n_clips: Number of clips.
        accuracy: Part of the clips whose predicted class is the true one.
        macro_accuracy: Mean of the recalls of the classes that have clips.
        recall: Recall per class, shape ``(n_classes,)``; NaN for a class without clips.
        confusion: Number of clips of true class ``row`` that were called ``column``, shape
            ``(n_classes, n_classes)``.
        log_loss: Mean negative natural logarithm of the true class's probability.
        calibration_error: Expected calibration error in 15 bins, in [0, 1].
        reliability: How often the predicted class was right, in 10 bins of its probability.
    """

    n_clips: int
    accuracy: float
    macro_accuracy: float
    recall: npt.NDArray[np.float64]
    confusion: npt.NDArray[np.int64]
    log_loss: float
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]


def clip_metrics(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> ClipMetrics:
    """All clip-level metrics at once.

    Args:
        truth: True class indices, shape ``(n_clips,)``, at least one clip.
        probabilities: Shape ``(n_clips, n_classes)``, in [0, 1], each row summing to 1.

    Raises:
        ConfigError: There are no clips, the shapes do not fit, an index is not a class, or a row is not a
            distribution.

    Example:
        >>> metrics = clip_metrics([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
        >>> round(metrics.accuracy, 3), metrics.macro_accuracy, metrics.confusion.tolist()
        (0.667, 0.75, [[1, 0], [1, 1]])
    """
    indices, rows = _checked(truth, probabilities)
    confusion = confusion_matrix(indices, rows.argmax(axis=1), n_classes=rows.shape[1])
    recall = class_recall(confusion)
    return ClipMetrics(
        n_clips=len(indices),
        accuracy=float(np.trace(confusion) / confusion.sum()),
        macro_accuracy=float(np.nanmean(recall)),
        recall=recall,
        confusion=confusion,
        log_loss=log_loss(indices, rows),
        calibration_error=calibration_error(indices, rows),
        reliability=reliability(*_predictions(indices, rows)),
    )


def confusion_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike, *, n_classes: int) -> npt.NDArray[np.int64]:
    """Count the clips of each pair of true and predicted class.

    Args:
        truth: True class indices, shape ``(n_clips,)``.
        predicted: Predicted class indices, shape ``(n_clips,)``.
        n_classes: Number of classes.

    Returns:
        Counts, shape ``(n_classes, n_classes)``: rows are true classes, columns predicted ones.

    Raises:
        ConfigError: The lengths differ or an index is not a class.

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], n_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    rows, columns = _indices(truth, n_classes), _indices(predicted, n_classes)
    require(len(rows) == len(columns), f"{len(columns)} predictions for {len(rows)} clips, expected one each")
    flat = np.bincount(rows * n_classes + columns, minlength=n_classes * n_classes)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def class_recall(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Part of each true class that was recognised, shape ``(n_classes,)``; NaN for a class without clips."""
    n_clips = confusion.sum(axis=1)
    recall = np.full(len(n_clips), np.nan)
    np.divide(np.diagonal(confusion), n_clips, out=recall, where=n_clips > 0)
    return recall


def log_loss(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean of ``-ln p`` of the true class.

    Args:
        truth: True class indices, shape ``(n_clips,)``.
        probabilities: Shape ``(n_clips, n_classes)``; values below 1e-15 count as 1e-15, so one clip costs at
            most 34.5.

    Raises:
        ConfigError: As ``clip_metrics``.

    Example:
        >>> round(log_loss([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 4)
        0.6931
    """
    indices, rows = _checked(truth, probabilities)
    true_class = rows[np.arange(len(indices)), indices]
    # + 0.0 turns the -0.0 of a perfect prediction into 0.0
    return float(-np.log(np.clip(true_class, SMALLEST_PROBABILITY, 1.0)).mean()) + 0.0


def calibration_error(truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, n_bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy are apart.

    Clips are sorted by the probability of their predicted class into ``n_bins`` equal bins
    ``(0, 1/n], (1/n, 2/n] ... (.., 1]``; the result is the mean over clips of the distance between the mean
    probability and the accuracy of the clip's bin.

    Args:
        truth: True class indices, shape ``(n_clips,)``.
        probabilities: Shape ``(n_clips, n_classes)``.
        n_bins: Number of bins, at least 1.

    Raises:
        ConfigError: ``n_bins`` is below 1, or as ``clip_metrics``.

    Source:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2.

    Example:
        >>> round(calibration_error([0, 0, 0, 1], [[0.75, 0.25]] * 4), 4)
        0.0
    """
    indices, rows = _checked(truth, probabilities)
    return expected_calibration_error(*_predictions(indices, rows), n_bins=n_bins)


def _predictions(
    indices: npt.NDArray[np.int64], rows: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Probability of each clip's predicted class, at most 1, and whether the prediction is right."""
    return np.minimum(rows.max(axis=1), 1.0), rows.argmax(axis=1) == indices


def _checked(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    rows = np.asarray(probabilities, dtype=np.float64)
    require(
        rows.ndim == 2 and rows.size > 0,
        f"clip probabilities have shape {rows.shape}, expected (n_clips, n_classes), both at least 1",
    )
    indices = _indices(truth, rows.shape[1])
    require(len(indices) == len(rows), f"{len(rows)} rows of probabilities for {len(indices)} clips, expected one each")
    # 1e-4: room for a softmax in float32, none for logits or percentages
    sums = rows.sum(axis=1)
    distributions = (rows >= 0).all(axis=1) & (np.abs(sums - 1) <= 1e-4)
    require(
        bool(distributions.all()),
        f"{np.count_nonzero(~distributions)} of {len(rows)} rows of clip probabilities are not distributions, "
        "expected values of 0 or more that sum to 1",
    )
    return indices, rows


def _indices(values: npt.ArrayLike, n_classes: int) -> npt.NDArray[np.int64]:
    indices = np.asarray(values)
    require(
        indices.ndim == 1 and (indices.size == 0 or np.issubdtype(indices.dtype, np.integer)),
        f"class indices have shape {indices.shape} and type {indices.dtype}, expected (n_clips,) of whole numbers",
    )
    outside = indices[(indices < 0) | (indices >= n_classes)]
    require(outside.size == 0, f"class index {outside[:1].tolist()} is not one of {n_classes} classes")
    return indices.astype(np.int64)
