import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compactcli.smoothing import FEW_FRAMES, median_filter


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
