import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compactcli.config import FeatureConfig
from compactcli.features import LogMel

DEFAULT = FeatureConfig()
OTHER = FeatureConfig(sample_rate=22050, n_fft=512, hop_length=172, n_mels=20, f_min=0.0, f_max=11025.0, floor_db=-80.0)


def to_log_mel(waveform, config=DEFAULT):
    return LogMel(config)(torch.from_numpy(np.asarray(waveform, np.float32))[None])[0].numpy()


def band_centres_hz(config):
    low, high = 2595 * np.log10(1 + np.array([config.f_min, config.f_max]) / 700)
    return 700 * (10 ** (np.linspace(low, high, config.n_mels + 2)[1:-1] / 2595) - 1)


def sweep(n_samples, *, sample_rate):
    """A rising tone with noise, loud at first, fading by 80 dB."""
    seconds = np.arange(n_samples) / sample_rate
    tone = np.sin(2 * np.pi * (100 + 1500 * seconds) * seconds)
    noise = np.random.default_rng(3).standard_normal(n_samples)
    return ((0.7 * tone + 0.02 * noise) * 10 ** (-4 * seconds / seconds[-1])).astype(np.float32)


@pytest.mark.parametrize("config", [DEFAULT, OTHER], ids=["default", "other"])
@pytest.mark.parametrize("n_samples", [16000, 15999, 16001])
def test_librosa_gives_the_same_numbers(config, n_samples):
    waveform = sweep(n_samples, sample_rate=config.sample_rate)
    context = (config.n_fft - config.hop_length) // 2
    padded = np.pad(waveform, (context, context + -n_samples % config.hop_length))
    power = librosa.feature.melspectrogram(
        y=padded.astype(np.float64),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        window="hann",
        center=False,
        power=2.0,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        htk=True,
        norm=None,
    )
    expected = 10 * np.log10(power / (config.n_fft / 4) ** 2 + 10 ** (config.floor_db / 10))
    assert expected.min() < config.floor_db + 20, "the quiet end should test the floor"
    np.testing.assert_allclose(to_log_mel(waveform, config), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("bin_number", [32, 100, 256, 400])
def test_a_full_scale_sine_reads_about_0_db_in_its_band(bin_number):
    # The sine sits on a bin: 1 there and 1/4 in each of the two beside it, that is 1.5. Neighbouring triangles add
    # up to 1 at every frequency, so all bands together read 1.5 (+1.76 dB), and one of them holds at least half.
    frequency_hz = bin_number * DEFAULT.sample_rate / DEFAULT.n_fft
    seconds = np.arange(16000) / DEFAULT.sample_rate
    inner = to_log_mel(np.sin(2 * np.pi * frequency_hz * seconds))[:, 5:-5]
    np.testing.assert_allclose(10 * np.log10((10 ** (inner / 10)).sum(axis=0)), 10 * np.log10(1.5), atol=0.01)
    assert (inner.max(axis=0) <= 10 * np.log10(1.5) + 0.01).all()
    assert (inner.max(axis=0) >= 10 * np.log10(0.75) - 0.01).all()


@pytest.mark.parametrize("level_db", [-20.0, -40.0, -60.0])
def test_decibels_follow_the_level(level_db, tone):
    loud = to_log_mel(tone(frequency_hz=1000.0, level=1.0))[:, 5:-5].max(axis=0)
    quiet = to_log_mel(tone(frequency_hz=1000.0, level=10 ** (level_db / 20)))[:, 5:-5].max(axis=0)
    np.testing.assert_allclose(quiet - loud, level_db, atol=0.01)


@pytest.mark.parametrize("band", range(DEFAULT.n_mels))
def test_a_tone_lands_in_its_mel_band(band, tone):
    frequency_hz = band_centres_hz(DEFAULT)[band]
    inner = to_log_mel(tone(0.5, frequency_hz=frequency_hz))[:, 3:-3]
    np.testing.assert_array_equal(inner.argmax(axis=0), band)


def test_silence_is_the_floor():
    np.testing.assert_allclose(to_log_mel(np.zeros(5000)), DEFAULT.floor_db, atol=1e-3)
    np.testing.assert_allclose(to_log_mel(np.zeros(5000), OTHER), OTHER.floor_db, atol=1e-3)


@given(st.integers(1, 6000))
def test_frames_tile_the_recording(n_samples):
    shape = to_log_mel(np.zeros(n_samples)).shape
    assert shape == (DEFAULT.n_mels, -(-n_samples // DEFAULT.hop_length))
    assert shape[1] == DEFAULT.clock.n_frames(n_samples)


@pytest.mark.parametrize("n_frames", [1, 7])
def test_shifting_by_whole_hops_shifts_the_frames(n_frames, noise):
    waveform = noise(0.5)
    shifted = np.concatenate([np.zeros(n_frames * DEFAULT.hop_length, np.float32), waveform])
    np.testing.assert_allclose(to_log_mel(shifted)[:, n_frames:], to_log_mel(waveform), atol=1e-3)


@pytest.mark.parametrize("frame", [0, 10, 24])
def test_a_frame_depends_on_its_own_samples_alone(frame, noise):
    waveform = noise(0.5)
    context = (DEFAULT.n_fft - DEFAULT.hop_length) // 2
    start = frame * DEFAULT.hop_length - context
    inside = np.zeros(len(waveform), np.bool_)
    inside[max(0, start) : start + DEFAULT.n_fft] = True
    log_mel = to_log_mel(waveform)
    altered = to_log_mel(np.where(inside, waveform, 0.9))
    np.testing.assert_allclose(altered[:, frame], log_mel[:, frame], atol=1e-3)
    assert np.abs(altered - log_mel).max() > 1


def test_recordings_of_a_batch_do_not_touch_one_another(noise, tone):
    batch = torch.from_numpy(np.stack([noise(0.5), tone(0.5), np.zeros(8000, np.float32)]))
    for log_mel, waveform in zip(LogMel(DEFAULT)(batch).numpy(), batch.numpy(), strict=True):
        np.testing.assert_allclose(log_mel, to_log_mel(waveform), atol=1e-3)


@pytest.mark.parametrize(("first", "last"), [(2, 3), (5, 30)])
def test_a_padded_piece_gives_the_frames_of_the_whole(first, last, noise):
    waveform = noise(1.0)
    context = (DEFAULT.n_fft - DEFAULT.hop_length) // 2
    piece = waveform[first * DEFAULT.hop_length - context : last * DEFAULT.hop_length + context]
    frames = LogMel(DEFAULT).of_padded(torch.from_numpy(piece)[None])[0].numpy()
    assert frames.shape == (DEFAULT.n_mels, last - first)
    np.testing.assert_allclose(frames, to_log_mel(waveform)[:, first:last], atol=1e-3)
