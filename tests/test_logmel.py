import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compactcli.config import FeatureConfig
from compactcli.features import LogMel
from compactcli.logmel import BLOCK_FRAMES, NumpyLogMel, mel_bands, scaled_window

DEFAULT = FeatureConfig()
OTHER = FeatureConfig(sample_rate=22050, n_fft=512, hop_length=172, n_mels=20, f_min=0.0, f_max=11025.0, floor_db=-80.0)
CONFIGS = pytest.mark.parametrize("config", [DEFAULT, OTHER], ids=["default", "other"])


def torch_log_mel(waveform, config):
    return LogMel(config)(torch.from_numpy(waveform)[None])[0].numpy()


def exact_log_mel(waveform, config):
    """The same in float64."""
    return LogMel(config).double()(torch.from_numpy(waveform.astype(np.float64))[None])[0].numpy()


def fading_sweep(n_samples, *, sample_rate):
    seconds = np.arange(n_samples) / sample_rate
    sweep = np.sin(2 * np.pi * (100 + 1500 * seconds) * seconds)
    noise = np.random.default_rng(3).standard_normal(n_samples)
    return ((0.7 * sweep + 0.02 * noise) * 10 ** (-4 * seconds / seconds[-1])).astype(np.float32)


def power(log_mel):
    return 10 ** (log_mel.astype(np.float64) / 10)


# ---------------------------------------------------------------- the torch log-mel


@CONFIGS
@pytest.mark.parametrize("n_samples", [16000, 15999, 16001, 1, 5])
def test_torch_gives_the_same_power(config, n_samples):
    waveform = fading_sweep(16001, sample_rate=config.sample_rate)[:n_samples]
    ours, theirs = NumpyLogMel(config)(waveform), torch_log_mel(waveform, config)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    # of a full-scale sine, whose power is 1
    np.testing.assert_allclose(power(ours), power(theirs), rtol=1e-4, atol=1e-6)


@CONFIGS
@pytest.mark.parametrize("level", [1.0, 1e-2, 1e-4])
def test_torch_gives_the_same_decibels_of_noise(config, level):
    waveform = (level * np.random.default_rng(1).uniform(-1, 1, 32000)).astype(np.float32)
    ours, theirs = NumpyLogMel(config)(waveform), torch_log_mel(waveform, config)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)
    assert np.abs(ours - theirs).mean() < 1e-5


def test_beside_a_loud_tone_it_is_no_further_from_the_truth_than_torch():
    # bands 100 dB under the loudest hold little but rounding, in any single-precision transform
    waveform = fading_sweep(32000, sample_rate=16000)
    exact = exact_log_mel(waveform, DEFAULT)
    ours = np.abs(NumpyLogMel(DEFAULT)(waveform) - exact)
    theirs = np.abs(torch_log_mel(waveform, DEFAULT) - exact)
    assert ours.max() < max(5e-3, 2 * theirs.max())


@CONFIGS
def test_torchaudio_has_the_same_bands(config):
    np.testing.assert_allclose(mel_bands(config), LogMel(config).mel_power.mel_scale.fb.numpy(), rtol=0, atol=2e-5)


# ---------------------------------------------------------------- closed forms


@CONFIGS
def test_inner_bands_add_up_to_one(config):
    bins = np.linspace(0, config.sample_rate // 2, config.n_fft // 2 + 1)
    low, high = 2595 * np.log10(1 + np.array([config.f_min, config.f_max]) / 700)
    centres = 700 * (10 ** (np.linspace(low, high, config.n_mels + 2) / 2595) - 1)
    inner = (bins >= centres[1]) & (bins <= centres[-2])
    np.testing.assert_allclose(mel_bands(config).sum(axis=1)[inner], 1, atol=1e-6)
    assert (mel_bands(config)[-1] == 0).all(), "half the sample rate lies in no band"


@pytest.mark.parametrize("bin_number", [32, 100, 256, 400])
def test_a_full_scale_sine_reads_about_0_db_in_its_band(bin_number):
    # 1 in its own bin and 1/4 in each of the two beside it: all bands together read 1.5
    seconds = np.arange(16000) / 16000
    waveform = np.sin(2 * np.pi * bin_number * 16000 / 1024 * seconds).astype(np.float32)
    inner = NumpyLogMel(DEFAULT)(waveform)[:, 5:-5]
    np.testing.assert_allclose(10 * np.log10(power(inner).sum(axis=0)), 10 * math.log10(1.5), atol=1e-3)
    assert (inner.max(axis=0) >= 10 * math.log10(0.75)).all()


@pytest.mark.parametrize("band", range(DEFAULT.n_mels))
def test_a_tone_lands_in_its_mel_band(band, tone):
    low, high = 2595 * np.log10(1 + np.array([DEFAULT.f_min, DEFAULT.f_max]) / 700)
    frequency_hz = 700 * (10 ** (np.linspace(low, high, DEFAULT.n_mels + 2)[1 + band] / 2595) - 1)
    inner = NumpyLogMel(DEFAULT)(tone(0.3, frequency_hz=frequency_hz))[:, 3:-3]
    np.testing.assert_array_equal(inner.argmax(axis=0), band)


@CONFIGS
def test_the_window_gives_a_full_scale_sine_power_one(config):
    window = scaled_window(config).astype(np.float64)
    assert (window.sum() / 2) ** 2 == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(window[1:], window[1:][::-1], atol=1e-9)
    assert window[0] == 0


@CONFIGS
def test_silence_is_the_floor(config):
    np.testing.assert_allclose(NumpyLogMel(config)(np.zeros(5000, np.float32)), config.floor_db, atol=1e-4)


# ---------------------------------------------------------------- framing


@given(n_samples=st.integers(1, 6000))
def test_frames_tile_the_recording(n_samples):
    shape = NumpyLogMel(DEFAULT)(np.zeros(n_samples, np.float32)).shape
    assert shape == (DEFAULT.n_mels, DEFAULT.clock.n_frames(n_samples))


@pytest.mark.parametrize(("first", "last"), [(2, 3), (5, 30), (3, 3 + BLOCK_FRAMES + 1)])
def test_a_padded_piece_gives_the_frames_of_the_whole(first, last, noise):
    waveform, hop = noise(4.0), DEFAULT.hop_length
    context = (DEFAULT.n_fft - hop) // 2
    piece = waveform[first * hop - context : last * hop + context]
    log_mel = NumpyLogMel(DEFAULT)
    np.testing.assert_allclose(log_mel.of_padded(piece), log_mel(waveform)[:, first:last], atol=1e-4)


@pytest.mark.parametrize("n_frames", [BLOCK_FRAMES - 1, BLOCK_FRAMES, BLOCK_FRAMES + 1, 2 * BLOCK_FRAMES + 3])
def test_blocks_of_frames_leave_no_seam(n_frames, noise):
    waveform = noise(10.0)[: n_frames * DEFAULT.hop_length]
    np.testing.assert_allclose(NumpyLogMel(DEFAULT)(waveform), torch_log_mel(waveform, DEFAULT), rtol=0, atol=2e-3)


DIGEST = """
import hashlib
import numpy as np
from compactcli.config import FeatureConfig
from compactcli.logmel import NumpyLogMel

noise = np.random.default_rng(0).standard_normal(80000, dtype=np.float32)
print(hashlib.sha256(NumpyLogMel(FeatureConfig())(noise)).hexdigest())
"""


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_last_digit_does_not_depend_on_how_many_threads_numpy_has(threads):
    noise = np.random.default_rng(0).standard_normal(80000, dtype=np.float32)
    expected = hashlib.sha256(NumpyLogMel(FeatureConfig())(noise)).hexdigest()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
    found = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == expected


def test_samples_are_left_as_they_were(noise):
    waveform = noise(0.5)
    waveform.flags.writeable = False
    NumpyLogMel(DEFAULT)(waveform)
    np.testing.assert_array_equal(waveform, noise(0.5))
