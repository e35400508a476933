import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.calibration import (
    event_probabilities,
    fit_event_biases,
    fit_event_scale,
    fit_scene_scale,
    scene_probabilities,
)
from compactcli.config import CalibrationConfig

NO_CALIBRATION = CalibrationConfig()


def f1_of(logits, truth):
    return 2 * (truth & (logits >= 0)).sum() / ((logits >= 0).sum() + truth.sum())


# ---------------------------------------------------------------- probabilities


def test_event_probabilities_by_hand():
    calibration = CalibrationConfig(event_scale=2.0, event_bias=(0.0, 1.0, -3.0))
    logits = np.array([[0.0, 0.0, 1.5], [-1.0, 0.5, 20.0]], np.float32)
    expected = [
        [1 / (1 + math.exp(-x)) for x in (0.0, 1.0, 0.0)],
        [1 / (1 + math.exp(-x)) for x in (-2.0, 2.0, 37.0)],
    ]
    probabilities = event_probabilities(logits, calibration)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=1e-7)


@given(st.lists(st.floats(-30, 30, width=32), min_size=1), st.floats(0.25, 4))
def test_event_probabilities_are_the_logistic_function(logits, scale):
    column = np.array(logits, np.float32)[:, None]
    probabilities = event_probabilities(column, CalibrationConfig(event_scale=scale))
    expected = 1 / (1 + np.exp(-scale * column.astype(np.float64)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_logit_of_zero_is_the_operating_point():
    assert event_probabilities(np.zeros((1, 1), np.float32), NO_CALIBRATION).item() == 0.5


def test_scene_probabilities_by_hand():
    calibration = CalibrationConfig(scene_scale=2.0, scene_bias=(0.0, math.log(3.0), 0.0))
    probabilities = scene_probabilities(np.array([0.0, 0.0, math.log(2.0)], np.float32), calibration)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, [1 / 8, 3 / 8, 4 / 8], rtol=1e-6)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.floats(-1000, 1000))
def test_scene_probabilities_add_up_and_ignore_a_common_shift(logits, shift):
    row = np.array(logits)
    probabilities = scene_probabilities(row, NO_CALIBRATION)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(scene_probabilities(row + shift, NO_CALIBRATION), probabilities, atol=1e-9)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_logits_do_not_overflow(size):
    calibration = CalibrationConfig(event_scale=1.5, scene_scale=1.5)
    row = np.array([size, -size, 0.0], np.float32)
    assert event_probabilities(row[None], calibration).tolist() == [[1.0, 0.0, 0.5]]
    assert scene_probabilities(row, calibration).tolist() == [1.0, 0.0, 0.0]


# ---------------------------------------------------------------- fitting


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(scale):
    generator = np.random.default_rng(7)
    logits = generator.normal(size=(20000, 5)) * 2 / scale
    powers = np.exp(scale * logits)
    shares = np.cumsum(powers / powers.sum(axis=1, keepdims=True), axis=1)
    truth = (generator.random((20000, 1)) > shares[:, :-1]).sum(axis=1)
    assert fit_scene_scale(logits.astype(np.float32), truth) == pytest.approx(scale, rel=0.05)


def test_the_scene_scale_is_bounded_where_everything_or_nothing_is_right():
    logits = np.eye(3, dtype=np.float32)
    assert fit_scene_scale(logits, np.arange(3)) == pytest.approx(10.0)
    assert fit_scene_scale(logits, (np.arange(3) + 1) % 3) == pytest.approx(0.1)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, -1.0), (2.5, 2.0)])
def test_known_scale_and_shift_of_events_are_found(scale, shift):
    generator = np.random.default_rng(11)
    logits = generator.normal(-1, 2, size=(20000, 3)).astype(np.float32)
    truth = generator.random(logits.shape) < 1 / (1 + np.exp(-(scale * logits + shift)))
    known = generator.random(logits.shape) < 0.7
    wrong = np.where(known, truth, ~truth)  # what is not known has no influence
    assert fit_event_scale(logits, wrong, known, smallest=0.01) == pytest.approx((scale, shift), abs=0.06)


@pytest.mark.parametrize(("scale", "mean", "spread"), [(0.3, -6, 5), (0.5, -12, 6), (0.1, 0, 20)])
def test_a_network_far_too_sure_of_itself_is_calibrated(scale, mean, spread):
    generator = np.random.default_rng(12)
    logits = generator.normal(mean, spread, size=(20000, 3)).astype(np.float32)
    truth = generator.random(logits.shape) < 1 / (1 + np.exp(-scale * logits))
    found = fit_event_scale(logits, truth, np.ones_like(truth), smallest=0.01)
    assert found == pytest.approx((scale, 0), abs=0.05)


def test_logits_that_say_nothing_get_the_smallest_scale_and_the_shift_beside_it():
    generator = np.random.default_rng(14)
    logits = generator.normal(-6, 5, size=(20000, 3)).astype(np.float32)
    truth = generator.random(logits.shape) < 1 / (1 + np.exp(0.2 * logits))
    scale, shift = fit_event_scale(logits, truth, np.ones_like(truth), smallest=0.01)
    assert scale == 0.01
    assert (1 / (1 + np.exp(-(scale * logits + shift)))).mean() == pytest.approx(truth.mean(), abs=1e-4)


def test_the_fit_of_the_events_is_where_the_gradient_is_zero():
    generator = np.random.default_rng(13)
    logits = generator.normal(0, 3, size=(500, 2)).astype(np.float32)
    truth = logits + generator.normal(0, 3, size=(500, 2)) > 1
    scale, shift = fit_event_scale(logits, truth, np.ones_like(truth), smallest=0.01)
    surplus = 1 / (1 + np.exp(-(scale * logits.astype(np.float64) + shift))) - truth
    assert surplus.sum() == pytest.approx(0, abs=1e-4)
    assert (surplus * logits).sum() == pytest.approx(0, abs=1e-4)


def test_biases_put_the_best_f1_at_zero():
    generator = np.random.default_rng(17)
    truth = generator.random((4000, 4)) < [0.3, 0.1, 0.02, 0.5]
    separation = np.array([1.5, 3.0, 2.0, 1.0])
    offset = np.array([-3.0, 0.5, 0.0, 0.6])
    logits = (generator.normal(size=truth.shape) + separation * truth + offset).astype(np.float32)
    biases = fit_event_biases(logits, truth, np.ones_like(truth), prior_weight=0.0)
    for column in range(4):
        moved = logits[:, column] + biases[column]
        best = max(f1_of(moved + change, truth[:, column]) for change in np.linspace(-2, 2, 401))
        # biases come in steps of 0.1
        assert f1_of(moved, truth[:, column]) >= best - 0.01


def test_biases_are_drawn_to_zero_where_little_is_gained():
    generator = np.random.default_rng(19)
    truth = generator.random((300, 1)) < 0.2
    logits = (generator.normal(size=truth.shape) + 2 * truth - 1).astype(np.float32)
    known = np.ones_like(truth)
    sizes = [abs(fit_event_biases(logits, truth, known, prior_weight=weight)[0]) for weight in (0.0, 0.2, 1e6)]
    assert sizes[0] >= sizes[1] >= sizes[2]
    assert sizes[2] == pytest.approx(0.0, abs=1e-9)


def test_a_sure_class_needs_no_bias():
    truth = np.array([[True], [True], [False], [False]])
    logits = np.where(truth, 2.0, -2.0).astype(np.float32)
    assert fit_event_biases(logits, truth, np.ones_like(truth), prior_weight=0.01) == pytest.approx([0.0], abs=1e-9)


def test_classes_that_never_sound_keep_zero():
    logits = np.full((10, 3), 2.0, np.float32)
    truth = np.zeros((10, 3), np.bool_)
    truth[:, 1] = True
    known = np.ones_like(truth)
    known[:, 1] = False  # it sounds, but nobody knows
    assert fit_event_biases(logits, truth, known, prior_weight=0.0).tolist() == [0.0, 0.0, 0.0]


def test_biases_ignore_what_is_not_known():
    generator = np.random.default_rng(23)
    truth = generator.random((500, 2)) < 0.3
    logits = (generator.normal(size=truth.shape) + 2 * truth).astype(np.float32)
    known = np.zeros_like(truth)
    known[:250] = True
    expected = fit_event_biases(logits[:250], truth[:250], known[:250], prior_weight=0.01)
    assert fit_event_biases(logits, truth, known, prior_weight=0.01).tolist() == expected.tolist()


def test_biases_stay_within_three():
    truth = np.arange(100)[:, None] < 50
    far = np.where(truth, -50.0, -60.0).astype(np.float32)
    logits = np.hstack([far, far + 60])  # no bias is enough for the one, every negative one is for the other
    biases = fit_event_biases(logits, np.hstack([truth, truth]), np.ones((100, 2), np.bool_), prior_weight=0.0)
    assert np.abs(biases).tolist() == [3.0, 3.0]


def test_items_may_count_differently():
    rng = np.random.default_rng(0)
    truth = rng.random((300, 1)) < 0.5
    logits = (2 * truth - 1.5 + rng.standard_normal((300, 1))).astype(np.float32)
    counts = rng.integers(1, 4, 300)
    repeated, expected = (np.repeat(values, counts, axis=0) for values in (logits, truth))
    known = np.ones_like(truth)
    assert (
        fit_event_biases(logits, truth, known, prior_weight=0.01, weights=counts.astype(float)).tolist()
        == fit_event_biases(repeated, expected, np.ones_like(expected), prior_weight=0.01).tolist()
    )
