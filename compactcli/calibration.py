"""Logits become probabilities whose operating point is 0.5 for every class.

Applying a calibration needs numpy alone, and so does fitting one.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from compactcli.config import CalibrationConfig

Logits = npt.NDArray[np.float32]
Real = TypeVar("Real", bound=np.floating)


def calibrated_logits(logits: npt.NDArray[Real], calibration: CalibrationConfig) -> npt.NDArray[Real]:
    """Event logits as ``event_scale * logit + event_bias``, in the precision that they come in.

    Args:
        logits: Shape ``(n_frames, n_events)``.
        calibration: Scale and bias per class; no biases means zeros.
    """
    shifted: npt.NDArray[Real] = logits * logits.dtype.type(calibration.event_scale)
    if calibration.event_bias:
        shifted = shifted + np.asarray(calibration.event_bias, dtype=logits.dtype)
    return shifted


def event_probabilities(logits: Logits, calibration: CalibrationConfig) -> Logits:
    """Frame probabilities ``sigmoid(event_scale * logit + event_bias)``.

    Args:
        logits: Shape ``(n_frames, n_events)``.
        calibration: Scale and bias per class; no biases means zeros.

    Returns:
        Shape ``(n_frames, n_events)``, in [0, 1].
    """
    # tanh never overflows, however large the logit
    probabilities: Logits = 0.5 * (1 + np.tanh(0.5 * calibrated_logits(logits, calibration)))
    return probabilities


def scene_probabilities(logits: npt.NDArray[np.floating], calibration: CalibrationConfig) -> npt.NDArray[np.float64]:
    """Scene probabilities ``softmax(scene_scale * logits + scene_bias)``.

    Args:
        logits: Mean over all frames of a recording, shape ``(n_scenes,)``.
        calibration: Scale and bias per class; no biases means zeros.

    Returns:
        Shape ``(n_scenes,)``, summing to 1.
    """
    shifted = calibration.scene_scale * logits.astype(np.float64)
    if calibration.scene_bias:
        shifted = shifted + np.asarray(calibration.scene_bias)
    powers = np.exp(shifted - shifted.max())
    probabilities: npt.NDArray[np.float64] = powers / powers.sum()
    return probabilities


def fit_scene_scale(logits: npt.NDArray[np.floating], truth: npt.NDArray[np.int64]) -> float:
    """Scale with the lowest log-loss on held-out clips (temperature scaling), from a fine grid.

    Args:
        logits: Shape ``(n_clips, n_scenes)``.
        truth: True scene of each clip, shape ``(n_clips,)``.

    Source:
        Guo et al., "On calibration of modern neural networks", ICML 2017; the scale is 1 / T.
    """

    def log_loss(scale: float) -> float:
        shifted = scale * logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(truth)), truth]).mean())

    scales: list[float] = np.geomspace(0.1, 10, 201).tolist()
    return min(scales, key=log_loss)


def fit_event_scale(
    logits: Logits, truth: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_], *, smallest: float
) -> tuple[float, float]:
    """Scale and shift, one pair for all classes, with the lowest binary log-loss on held-out frames.

    Args:
        logits: Shape ``(n_frames, n_events)``.
        truth: Whether the class sounds, same shape.
        known: Where ``truth`` counts, same shape.
        smallest: Scale that is kept where a lower one would be best; the shift is then the best beside it.

    Source:
        Platt scaling, fitted by Newton steps.
    """
    x = logits[known].astype(np.float64)
    y = truth[known].astype(np.float64)
    ones = np.ones_like(x)
    scale, shift = _fit_logistic([x, ones], y, [1.0, 0.0])
    if scale < smallest:
        (shift,) = _fit_logistic([ones], y, [0.0], offset=smallest * x)
    return max(scale, smallest), shift


def _fit_logistic(
    terms: list[npt.NDArray[np.float64]],
    truth: npt.NDArray[np.float64],
    start: list[float],
    *,
    offset: npt.NDArray[np.float64] | float = 0.0,
) -> list[float]:
    """Weights of a logit's terms with the lowest log-loss, by Newton steps that are halved while the loss would rise.

    Where the logits are far from 0 nearly everywhere, the curvature is small and a whole step goes far beyond the
    lowest loss, from where none comes back.
    """

    def logit(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return sum((weight * term for weight, term in zip(weights, terms, strict=True)), start=np.asarray(offset))

    def log_loss(weights: npt.NDArray[np.float64]) -> float:
        z = logit(weights)
        return float((np.logaddexp(0, z) - truth * z).mean())

    weights = np.array(start)
    lowest = log_loss(weights)
    for _ in range(25):
        p = 0.5 * (1 + np.tanh(0.5 * logit(weights)))
        spread = np.maximum(p * (1 - p), 1e-12)
        gradient = np.array([((p - truth) * term).mean() for term in terms])
        curvature = np.array([[(spread * one * other).mean() for other in terms] for one in terms])
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(terms)), gradient)
        while (reached := log_loss(weights - step)) > lowest and np.abs(step).max() > 1e-8:
            step = step / 2
        if np.abs(step).max() <= 1e-8:
            break
        weights, lowest = weights - step, reached
    found: list[float] = weights.tolist()
    return found


def fit_event_biases(
    logits: Logits,
    truth: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
    *,
    prior_weight: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Bias of each class that puts its best F1 at logit 0, drawn towards 0 by ``prior_weight``.

    Held-out recordings are few for a single class, so a bias has to earn its distance from 0: the
    F1 loses ``prior_weight`` times the squared bias. A class that never sounds keeps 0.

    Args:
        logits: Already scaled and shifted, shape ``(n_items, n_events)``.
        truth: Whether the class sounds, same shape.
        known: Where ``truth`` counts, same shape.
        prior_weight: F1 lost at a bias of 1.
        weights: What each item counts, shape ``(n_items,)``; None counts all alike.

    Returns:
        Shape ``(n_events,)``, each in [-3, 3].
    """
    candidates = np.linspace(-3, 3, 61)
    biases = np.zeros(logits.shape[1])
    counts = np.ones(len(logits)) if weights is None else weights
    for column in range(logits.shape[1]):
        x, y = logits[known[:, column], column], truth[known[:, column], column]
        if not y.any():
            continue
        count = counts[known[:, column]]
        estimated = x[:, None] + candidates[None, :] >= 0
        hits = count @ (estimated & y[:, None])
        f1 = 2 * hits / (count @ estimated + count @ y)
        biases[column] = candidates[int(np.argmax(f1 - prior_weight * candidates**2))]
    return biases
