import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ConfigError
from compactcli.metrics.clip import calibration_error, clip_metrics
from compactcli.metrics.reliability import expected_calibration_error, reliability


def test_bins_hold_their_upper_edge():
    bins = reliability([0.0, 0.1, 0.11, 0.2, 1.0], [True, False, True, True, True])
    assert [item.n_scores for item in bins] == [2, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert (bins[0].low, bins[0].high, bins[9].low, bins[9].high) == (0.0, 0.1, 0.9, 1.0)
    assert (bins[0].mean_score, bins[0].share_right) == (pytest.approx(0.05), 0.5)
    assert (bins[1].mean_score, bins[1].share_right) == (pytest.approx(0.155), 1.0)
    assert math.isnan(bins[2].mean_score) and math.isnan(bins[2].share_right)


def test_the_error_is_the_weighted_distance_of_the_bins():
    # 0.9 where 2 of 4 are right, 0.2 where 0 of 1 is: (4 * 0.4 + 1 * 0.2) / 5
    found = expected_calibration_error([0.9, 0.9, 0.9, 0.9, 0.2], [True, True, False, False, False])
    assert found == pytest.approx(0.36)


def test_scores_that_mean_what_they_say_have_no_error():
    rng = np.random.default_rng(0)
    scores = rng.random(200_000)
    right = rng.random(200_000) < scores
    assert expected_calibration_error(scores, right) < 0.005
    assert expected_calibration_error(scores, ~right) > 0.45


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.integers(1, 20))
def test_the_error_follows_from_the_bins(pairs, n_bins):
    scores, right = zip(*pairs, strict=True)
    bins = reliability(scores, right, n_bins=n_bins)
    assert sum(item.n_scores for item in bins) == len(pairs)
    assert all(item.low - 1e-12 <= item.mean_score <= item.high + 1e-12 for item in bins if item.n_scores)
    distance = sum(item.n_scores * abs(item.mean_score - item.share_right) for item in bins if item.n_scores)
    assert expected_calibration_error(scores, right, n_bins=n_bins) == pytest.approx(distance / len(pairs))


def test_clips_are_judged_by_their_predicted_class():
    truth, probabilities = [0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.15, 0.85]]
    expected = reliability([0.9, 0.7, 0.85], [True, False, True])
    found = clip_metrics(truth, probabilities).reliability
    assert [item.n_scores for item in found] == [item.n_scores for item in expected]
    assert (found[8].mean_score, found[8].share_right) == (pytest.approx(0.875), 1.0)
    assert calibration_error(truth, probabilities) == pytest.approx((0.1 + 0.7 + 0.15) / 3)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ConfigError, match=r"n_bins is 0, expected at least 1"):
        reliability([0.5], [True], n_bins=0)
    with pytest.raises(ConfigError, match=r"scores have shape \(2,\) and truth \(1,\), expected \(n_scores,\) twice"):
        reliability([0.5, 0.6], [True])
    with pytest.raises(ConfigError, match=r"a score is \[1.5\], expected numbers from 0 to 1"):
        reliability([0.5, 1.5], [True, False])
    with pytest.raises(ConfigError, match=r"a score is \[nan\], expected numbers from 0 to 1"):
        reliability([float("nan")], [True])
    with pytest.raises(ConfigError, match=r"there are no scores, expected at least one"):
        expected_calibration_error([], [])
