"""Steady noise by itself, as of a recorder in a silent place."""

from collections.abc import Iterator

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


def steady_noises(
    rng: np.random.Generator, *, n_samples: int, sample_rate: int, n_of_a_kind: int = 1
) -> Iterator[npt.NDArray[np.float32]]:
    """Noise of every colour at every level; see ``coloured_noise``."""
    for slope_db in NOISE_SLOPES_DB:
        for level_db in NOISE_LEVELS_DB:
            for _ in range(n_of_a_kind):
                yield coloured_noise(
                    rng, n_samples=n_samples, slope_db=slope_db, level_db=level_db, sample_rate=sample_rate
                )
