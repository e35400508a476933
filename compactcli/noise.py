"""Steady noise by itself, as of a recorder in a silent place."""

import numpy as np
import numpy.typing as npt

# white, pink and brown: dB less in each octave; and levels in dB, as root mean square relative to full scale
NOISE_SLOPES_DB = (0.0, 3.0, 6.0)
NOISE_LEVELS_DB = (-75.0, -60.0, -45.0, -30.0)


def coloured_noise(
    rng: np.random.Generator, *, n_samples: int, slope_db: float, level_db: float, sample_rate: int
) -> npt.NDArray[np.float32]:
    """Gaussian noise from 20 Hz up.

    Args:
        rng: Source of randomness.
        n_samples: Length.
        slope_db: Decibels less in each octave: 0 is white, 3 pink, 6 brown.
        level_db: Root mean square in dB relative to full scale.
        sample_rate: Hz.
    """
    hz = np.fft.rfftfreq(n_samples, 1 / sample_rate)
    gains = np.where(hz < 20, 0.0, np.maximum(hz, 20.0) ** (-slope_db / (20 * np.log10(2))))
    samples = np.fft.irfft(np.fft.rfft(rng.standard_normal(n_samples)) * gains, n=n_samples)
    scaled: npt.NDArray[np.float32] = (samples * 10 ** (level_db / 20) / np.sqrt(np.mean(samples**2))).astype(
        np.float32
    )
    return scaled
