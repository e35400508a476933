import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compactcli.pictures import Overview, scene_columns
from compactcli.records import Record, Stretch


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


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=12),
    n_columns=st.integers(1, 40),
    seed=st.integers(0, 3),
)
def test_columns_of_scenes_are_the_highest_scores_of_their_stretches(lengths, n_columns, seed):
    generator = np.random.default_rng(seed)
    edges = np.cumsum([0, *lengths]).astype(float)
    stretches = tuple(
        Stretch(
            start=start,
            stop=stop,
            scenes=tuple(
                (f"scene_{name}", score) for name, score in zip(generator.permutation(3)[:2], (0.75, 0.25), strict=True)
            ),
        )
        for start, stop in itertools.pairwise(edges)
    )
    names, scores = scene_columns(Record(path="a.wav", stretches=stretches), n_columns=n_columns)
    assert set(names) == {stretch.scenes[0][0] for stretch in stretches}
    assert scores.shape == (n_columns, len(names))
    width = edges[-1] / n_columns
    for column, values in enumerate(scores):
        begin, end = column * width, (column + 1) * width
        inside = [item for item in stretches if item.start < end - 1e-9 and item.stop > begin + 1e-9]
        expected = [max(dict(item.scenes).get(name, 0.0) for item in inside) for name in names]
        np.testing.assert_array_equal(values, np.float32(expected))
