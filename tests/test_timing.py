from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ConfigError
from compactcli.timing import FrameClock

SAMPLE_RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000])
FRAME_LENGTHS = st.integers(min_value=1, max_value=4096)
CLOCK = FrameClock(sample_rate=16000, frame_length=640)
DAY_S = 24 * 3600


def test_a_frame_of_640_samples_is_40_ms():
    assert CLOCK.frame_s == 0.04
    assert CLOCK.frame_rate == 25.0


def test_frames_are_exact_after_24_hours():
    n_frames = DAY_S * 25
    assert CLOCK.n_frames(DAY_S * 16000) == n_frames
    assert CLOCK.frames_to_s(n_frames) == 86400.0
    assert CLOCK.edges_s(DAY_S * 16000)[-2:].tolist() == [86399.96, 86400.0]


def test_times_do_not_drift_where_the_frame_is_no_whole_number_of_milliseconds():
    clock = FrameClock(sample_rate=44100, frame_length=512)
    n_frames = 7_441_875  # 24 h and no remainder: 86,400 x 44,100 / 512
    assert clock.frames_to_s(n_frames) == 86400.0
    assert sum([clock.frame_s] * 1000) != clock.frames_to_s(1000)  # what adding up frame lengths would give


def test_the_tail_is_a_shorter_last_frame():
    assert CLOCK.n_frames(1500) == 3
    assert CLOCK.edges_s(1500).tolist() == [0.0, 0.04, 0.08, 0.09375]


@given(SAMPLE_RATES, FRAME_LENGTHS, st.integers(min_value=1, max_value=100_000), st.integers(min_value=0))
def test_edges_of_the_last_frames_are_those_of_all(sample_rate, frame_length, n_samples, first):
    clock = FrameClock(sample_rate=sample_rate, frame_length=frame_length)
    first %= clock.n_frames(n_samples)
    assert clock.edges_s(n_samples, first=first).tolist() == clock.edges_s(n_samples)[first:].tolist()


def test_an_empty_recording_has_no_frames_and_one_edge():
    assert CLOCK.n_frames(0) == 0
    assert CLOCK.edges_s(0).tolist() == [0.0]


@given(SAMPLE_RATES, FRAME_LENGTHS, st.integers(min_value=1, max_value=2**40))
def test_frames_cover_the_recording_without_an_empty_one(sample_rate, frame_length, n_samples):
    n_frames = FrameClock(sample_rate=sample_rate, frame_length=frame_length).n_frames(n_samples)
    assert (n_frames - 1) * frame_length < n_samples <= n_frames * frame_length


@given(SAMPLE_RATES, FRAME_LENGTHS, st.integers(min_value=0, max_value=2**40))
def test_seconds_are_the_float_nearest_to_the_fraction(sample_rate, frame_length, count):
    clock = FrameClock(sample_rate=sample_rate, frame_length=frame_length)
    assert clock.frames_to_s(count) == float(Fraction(count * frame_length, sample_rate))
    assert clock.samples_to_s(count) == float(Fraction(count, sample_rate))


@given(SAMPLE_RATES, FRAME_LENGTHS, st.integers(min_value=0, max_value=2**32))
def test_frames_survive_the_way_to_seconds_and_back(sample_rate, frame_length, n_frames):
    clock = FrameClock(sample_rate=sample_rate, frame_length=frame_length)
    assert clock.s_to_frames(clock.frames_to_s(n_frames)) == n_frames


@given(SAMPLE_RATES, FRAME_LENGTHS, st.integers(min_value=1, max_value=20_000))
def test_edges_rise_from_zero_to_the_end_and_agree_with_the_clock(sample_rate, frame_length, n_samples):
    clock = FrameClock(sample_rate=sample_rate, frame_length=frame_length)
    edges = clock.edges_s(n_samples)
    assert edges.dtype == np.float64
    assert edges.shape == (clock.n_frames(n_samples) + 1,)
    assert edges[:-1].tolist() == [clock.frames_to_s(index) for index in range(len(edges) - 1)]
    assert edges[-1] == clock.samples_to_s(n_samples)
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize(("sample_rate", "frame_length"), [(0, 640), (-16000, 640), (16000, 0), (16000, -1)])
def test_a_clock_needs_positive_numbers(sample_rate, frame_length):
    with pytest.raises(ConfigError, match=f"{sample_rate} Hz and {frame_length} samples a frame"):
        FrameClock(sample_rate=sample_rate, frame_length=frame_length)


@pytest.mark.parametrize(
    ("duration_s", "within", "odd"),
    [(0.0, 0, 1), (0.039, 0, 1), (0.04, 1, 1), (0.079, 1, 1), (0.08, 2, 3), (0.1, 2, 3), (0.2, 5, 5), (0.28, 7, 7)],
)
def test_durations_become_whole_and_odd_numbers_of_frames(duration_s, within, odd):
    clock = FrameClock(sample_rate=16000, frame_length=640)
    assert clock.s_to_frames_within(duration_s) == within
    assert clock.s_to_odd_frames(duration_s) == odd


@given(SAMPLE_RATES, FRAME_LENGTHS, st.integers(min_value=0, max_value=100_000))
def test_a_duration_of_whole_frames_holds_them_all(sample_rate, frame_length, n_frames):
    clock = FrameClock(sample_rate=sample_rate, frame_length=frame_length)
    assert clock.s_to_frames_within(clock.frames_to_s(n_frames)) == n_frames
    assert clock.s_to_odd_frames(clock.frames_to_s(2 * n_frames + 1)) == 2 * n_frames + 1


@given(st.sampled_from([8000, 16000, 22050, 44100, 48000]), st.integers(16, 4096), st.integers(1, 100_000))
def test_a_clock_is_found_from_its_edges(sample_rate, frame_length, n_samples):
    edges = FrameClock(sample_rate=sample_rate, frame_length=frame_length).edges_s(n_samples)
    found = FrameClock.from_edges(edges)
    assert [found.frames_to_s(index) for index in range(len(edges) - 1)] == edges[:-1].tolist()
    if len(edges) > 2:
        assert Fraction(found.frame_length, found.sample_rate) == Fraction(frame_length, sample_rate)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], "expected two or more, each later than the last"),
        ([0.0], "expected two or more, each later than the last"),
        ([0.0, 0.0], "expected two or more, each later than the last"),
        ([0.0, float("nan")], "expected two or more, each later than the last"),
        ([0.0, 0.04, 0.12], "not evenly spaced"),
        ([0.0, 0.04, 0.09, 0.12], "not evenly spaced"),
        ([0.0, 0.04, 0.04], "not evenly spaced"),
        ([1.0, 1.04, 1.08], "not evenly spaced"),
    ],
)
def test_edges_off_the_grid_have_no_clock(edges, message):
    with pytest.raises(ConfigError, match=message):
        FrameClock.from_edges(np.array(edges))
