"""Embeddings of recordings, with an engine whose answers are known and with a real one."""

import math
from pathlib import Path

import numpy as np
import pytest
from fake_engine import SURE, FakeEngine, fake_embedder

import compactcli
from compactcli.errors import AudioError, ConfigError
from compactcli.inference import Listening, StageTimes, embed_part, embed_recording, load_embedder

RATE = 16000
SAMPLES = Path(__file__).parents[1] / "sample_audio"


@pytest.fixture
def night_and_day(write_recording, tone):
    """Four seconds of silence, then three of a loud tone."""
    waveform = np.concatenate([np.zeros(4 * RATE, np.float32), tone(3.0, level=0.8)])
    return write_recording("day.wav", waveform, subtype="FLOAT")


def test_a_vector_is_the_mean_over_all_frames(night_and_day):
    record = embed_recording(night_and_day, fake_embedder())
    # the fake engine's event logits stand for embeddings: loud, faint and any, in 75 of 175 frames
    share = 75 / 175
    expected = SURE * np.array([2 * share - 1, -1, 2 * share - 1])
    [vector] = record.vectors
    assert (vector.start, vector.stop) == (0.0, 7.0)
    np.testing.assert_allclose(vector.values, expected)
    assert (record.path, record.status, record.model, record.duration) == (str(night_and_day), "ok", "fake", 7.0)
    assert (record.scenes, record.events, record.stretches) == (None, None, None)


def test_each_stretch_has_a_vector(night_and_day):
    record = embed_recording(night_and_day, fake_embedder(frames_per_chunk=13), every_s=2.0)
    assert [(item.start, item.stop) for item in record.vectors] == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 7.0)]
    assert [item.values[0] for item in record.vectors] == [-SURE, -SURE, SURE, SURE]
    values = record.to_dict()["vectors"]
    assert values[3] == {"start": 6.0, "stop": 7.0, "values": [SURE, -SURE, SURE]}


def test_a_part_is_heard_by_itself(night_and_day):
    for chunk in (13, 50):
        embedder = fake_embedder(frames_per_chunk=chunk)
        for start, stop, end, loud in (
            (0.0, 4.0, 4.0, 0.0),
            (3.0, 5.0, 5.0, 0.5),
            (6.0, None, 7.0, 1.0),
            (6, 9, 7.0, 1),
        ):
            record = embed_part(night_and_day, embedder, start_s=start, stop_s=stop)
            [vector] = record.vectors
            assert (vector.start, vector.stop, record.status) == (start, end, "ok")
            assert vector.values[0] == pytest.approx(SURE * (2 * loud - 1))


def test_what_comes_after_a_part_is_not_read(write_recording, tone):
    path = write_recording("cut.flac", tone(10.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert embed_part(path, fake_embedder(), stop_s=2.0).status == "ok"
    record = embed_part(path, fake_embedder(), start_s=2.0)
    assert (record.status, record.error_code) == ("partial", "damaged")
    assert record.vectors[0].stop == record.duration


def test_a_part_behind_the_end(night_and_day):
    with pytest.raises(AudioError, match=r"day\.wav ends at 7\.00 s, expected more after 7 s"):
        embed_part(night_and_day, fake_embedder(), start_s=7.0)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (2.0, 1.0, "the part goes from 2 to 1 s, expected it to stop after it starts"),
        (-1.0, None, "the part goes from -1 to 1e\\+09 s"),
        (0.0, math.inf, "the part goes from 0 to inf s"),
        (1.0, 1.00001, "the part from 1.0 to 1.00001 s has no sample at 16000 Hz"),
    ],
)
def test_a_part_that_is_none(start, stop, expected, night_and_day):
    with pytest.raises(ConfigError, match=expected):
        embed_part(night_and_day, fake_embedder(), start_s=start, stop_s=stop)


def test_who_listens_is_told(night_and_day):
    told, times = [], StageTimes()
    listening = Listening(name="mine", gain_db=-60, times=times, on_progress=lambda *seconds: told.append(seconds))
    record = embed_recording(night_and_day, fake_embedder(), listening=listening)
    assert told[0] == (2.0, 7.0)
    assert told[-1] == (7.0, 7.0)
    assert times.inference_s > 0
    # 60 dB less leave nothing to hear
    assert (record.path, record.vectors[0].values.tolist()) == ("mine", [-SURE] * 3)


def test_a_damaged_recording_is_partial(write_recording, tone):
    path = write_recording("cut.flac", tone(10.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    record = embed_recording(path, fake_embedder())
    assert (record.status, record.error_code) == ("partial", "damaged")
    assert record.vectors[-1].stop == record.duration


def test_what_cannot_be_embedded(tmp_path):
    with pytest.raises(AudioError, match="does not exist"):
        embed_recording(tmp_path / "a.wav", fake_embedder())
    with pytest.raises(ConfigError, match=r"every is 0.5, expected 1 to 1,000,000,000 seconds"):
        embed_recording(tmp_path / "a.wav", fake_embedder(), every_s=0.5)
    with pytest.raises(ConfigError, match="every is nan"):
        compactcli.embed(tmp_path / "a.wav", model=fake_embedder(), every=math.nan)


def test_what_is_no_embedder_is_refused_and_the_other_way_round(night_and_day):
    with pytest.raises(ConfigError, match="the model is FakeEngine, expected what load_embedder gave"):
        compactcli.embed(night_and_day, model=FakeEngine())
    for hear in (compactcli.classify, compactcli.detect):
        with pytest.raises(ConfigError, match="the model is Embedder, expected what load_model gave"):
            hear(night_and_day, model=fake_embedder())


def test_samples_give_what_their_file_gives(night_and_day, tone):
    engine = fake_embedder()
    samples = np.concatenate([np.zeros(4 * RATE, np.float32), tone(3.0, level=0.8)])
    record = compactcli.embed(samples, sample_rate=RATE, model=engine, every=3)
    expected = compactcli.embed(night_and_day, model=engine, every=3)
    assert record.vectors == expected.vectors
    assert (record.path, record.duration, record.sample_rate) == ("", 7.0, RATE)
    with pytest.raises(ConfigError, match="samples came without a sample_rate"):
        compactcli.embed(samples, model=engine)
    with pytest.raises(AudioError, match="expected at most 2 s"):
        compactcli.embed(samples, sample_rate=RATE, model=engine, max_duration=2)


def test_the_heads_of_the_model_are_linear_in_what_it_embeds():
    """The mean embedding and the model's own scene head give the scenes that ``classify`` names."""
    from compactcli.calibration import scene_probabilities
    from compactcli.checkpoint import find_model, read_config, read_weights

    folder = find_model("compactnet")
    config = read_config(folder)
    weights = read_weights(folder, config)
    path = SAMPLES / "stream.wav"
    [vector] = compactcli.embed(path, model=load_embedder(device="cpu")).vectors
    logits = weights["scene_head.weight"][:, :, 0] @ np.array(vector.values) + weights["scene_head.bias"]
    scores = dict(zip(config.scenes, scene_probabilities(logits, config.calibration), strict=True))
    record = compactcli.classify(path, top_k=3)
    assert dict(record.scenes) == pytest.approx({name: scores[name] for name, _ in record.scenes}, abs=1e-4)


def test_alike_sounds_are_near():
    embedder = load_embedder(device="cpu")
    names = ["stream.wav", "rain.flac", "speech.wav", "guitar.wav"]
    vectors = [np.array(compactcli.embed(SAMPLES / name, model=embedder).vectors[0].values) for name in names]
    unit = np.stack([vector / np.linalg.norm(vector) for vector in vectors])
    likeness = unit @ unit.T
    assert likeness[0, 1] == np.sort(likeness[0])[-2]
