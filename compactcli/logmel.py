"""Waveform to log-mel with numpy alone: the numbers of `compactcli.features.LogMel` without torch.

Frames, windows, bands and levels are those of `compactcli.features`, which trains the network; both are
tested against each other. The spectrum is taken of a few hundred frames at a time, so that memory beyond
the result stays the same for any length.
"""

import numpy as np
import numpy.typing as npt

from compactcli.config import FeatureConfig

LogMels = npt.NDArray[np.float32]
# frames per block: small enough for the cache, large enough that Python's share of the time is small
BLOCK_FRAMES = 128
# Multiplications in one matrix product: OpenBLAS hands larger ones to threads of its own, which wait for one another
# where several recordings or windows are heard at once, and whose number would show in the last digit.
MAX_PRODUCT = 2**18


class NumpyLogMel:
    """Log-mel spectrogram in dB relative to a full-scale sine, see `compactcli.features.LogMel`.

    Args:
        config: Feature settings.

    Example:
        >>> NumpyLogMel(FeatureConfig())(np.zeros(16000, np.float32)).shape
        (64, 50)
    """

    def __init__(self, config: FeatureConfig) -> None:
        self.config = config
        self._window = scaled_window(config)
        self._bands = mel_bands(config)
        self._rows = max(1, min(BLOCK_FRAMES, MAX_PRODUCT // self._bands.size))

    def __call__(self, waveform: npt.NDArray[np.float32]) -> LogMels:
        """Log-mel of a whole recording.

        Args:
            waveform: Samples in [-1, 1], shape ``(n_samples,)``.

        Returns:
            dB, shape ``(n_mels, n_frames)`` with ``n_frames = ceil(n_samples / hop_length)``.
        """
        context = (self.config.n_fft - self.config.hop_length) // 2
        tail = -len(waveform) % self.config.hop_length
        return self.of_padded(np.pad(waveform, (context, context + tail)))

    def of_padded(self, waveform: npt.NDArray[np.float32]) -> LogMels:
        """Log-mel of samples that already carry ``(n_fft - hop_length) / 2`` samples of context on both sides.

        Args:
            waveform: Shape ``(n_fft - hop_length + n_frames * hop_length,)``.

        Returns:
            dB, shape ``(n_mels, n_frames)``.
        """
        config = self.config
        frames = np.lib.stride_tricks.sliding_window_view(waveform, config.n_fft)[:: config.hop_length]
        output: LogMels = np.empty((config.n_mels, len(frames)), dtype=np.float32)
        for start in range(0, len(frames), BLOCK_FRAMES):
            spectrum = np.fft.rfft(frames[start : start + BLOCK_FRAMES] * self._window)
            power = np.square(spectrum.real)
            power += np.square(spectrum.imag)
            output[:, start : start + BLOCK_FRAMES] = self._band_powers(power).T
        output += np.float32(10.0 ** (config.floor_db / 10))
        # numpy takes the natural logarithm of many numbers at once, the decimal one by one
        np.log(output, out=output)
        output *= np.float32(10.0 / np.log(10.0))
        return output

    def _band_powers(self, power: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Shape ``(n_frames, n_bins)`` to ``(n_frames, n_mels)``, by products of a few frames each."""
        n_frames, n_bins = power.shape
        even = n_frames - n_frames % self._rows
        found: npt.NDArray[np.float32] = np.empty((n_frames, self.config.n_mels), dtype=np.float32)
        few = found[:even].reshape(-1, self._rows, self.config.n_mels)
        np.matmul(power[:even].reshape(-1, self._rows, n_bins), self._bands, out=few)
        np.matmul(power[even:], self._bands, out=found[even:])
        return found


def scaled_window(config: FeatureConfig) -> npt.NDArray[np.float32]:
    """Periodic Hann window under which a full-scale sine has power 1 in its bin, shape ``(n_fft,)``."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)
    return (window / (config.n_fft / 4)).astype(np.float32)


def mel_bands(config: FeatureConfig) -> npt.NDArray[np.float32]:
    """Triangles, evenly spaced on the HTK mel scale, of height 1.

    Returns:
        Weight of each FFT bin in each band, shape ``(n_fft / 2 + 1, n_mels)``.

    Source:
        The HTK Book: ``mel = 2595 log10(1 + f / 700)``; without area normalisation, as
        ``torchaudio.functional.melscale_fbanks(norm=None, mel_scale="htk")``.
    """
    edges = _band_edges_hz(config)
    bins = np.linspace(0, config.sample_rate // 2, config.n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def band_centres_hz(config: FeatureConfig) -> npt.NDArray[np.float64]:
    """Frequencies in Hz at which the bands have their height of 1, shape ``(n_mels,)``."""
    return _band_edges_hz(config)[1:-1]


def _band_edges_hz(config: FeatureConfig) -> npt.NDArray[np.float64]:
    """Where each band begins, the one before it has its centre and the one before that ends: ``(n_mels + 2,)``."""
    low, high = 2595 * np.log10(1 + np.array([config.f_min, config.f_max]) / 700)
    edges: npt.NDArray[np.float64] = 700 * (10 ** (np.linspace(low, high, config.n_mels + 2) / 2595) - 1)
    return edges
