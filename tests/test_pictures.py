import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compactcli.pictures import Overview


@given(
    n_frames=st.integers(0, 200),
    n_columns=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    seed=st.integers(0, 3),
)
def test_columns_are_the_highest_values_of_their_frames(n_frames, n_columns, cuts, seed):
    frames = np.random.default_rng(seed).standard_normal((n_frames, 3)).astype(np.float32)
    overview = Overview(3, n_columns=n_columns)
    for piece in np.split(frames, sorted(cuts)):
        overview.push(piece)
    length = overview.frames_per_column
    expected = [frames[start : start + length].max(axis=0) for start in range(0, n_frames, length)]
    np.testing.assert_array_equal(overview.columns(), np.array(expected, np.float32).reshape(-1, 3))


@given(n_frames=st.integers(1, 500), n_columns=st.integers(1, 9))
def test_there_are_never_too_few_columns_nor_too_many(n_frames, n_columns):
    overview = Overview(1, n_columns=n_columns)
    overview.push(np.zeros((n_frames, 1), np.float32))
    assert min(n_frames, n_columns) <= len(overview.columns()) <= 2 * n_columns
    # as few frames a column as will do
    assert overview.frames_per_column == 1 or n_frames > n_columns * overview.frames_per_column - 1
