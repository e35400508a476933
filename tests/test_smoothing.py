from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compactcli.config import DetectionConfig
from compactcli.detection import detect_events
from compactcli.scores import FrameScores
from compactcli.smoothing import FEW_FRAMES, median_filter, smooth_scores

EXACT = DetectionConfig(median_s=0.0, max_gap_s=0.0, min_duration_s=0.0)


@given(
    block=arrays.arrays(
        np.float32,
        st.tuples(st.integers(0, 40), st.integers(0, 3)),
        elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=32),
    ),
    half=st.integers(0, 15),
)
def test_each_value_is_the_median_of_its_window(block, half):
    n_frames = 2 * half + 1
    expected = [np.median(block[start : start + n_frames], axis=0) for start in range(len(block) - n_frames + 1)]
    found = median_filter(block, n_frames)
    assert found.dtype == np.float32
    assert found.shape == (len(expected), block.shape[1])
    if expected:
        np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize("n_frames", [3, FEW_FRAMES, FEW_FRAMES + 2])
def test_the_frames_are_left_as_they_were(n_frames):
    block = np.random.default_rng(0).random((50, 2), dtype=np.float32)
    block.flags.writeable = False
    assert median_filter(block, n_frames).shape == (51 - n_frames, 2)


def test_scores_are_smoothed_as_detection_smooths_them():
    rng = np.random.default_rng(0)
    scores = FrameScores(
        probabilities=rng.random((60, 2), dtype=np.float32),
        edges_s=np.append(np.arange(60) * 0.04, 2.39),
        classes=("dog", "cat"),
    )
    for median_s in (0.0, 0.2, 0.5):
        smoothed = smooth_scores(scores, median_s)
        config = replace(EXACT, median_s=median_s)
        assert detect_events(smoothed, EXACT) == detect_events(scores, config)
        assert len(detect_events(smoothed, EXACT)) > 3
    np.testing.assert_array_equal(smooth_scores(scores, 0.0).probabilities, scores.probabilities)
    none = FrameScores(probabilities=np.zeros((0, 2), np.float32), edges_s=np.zeros(1), classes=("dog", "cat"))
    assert smooth_scores(none, 0.2) is none
