"""Waveform to log-mel, on CPU and CUDA alike.

Frame ``i`` looks at the ``n_fft`` samples centred on ``[i * hop_length, (i + 1) * hop_length)``, so
frames tile the recording as ``FrameClock`` says; beyond the ends of the recording there are zeros.
Nothing is normalised by file or chunk: a frame's values depend on its own samples alone.
"""

import torch
import torchaudio
from torch import nn

from compactcli.config import FeatureConfig


class LogMel(nn.Module):
    """Log-mel spectrogram in dB relative to a full-scale sine.

    Power spectrum of a periodic Hann window, HTK mel bands without area normalisation, divided by
    the power that a sine of amplitude 1 puts into its bin, then ``10 log10`` with a floor.

    Args:
        config: Feature settings.

    Example:
        >>> log_mel = LogMel(FeatureConfig())
        >>> tuple(log_mel(torch.zeros(1, 16000)).shape)
        (1, 64, 50)
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.mel_power = torchaudio.transforms.MelSpectrogram(
            sample_rate=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            f_min=config.f_min,
            f_max=config.f_max,
            n_mels=config.n_mels,
            power=2.0,
            center=False,
            norm=None,
            mel_scale="htk",
        )
        # a full-scale sine puts (sum of the window / 2) ** 2 into its bin; a Hann window sums to n_fft / 2
        self.full_scale_power = (config.n_fft / 4) ** 2

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-mel of whole recordings.

        Args:
            waveform: Samples in [-1, 1], shape ``(batch, n_samples)``.

        Returns:
            dB, shape ``(batch, n_mels, n_frames)`` with ``n_frames = ceil(n_samples / hop_length)``.
        """
        context = (self.config.n_fft - self.config.hop_length) // 2
        tail = -waveform.shape[-1] % self.config.hop_length
        return self.of_padded(nn.functional.pad(waveform, (context, context + tail)))

    def of_padded(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-mel of samples that already carry ``(n_fft - hop_length) / 2`` samples of context on both sides.

        Args:
            waveform: Shape ``(batch, n_fft - hop_length + n_frames * hop_length)``.

        Returns:
            dB, shape ``(batch, n_mels, n_frames)``.
        """
        power: torch.Tensor = self.mel_power(waveform) / self.full_scale_power
        return 10.0 * torch.log10(power + 10.0 ** (self.config.floor_db / 10))
