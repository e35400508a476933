"""Search among embeddings, against a plain computation of all similarities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli import similarity
from compactcli.errors import ConfigError
from compactcli.records import Record, Vector
from compactcli.similarity import SearchOptions, find_similar, mean_direction


def embedded(path, *rows):
    vectors = tuple(Vector(start=place, stop=place + 1, values=tuple(row)) for place, row in enumerate(rows))
    return Record(path=path, model="m", vectors=vectors)


FAILED = Record(path="gone.wav", status="error", error_code="missing", error_message="it is not there")


def test_the_angle_counts_and_not_the_length():
    records = [embedded("a.wav", (0.1, 0.0), (3.0, 4.0)), FAILED, embedded("b.wav", (0.0, 9.0))]
    hits = find_similar(records, np.array([[2.0, 0.0]]))
    assert [(hit.path, hit.start, hit.stop) for hit in hits] == [("a.wav", 0, 1), ("a.wav", 1, 2), ("b.wav", 0, 1)]
    assert [hit.similarity for hit in hits] == [1.0, 0.6, 0.0]


def test_the_nearest_of_the_queries_counts():
    hits = find_similar([embedded("a.wav", (1, 0), (1, 5))], np.array([[0.0, 3.0], [2.0, 0.0]]))
    assert [(hit.start, hit.query) for hit in hits] == [(0, 1), (1, 0)]


def test_examples_of_one_sound_have_the_same_say():
    common = mean_direction(np.array([[1e3, 0.0, 0.0], [0.0, 1e-3, 0.0]], np.float32))
    hits = find_similar([embedded("a.wav", (1, 0, 0), (1, 1, 0), (0, 1, 1))], common[None])
    assert [(hit.start, hit.similarity) for hit in hits] == [(1, 1.0), (0, 0.7071), (2, 0.5)]


def test_what_is_all_zeros_is_like_nothing():
    [first, second] = find_similar([embedded("a.wav", (0, 0), (0, 1))], np.array([[0.0, 1.0]]))
    assert (first.start, second.similarity) == (1, 0.0)
    [hit] = find_similar([embedded("a.wav", (1, 0))], np.zeros((1, 2)))
    assert hit.similarity == 0.0


rows = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(
    rows=rows,
    top_k=st.integers(1, 12),
    per_recording=st.none() | st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    batch_size=st.sampled_from([1, 3, 1024]),
)
def test_any_search_finds_what_looking_at_all_of_them_finds(rows, top_k, per_recording, threshold, batch_size):
    examples = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    records = [
        Record(path=path, vectors=(Vector(start=place, stop=place + 1, values=(one, other)),))
        for place, (path, one, other) in enumerate(rows)
    ]

    def score(values):
        length = np.hypot(*values)
        cosines = (float(np.dot(values, example) / length / np.hypot(*example)) for example in examples)
        return round(max(cosines), 4) if length else 0.0

    order = sorted(range(len(rows)), key=lambda place: (-score(rows[place][1:]), place))
    expected, counts = [], {}
    for place in order:
        path, *values = rows[place]
        if score(values) < threshold or counts.get(path, 0) == per_recording:
            continue
        counts[path] = counts.get(path, 0) + 1
        expected.append((place, score(values)))
    before, similarity.BATCH_SIZE = similarity.BATCH_SIZE, batch_size
    try:
        options = SearchOptions(top_k=top_k, per_recording=per_recording, threshold=threshold)
        hits = find_similar(iter(records), examples, options)
    finally:
        similarity.BATCH_SIZE = before
    assert [(hit.start, hit.similarity) for hit in hits] == expected[:top_k]
    assert all(rows[hit.start][0] == hit.path for hit in hits)


def test_equals_keep_their_order_and_the_first_of_them_are_kept():
    records = [embedded(f"{number}.wav", (1, 1)) for number in range(5)]
    for options in (SearchOptions(top_k=3), SearchOptions(top_k=3, per_recording=1)):
        hits = find_similar(records, np.array([[1.0, 0.0]]), options)
        assert [hit.path for hit in hits] == ["0.wav", "1.wav", "2.wav"]


def test_values_whose_squares_float32_cannot_hold():
    records = [embedded("a.wav", (1e38, 1e38), (1e-30, 0))]
    assert [hit.similarity for hit in find_similar(records, np.array([[3e-30, 0]]))] == [1.0, 0.7071]


def test_a_vector_of_another_length_is_named():
    with pytest.raises(ConfigError, match=r"a\.wav has a vector of 2 values, expected 3 as of the examples"):
        find_similar([embedded("a.wav", (1, 1))], np.ones((1, 3)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_k": 0}, "top_k is 0, expected at least 1"),
        ({"per_recording": 0}, "per_recording is 0, expected at least 1"),
        ({"threshold": 1.5}, "threshold is 1.5, expected 0 to 1"),
        ({"threshold": float("nan")}, "threshold is nan"),
    ],
)
def test_options_out_of_range(settings, expected):
    with pytest.raises(ConfigError, match=expected):
        SearchOptions(**settings)
