"""Clip-level metrics against scikit-learn, closed forms and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from compactcli.errors import ConfigError
from compactcli.metrics.clip import calibration_error, class_recall, clip_metrics, confusion_matrix, log_loss


def random_clips(seed: int, *, n_clips: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n_clips), rng.dirichlet(np.full(n_classes, 0.3), n_clips)


@pytest.mark.parametrize("seed", range(5))
def test_all_metrics_agree_with_scikit_learn(seed: int) -> None:
    truth, probabilities = random_clips(seed, n_clips=300, n_classes=7)
    predicted = probabilities.argmax(axis=1)
    labels = range(7)
    metrics = clip_metrics(truth, probabilities)
    assert metrics.n_clips == 300
    assert metrics.accuracy == pytest.approx(reference.accuracy_score(truth, predicted), abs=1e-12)
    assert metrics.macro_accuracy == pytest.approx(reference.balanced_accuracy_score(truth, predicted), abs=1e-12)
    np.testing.assert_array_equal(metrics.confusion, reference.confusion_matrix(truth, predicted, labels=labels))
    np.testing.assert_allclose(
        metrics.recall, reference.recall_score(truth, predicted, labels=labels, average=None), atol=1e-12
    )
    assert metrics.log_loss == pytest.approx(reference.log_loss(truth, probabilities, labels=labels), abs=1e-9)


def brute_force_calibration_error(truth: np.ndarray, probabilities: np.ndarray, n_bins: int) -> float:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    for label, row in zip(truth, probabilities, strict=True):
        confidence = max(row)
        index = next(index for index in range(n_bins) if confidence <= (index + 1) / n_bins or index == n_bins - 1)
        bins[index].append((confidence, list(row).index(confidence) == label))
    total = 0.0
    for members in filter(None, bins):
        mean_confidence = sum(confidence for confidence, _ in members) / len(members)
        accuracy = sum(hit for _, hit in members) / len(members)
        total += len(members) / len(truth) * abs(mean_confidence - accuracy)
    return total


@pytest.mark.parametrize(("seed", "n_bins"), [(0, 15), (1, 1), (2, 10), (3, 40)])
def test_calibration_error_agrees_with_a_loop_over_bins(seed: int, n_bins: int) -> None:
    truth, probabilities = random_clips(seed, n_clips=200, n_classes=4)
    expected = brute_force_calibration_error(truth, probabilities, n_bins)
    assert expected > 0.01
    assert calibration_error(truth, probabilities, n_bins=n_bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_puts_a_confidence_on_an_edge_into_the_lower_bin() -> None:
    # 0.6 and 0.7 share the bin (0.5, 1] of two; with 0.5 in the same bin the errors would cancel differently
    probabilities = [[0.5, 0.5], [0.7, 0.3]]
    assert calibration_error([0, 1], probabilities, n_bins=2) == pytest.approx((0.5 + 0.7) / 2)


def test_calibration_error_of_overconfidence_is_the_surplus() -> None:
    # always 90 % sure, right half of the time
    assert calibration_error([0, 1] * 10, [[0.9, 0.1]] * 20) == pytest.approx(0.4)


def test_macro_accuracy_weighs_classes_not_clips() -> None:
    truth = [0] * 8 + [1] * 2
    probabilities = [[1.0, 0.0]] * 10
    metrics = clip_metrics(truth, probabilities)
    assert metrics.accuracy == pytest.approx(0.8)
    assert metrics.macro_accuracy == pytest.approx(0.5)


def test_a_class_without_clips_has_no_recall_and_no_say() -> None:
    metrics = clip_metrics([0, 2], [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]])
    np.testing.assert_array_equal(metrics.recall, [1.0, np.nan, 0.0])
    assert metrics.macro_accuracy == pytest.approx(0.5)


def test_the_first_of_equally_probable_classes_is_predicted() -> None:
    assert clip_metrics([1], [[0.2, 0.4, 0.4]]).accuracy == 1.0
    assert clip_metrics([2], [[0.2, 0.4, 0.4]]).accuracy == 0.0


def test_log_loss_of_a_uniform_guess_is_the_log_of_the_number_of_classes() -> None:
    assert log_loss([0, 1, 2, 3], np.full((4, 4), 0.25)) == pytest.approx(math.log(4))


def test_log_loss_is_finite_when_the_true_class_was_ruled_out() -> None:
    assert log_loss([1], [[1.0, 0.0]]) == pytest.approx(-math.log(1e-15))


def test_log_loss_of_a_perfect_prediction_is_positive_zero() -> None:
    assert math.copysign(1.0, log_loss([0], [[1.0, 0.0]])) == 1.0
    assert log_loss([0], [[1.0, 0.0]]) == 0.0


def test_softmax_in_float32_counts_as_a_distribution() -> None:
    logits = np.random.default_rng(0).normal(0, 6, (50, 57)).astype(np.float32)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert clip_metrics(probabilities.argmax(axis=1), probabilities).accuracy == 1.0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_counts_every_clip_once(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    confusion = confusion_matrix(truth, predicted, n_classes=5)
    expected = [[pairs.count((row, column)) for column in range(5)] for row in range(5)]
    assert confusion.tolist() == expected
    recall = class_recall(confusion)
    for row in range(5):
        n_clips = truth.count(row)
        if n_clips:
            assert recall[row] == pytest.approx(pairs.count((row, row)) / n_clips)
        else:
            assert math.isnan(recall[row])


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        ([], np.zeros((0, 3)), r"shape \(0, 3\), expected \(n_clips, n_classes\)"),
        ([0], [0.5, 0.5], r"shape \(2,\), expected"),
        ([0, 1], [[0.5, 0.5]], "1 rows of probabilities for 2 clips"),
        ([2], [[0.5, 0.5]], r"class index \[2\] is not one of 2 classes"),
        ([-1], [[0.5, 0.5]], r"class index \[-1\] is not one of 2 classes"),
        ([0.0], [[0.5, 0.5]], "type float64, expected .* whole numbers"),
        ([[0]], [[0.5, 0.5]], r"class indices have shape \(1, 1\)"),
        ([0, 0], [[0.5, 0.5], [0.9, 0.3]], "1 of 2 rows .* are not distributions"),
        ([0], [[1.5, -0.5]], "1 of 1 rows .* are not distributions"),
        ([0], [[np.nan, 1.0]], "1 of 1 rows .* are not distributions"),
    ],
)
def test_bad_input_is_refused(truth: object, probabilities: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        clip_metrics(truth, probabilities)  # type: ignore[arg-type]  # wrong on purpose


def test_predictions_and_truth_must_have_one_length() -> None:
    with pytest.raises(ConfigError, match="1 predictions for 2 clips"):
        confusion_matrix([0, 1], [0], n_classes=2)


def test_bins_must_exist() -> None:
    with pytest.raises(ConfigError, match="n_bins is 0, expected at least 1"):
        calibration_error([0], [[1.0]], n_bins=0)
