import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from compactcli.errors import ConfigError
from compactcli.scores import FrameScores, SceneScores


def scene_scores(*probabilities):
    classes = tuple(f"scene{index}" for index in range(len(probabilities)))
    return SceneScores(probabilities=np.array(probabilities, dtype=np.float64), classes=classes)


def test_top_gives_the_best_first():
    assert scene_scores(0.2, 0.5, 0.3).top(2) == [("scene1", 0.5), ("scene2", 0.3)]


def test_ties_keep_the_order_of_the_classes():
    assert [label for label, _ in scene_scores(0.25, 0.25, 0.25, 0.25).top(4)] == [f"scene{i}" for i in range(4)]


def test_top_gives_all_when_more_are_asked_for_than_there_are():
    assert scene_scores(0.4, 0.6).top(10) == [("scene1", 0.6), ("scene0", 0.4)]


@given(npst.arrays(np.float64, st.integers(min_value=1, max_value=30), elements=st.floats(0, 1)), st.integers(1, 30))
def test_top_equals_a_plain_sort(probabilities, n_classes):
    pairs = list(enumerate(probabilities.tolist()))
    expected = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:n_classes]
    assert scene_scores(*probabilities).top(n_classes) == [(f"scene{index}", value) for index, value in expected]


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), ()])
def test_scene_scores_need_one_number_a_class(shape):
    with pytest.raises(ConfigError, match=r"scene probabilities have shape .* expected \(3,\)"):
        SceneScores(probabilities=np.zeros(shape), classes=("a", "b", "c"))


def test_frame_scores_keep_what_they_are_given():
    probabilities, edges_s = np.zeros((2, 1), dtype=np.float32), np.array([0.0, 0.04, 0.06])
    scores = FrameScores(probabilities=probabilities, edges_s=edges_s, classes=("dog",))
    assert scores.probabilities is probabilities
    assert scores.edges_s is edges_s


def test_a_recording_without_frames_has_scores_too():
    scores = FrameScores(probabilities=np.zeros((0, 2), dtype=np.float32), edges_s=np.zeros(1), classes=("dog", "cat"))
    assert scores.probabilities.shape == (0, 2)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2,), (2, 2, 1)])
def test_frame_scores_need_one_row_a_frame_and_one_column_a_class(shape):
    with pytest.raises(ConfigError, match=r"frame probabilities have shape .* expected \(2, 2\)"):
        FrameScores(
            probabilities=np.zeros(shape, dtype=np.float32), edges_s=np.array([0, 1, 2.0]), classes=("dog", "cat")
        )
