"""Scenes of stretches: where they begin and end, what of the network's answers counts for which."""

import dataclasses
import math
import re

import numpy as np
import pytest
from fake_engine import CONFIG, SURE, FakeEngine
from hypothesis import given
from hypothesis import strategies as st

import compactcli
from compactcli.config import CalibrationConfig
from compactcli.errors import ConfigError
from compactcli.inference import classify_recording
from compactcli.inference.planning import ScenePlan
from compactcli.inference.stretches import StretchMeans

RATE = 16000


def spans(record):
    return [(stretch.start, stretch.stop) for stretch in record.stretches]


@pytest.fixture
def night_and_day(write_recording, tone):
    """Four seconds of silence, then three of a loud tone."""
    waveform = np.concatenate([np.zeros(4 * RATE, np.float32), tone(3.0, level=0.8)])
    return write_recording("day.wav", waveform, subtype="FLOAT")


def test_each_stretch_has_the_scene_that_is_heard_in_it(night_and_day):
    record = classify_recording(night_and_day, FakeEngine(), top_k=1, every_s=2.0)
    assert spans(record) == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 7.0)]
    assert [stretch.scenes[0][0] for stretch in record.stretches] == ["silence", "silence", "din", "din"]
    assert [len(stretch.scenes) for stretch in record.stretches] == [1] * 4
    # the whole recording is judged as ever
    assert record.scenes == classify_recording(night_and_day, FakeEngine(), top_k=1).scenes
    assert classify_recording(night_and_day, FakeEngine()).stretches is None


def test_scores_are_the_calibrated_softmax_of_the_mean_logits_of_the_stretch(night_and_day):
    calibration = CalibrationConfig(scene_bias=(0.0, 0.0, 1.0))
    engine = FakeEngine(config=dataclasses.replace(CONFIG, calibration=calibration))
    record = classify_recording(night_and_day, engine, every_s=5.0)
    # 4 of 5 seconds are silent; the rest of two seconds is loud
    assert spans(record) == [(0.0, 5.0), (5.0, 7.0)]
    logits = np.array([SURE * 0.8, 0.0, SURE * 0.2 + 1.0])
    expected = np.exp(logits) / np.exp(logits).sum()
    assert dict(record.stretches[0].scenes) == pytest.approx(dict(zip(CONFIG.scenes, expected, strict=True)))


@pytest.mark.parametrize("frames_per_chunk", [1, 7, 50, 10**6])
def test_chunks_do_not_matter(frames_per_chunk, night_and_day):
    record = classify_recording(night_and_day, FakeEngine(frames_per_chunk=frames_per_chunk), every_s=1.5)
    assert spans(record) == [(0.0, 1.5), (1.5, 3.0), (3.0, 4.5), (4.5, 6.0), (6.0, 7.0)]
    whole = classify_recording(night_and_day, FakeEngine(), every_s=1.5)
    for stretch, expected in zip(record.stretches, whole.stretches, strict=True):
        assert dict(stretch.scenes) == pytest.approx(dict(expected.scenes))


def test_a_recording_shorter_than_a_stretch_is_one(night_and_day):
    record = classify_recording(night_and_day, FakeEngine(), every_s=3600.0)
    assert spans(record) == [(0.0, 7.0)]
    assert record.stretches[0].scenes == record.scenes


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0.01, [(0.0, 0.01)]),
        (2.0, [(0.0, 2.0)]),
        (2.5, [(0.0, 2.5)]),
        (2.99, [(0.0, 2.99)]),
        (3.0, [(0.0, 2.0), (2.0, 3.0)]),
    ],
)
def test_a_rest_of_less_than_a_second_belongs_to_the_stretch_before_it(duration_s, expected):
    samples = np.zeros(round(duration_s * RATE), np.float32)
    assert spans(compactcli.classify(samples, sample_rate=RATE, model=FakeEngine(), every=2)) == expected


@given(st.integers(1, 40 * RATE), st.floats(1.0, 12.0))
def test_stretches_tile_the_recording_and_count_every_frame_once(n_samples, every_s):
    clock = CONFIG.clock
    logits = np.random.default_rng(0).standard_normal((clock.n_frames(n_samples), 3)).astype(np.float32)
    sums = StretchMeans(every_s, clock)
    counts = []
    for frame in logits:
        sums.push(frame[None])
        counts.append(len(sums._counts))
    stretches = sums.finish(n_samples)
    assert sum(sums._counts) == len(logits)
    assert np.sum(sums._sums, axis=0) == pytest.approx(logits.sum(axis=0, dtype=np.float64))
    assert [start for start, _ in stretches] == [index * every_s for index in range(len(stretches))]
    # the frame that a stretch begins with is the nearest to its start
    for index, frame in enumerate(np.flatnonzero(np.diff(counts)) + 1, start=1):
        assert abs(frame * clock.frame_s - index * every_s) <= clock.frame_s / 2 + 1e-9
    if len(stretches) > 1:
        assert clock.samples_to_s(n_samples) - stretches[-1][0] >= 1.0


def test_the_last_stretch_ends_with_a_recording_of_any_rate(write_recording, tone):
    path = write_recording("odd.wav", tone(5.00037, sample_rate=44100), sample_rate=44100)
    record = classify_recording(path, FakeEngine(), every_s=2.0)
    assert record.stretches[-1].stop == record.duration
    values = record.to_dict()
    assert values["stretches"][-1]["stop"] == values["duration"]


@pytest.mark.parametrize("every", [0.99, 0, -1, 1e308, math.nan, math.inf, True, "5"])
def test_stretches_that_are_too_short_or_never_end_are_refused(every):
    with pytest.raises(ConfigError, match=f"every is {re.escape(repr(every))}, expected 1 to 1,000,000,000 seconds"):
        ScenePlan(every_s=every)
    with pytest.raises(ConfigError, match="every is "):
        compactcli.classify("none.wav", model=FakeEngine(), every=every)
