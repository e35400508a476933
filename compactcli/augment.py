"""Everything random that happens to a mixed training clip: levels, filters, microphones, noise, masks.

All of it works on log-mels in dB, where a linear filter is a curve that is added.
"""

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from compactcli.config import FeatureConfig
from compactcli.features import LogMel
from compactcli.recipe import MixConfig


def mel_centres_hz(config: FeatureConfig) -> npt.NDArray[np.float64]:
    """Centre frequencies of the mel bands in Hz (HTK scale), shape ``(n_mels,)``."""
    edges = 2595 * np.log10(1 + np.array([config.f_min, config.f_max]) / 700)
    points = np.linspace(edges[0], edges[1], config.n_mels + 2)[1:-1]
    centres: npt.NDArray[np.float64] = 700 * (10 ** (points / 2595) - 1)
    return centres


def response_curves(responses: Sequence[npt.NDArray[np.float32]], config: FeatureConfig) -> npt.NDArray[np.float32]:
    """Impulse responses as gains per mel band in dB, mean removed.

    Args:
        responses: Impulse responses at the sample rate of ``config``.
        config: Mel bands.

    Returns:
        Shape ``(n_responses, n_mels)``, limited to +-30 dB.
    """
    centres = mel_centres_hz(config)
    width = (config.f_max - config.f_min) / config.n_mels / 2
    curves = []
    for response in responses:
        power = np.abs(np.fft.rfft(response, n=8192)) ** 2
        hz = np.fft.rfftfreq(8192, 1 / config.sample_rate)
        near = np.abs(hz[None, :] - centres[:, None]) <= np.maximum(width, centres[:, None] * 0.06)
        gain_db = 10 * np.log10((near * power).sum(axis=1) / near.sum(axis=1) + 1e-12)
        curves.append(np.clip(gain_db - gain_db.mean(), -30, 30))
    return np.array(curves, dtype=np.float32).reshape(len(curves), config.n_mels)


def band_gains_db(
    rng: np.random.Generator,
    n_clips: int,
    mix: MixConfig,
    curves: npt.NDArray[np.float32],
    centres_hz: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Random level, smooth filter, microphone response and low-pass of each clip as gains per band.

    Args:
        rng: Source of randomness.
        n_clips: Clips.
        mix: Ranges and probabilities.
        curves: Microphone responses in dB, shape ``(n_responses, n_mels)``; may be empty.
        centres_hz: Centres of the mel bands.

    Returns:
        dB, shape ``(n_clips, n_mels)``.
    """
    n_mels = len(centres_hz)
    gains = rng.uniform(*mix.gain_db, size=(n_clips, 1)) + np.zeros((1, n_mels))
    knots = rng.uniform(-mix.filter_db, mix.filter_db, size=(n_clips, 5))
    places = np.linspace(0, n_mels - 1, 5)
    gains += np.stack([np.interp(np.arange(n_mels), places, row) for row in knots])
    for clip in range(n_clips):
        if len(curves) and rng.random() < mix.response_probability:
            gains[clip] += curves[rng.integers(len(curves))]
        if rng.random() < mix.lowpass_probability:
            cutoff_hz = rng.uniform(3000, 7000)
            gains[clip] -= 60 * np.clip(np.log2(centres_hz / cutoff_hz) * 4, 0, 1)
    return gains.astype(np.float32)


def borrowed_gains_db(rng: np.random.Generator, power: torch.Tensor, mix: MixConfig) -> torch.Tensor:
    """Filters that draw the mean spectrum of a clip towards that of another clip of the batch.

    A steady sound of few recordings is soon known by their microphones and rooms; with a borrowed spectrum it has
    to be known by how it moves. The gains of a clip have mean 0.

    Args:
        rng: Source of randomness.
        power: Mel powers, shape ``(n_clips, n_frames, n_mels)``.
        mix: Probability and largest share.

    Returns:
        dB, shape ``(n_clips, n_mels)``, in [-30, 30]; 0 for clips that borrow nothing.

    Source:
        After Freq-MixStyle, Schmid et al., DCASE 2022 technical report; we mix the means alone, over the
        frames within 30 dB of the loudest, so that silence stays silence and the change is a linear filter.
    """
    n_clips = len(power)
    share = np.where(rng.random(n_clips) < mix.spectrum_probability, rng.uniform(0, mix.spectrum_share, n_clips), 0.0)
    partner = torch.from_numpy(rng.permutation(n_clips)).to(power.device)
    loudness = power.sum(dim=2, keepdim=True)  # (n_clips, n_frames, 1)
    sounding = (loudness >= loudness.amax(dim=1, keepdim=True) * 1e-3).float()
    spectrum = (10 * torch.log10(power + 1e-12) * sounding).sum(dim=1) / sounding.sum(dim=1)
    shares = torch.from_numpy(share.astype(np.float32)).to(power.device)[:, None]
    gains = shares * (spectrum[partner] - spectrum)
    return (gains - gains.mean(dim=1, keepdim=True)).clamp(-30, 30)


@functools.cache
def white_noise_power(config: FeatureConfig) -> torch.Tensor:
    """Power of steady noise in each band and frame, relative to its mean in that band.

    Returns:
        Half a minute, shape ``(n_frames, n_mels)``.
    """
    waveform = torch.randn(1, 30 * config.sample_rate, generator=torch.Generator().manual_seed(0))
    power: torch.Tensor = torch.exp(LogMel(config)(waveform)[0].T * (np.log(10) / 10))
    return power / power.mean(dim=0)


def noise_power_db(
    rng: np.random.Generator, alone: npt.NDArray[np.bool_], mix: MixConfig, centres_hz: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Level of steady coloured noise beneath each clip, relative to the clip's own level.

    Args:
        rng: Source of randomness.
        alone: Where a clip is nothing but noise, shape ``(n_clips,)``; its level is relative to -30 dB.
        mix: Probability of noise beneath.
        centres_hz: Centres of the mel bands.

    Returns:
        dB per band, shape ``(n_clips, n_mels)``; -200 where a clip has none.
    """
    n_clips = len(alone)
    # white noise has power in proportion to a band's width, which grows with frequency; pink noise less so
    slope = rng.uniform(-1.0, 0.3, size=(n_clips, 1))
    shape = 10 * (1 + slope) * np.log10((centres_hz + 700) / 4000)[None, :]
    beneath = np.where(rng.random((n_clips, 1)) < mix.noise_probability, rng.uniform(-50, -25, (n_clips, 1)), -200)
    level = np.where(alone[:, None], rng.uniform(-50, 0, (n_clips, 1)), beneath)
    return (level + shape).astype(np.float32)


def mask(
    rng: np.random.Generator, log_mel: torch.Tensor, mix: MixConfig, *, frame_rate: float, floor_db: float
) -> torch.Tensor:
    """SpecAugment: one time mask and two frequency masks per clip, filled with silence.

    Args:
        rng: Source of randomness.
        log_mel: dB, shape ``(n_clips, n_mels, n_frames)``.
        mix: Longest masks.
        frame_rate: Frames per second.
        floor_db: What a masked place holds.

    Source:
        Park et al., "SpecAugment", Interspeech 2019; we mask half of the clips only and use short
        time masks, because frame targets stay as they are.
    """
    n_clips, n_mels, n_frames = log_mel.shape
    masked = np.zeros((n_clips, n_mels, n_frames), dtype=np.bool_)
    longest, widest = min(round(mix.time_mask_s * frame_rate), n_frames), min(mix.band_mask, n_mels)
    for clip in np.flatnonzero(rng.random(n_clips) < 0.5):
        length = int(rng.integers(0, longest + 1))
        first = int(rng.integers(0, n_frames - length + 1))
        masked[clip, :, first : first + length] = True
        for _ in range(2):
            width = int(rng.integers(0, widest + 1))
            band = int(rng.integers(0, n_mels - width + 1))
            masked[clip, band : band + width] = True
    return log_mel.masked_fill(torch.from_numpy(masked).to(log_mel.device), floor_db)
