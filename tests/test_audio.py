import math
import os
import wave

import numpy as np
import pytest
import soundfile
import soxr
from damaged import cut, wav_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compactcli.audio import convert_waveform, decode_only, open_audio, read_audio, resample_blocks
from compactcli.errors import AudioError

RATE = 16000
LOSSLESS = ["a.wav", "a.flac", "a.aiff"]
LOSSY = ["a.ogg", "a.opus", "a.mp3"]


def drain(path, *, sample_rate=RATE):
    with open_audio(path, sample_rate=sample_rate) as reader:
        blocks = list(reader)
    return np.concatenate(blocks), reader


@pytest.mark.parametrize("name", LOSSLESS + LOSSY)
def test_every_format_gives_the_same_tone(name, write_recording, tone):
    truth = tone(3.0)
    waveform, reader = drain(write_recording(name, truth))

    assert waveform.dtype == np.float32
    assert reader.info.n_frames == reader.n_decoded == reader.n_samples == len(waveform) == 48000
    assert reader.decoded_s == reader.info.duration_s == 3.0
    assert reader.damage is None
    middle = slice(8000, 40000)
    assert np.abs(waveform[middle] - truth[middle]).max() < (1e-4 if name in LOSSLESS else 0.05)


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_other_rates_give_the_same_tone_and_the_length_of_the_formula(name, sample_rate, write_recording, tone):
    path = write_recording(name, tone(2.0, sample_rate=sample_rate)[:-7], sample_rate=sample_rate)
    waveform, reader = drain(path)

    n_frames = 2 * sample_rate - 7
    assert len(waveform) == reader.n_samples == n_frames * RATE // sample_rate
    assert reader.decoded_s == n_frames / sample_rate
    assert reader.n_samples / RATE <= reader.decoded_s
    inner = slice(2000, 30000)
    assert np.abs(waveform[inner] - tone(2.0)[inner]).max() < 2e-3


def test_blocks_equal_resampling_in_one_piece(write_recording, noise):
    source = noise(7.3, sample_rate=44100)
    waveform, _ = drain(write_recording("a.wav", source, sample_rate=44100, subtype="FLOAT"))

    whole = soxr.resample(source, 44100, RATE, quality="HQ")
    assert np.abs(waveform - whole[: len(waveform)]).max() < 1e-5


@pytest.mark.parametrize("lengths", [[0], [1], [44100, 0, 7], [13] * 99])
def test_resampled_pieces_are_as_long_as_they_say(noise, lengths):
    source = noise(2.0, sample_rate=44100)[: sum(lengths)]
    blocks = np.split(source, np.cumsum(lengths)[:-1])
    pieces = list(resample_blocks(blocks, from_rate=44100, sample_rate=RATE))
    assert len(pieces) == len(lengths) + 1
    assert sum(map(len, pieces)) == sum(lengths) * RATE // 44100


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_decoding_alone_reads_every_frame(write_recording, noise, name):
    path = write_recording(name, noise(2.3))
    with open_audio(path, sample_rate=RATE) as reader:
        n_samples = sum(map(len, reader))
    assert decode_only(path) == n_samples >= len(noise(2.3))


def test_decoding_alone_ends_where_the_audio_does(write_recording, noise):
    path = write_recording("a.flac", noise(5.0))
    cut(path, 0.5)
    assert decode_only(path) == 2 * RATE


def test_decoding_alone_refuses_what_is_no_recording(tmp_path):
    with pytest.raises(AudioError, match=r"a.wav does not exist, expected a recording"):
        decode_only(tmp_path / "a.wav")


def test_channels_are_averaged(write_recording, tone):
    stereo = np.stack([tone(1.0), np.zeros(RATE, np.float32)], axis=1)
    waveform, reader = drain(write_recording("a.wav", stereo, subtype="FLOAT"))

    assert reader.info.n_channels == 2
    np.testing.assert_allclose(waveform, tone(1.0) / 2, atol=1e-7)


def test_blocks_stay_small_whatever_the_channel_count(write_recording):
    path = write_recording("a.wav", np.zeros((40000, 64), np.float32))
    with open_audio(path, sample_rate=RATE) as reader:
        lengths = [len(block) for block in reader]
    assert max(lengths) * 64 <= 2**20
    assert sum(lengths) == 40000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_frames=st.integers(1, 50000), sample_rate=st.sampled_from([16000, 22050, 44100]))
def test_length_is_the_formula_for_any_length(n_frames, sample_rate, tmp_path):
    path = tmp_path / "any.wav"
    soundfile.write(path, np.zeros(n_frames, np.float32), sample_rate)
    n_samples = n_frames * RATE // sample_rate
    if n_samples == 0:
        with pytest.raises(AudioError, match="at least one sample"):
            drain(path)
    else:
        assert drain(path)[1].n_samples == n_samples


@pytest.mark.parametrize("name", ["a.raw", "a.txt", "noext", "a.mp3", "a.flac"])
def test_content_decides_not_the_name(name, tmp_path, tone):
    path = tmp_path / name
    path.write_bytes(wav_bytes(tone()))
    waveform, reader = drain(path)
    assert reader.info.container == "WAV"
    assert len(waveform) == RATE


def test_name_that_is_no_text(tmp_path, tone):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        path.write_bytes(wav_bytes(tone()))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert len(read_audio(path, sample_rate=RATE)) == RATE


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_silence_and_one_sample_are_audio(sample_rate, write_recording):
    waveform, _ = drain(write_recording("a.wav", np.zeros(5 * sample_rate, np.float32), sample_rate=sample_rate))
    assert len(waveform) == 5 * RATE
    assert not waveform.any()
    assert len(drain(write_recording("b.wav", np.ones(1, np.float32)))[0]) == 1


def test_read_audio_refuses_damage_unless_allowed(write_recording, noise):
    path = cut(write_recording("a.wav", noise(2.0)), 0.5)
    with pytest.raises(AudioError, match="is damaged: the file ends .* expected a whole recording") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.code == "damaged"
    assert 15000 < len(read_audio(path, sample_rate=RATE, allow_damage=True)) < 16000


def test_read_audio_equals_the_standard_library(tmp_path, noise):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(noise()))
    with wave.open(str(path)) as reference:
        truth = np.frombuffer(reference.readframes(RATE), "<i2") / 32768
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), truth.astype(np.float32))


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_samples_in_memory_equal_the_file_that_holds_them(sample_rate, write_recording, noise):
    stereo = np.stack([noise(2.1, sample_rate=sample_rate), 0.3 * noise(2.1, sample_rate=sample_rate)], axis=1)
    path = write_recording("a.wav", stereo, sample_rate=sample_rate, subtype="FLOAT")
    converted = convert_waveform(stereo.astype(np.float64), from_rate=sample_rate, sample_rate=RATE)
    assert converted.dtype == np.float32
    np.testing.assert_allclose(converted, read_audio(path, sample_rate=RATE), atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "from_rate", "code", "match"),
    [
        (np.zeros(99, np.int16), RATE, "bad-samples", "array of int16, expected floating-point"),
        (np.zeros((2, 3, 4)), RATE, "bad-samples", "3-dimensional array"),
        (np.zeros(0), RATE, "no-samples", "expected at least one sample"),
        (np.zeros(2), 96000, "no-samples", "expected at least one sample"),
        (np.array([0.0, math.nan]), RATE, "not-finite", "not finite"),
        (np.array([0.0, 1e300]), RATE, "not-finite", "not finite or beyond 2147483648, expected numbers"),
        (np.zeros(99), 10, "bad-rate", "sample rate of 10 Hz"),
        (
            np.zeros((2, 99)),
            RATE,
            "too-many-channels",
            r"shape \(2, 99\), expected one row for each sample",
        ),
    ],
)
def test_samples_that_are_refused(samples, from_rate, code, match):
    with pytest.raises(AudioError, match=match) as caught:
        convert_waveform(samples, from_rate=from_rate, sample_rate=RATE)
    assert caught.value.code == code
