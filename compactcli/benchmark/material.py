"""A recording to measure on, the same wherever it is made: noise, bursts and tones that change every second."""

from collections.abc import Iterator

import numpy as np

from compactcli.audio import Waveform

SEED = 0


def make_blocks(duration_s: float, *, sample_rate: int) -> Iterator[Waveform]:
    """Make a recording, second by second.

    Every second has a background of noise at a level of its own, and most have a burst of noise or a tone with
    overtones in it, so that a lossless codec neither fails nor wins, and events begin and end.

    Args:
        duration_s: Seconds in all.
        sample_rate: Hz.

    Yields:
        Pieces of a second, the last one shorter, in [-1, 1]: together ``round(duration_s * sample_rate)`` samples.
    """
    generator = np.random.default_rng(SEED)
    n_samples = round(duration_s * sample_rate)
    for start in range(0, n_samples, sample_rate):
        yield _second(generator, sample_rate)[: n_samples - start]


def _second(generator: np.random.Generator, sample_rate: int) -> Waveform:
    noise = generator.standard_normal(sample_rate, dtype=np.float32)
    # a running mean over more samples leaves a darker noise
    width = int(generator.integers(1, 32))
    dark = np.convolve(noise, np.full(width, 1 / width, np.float32), mode="same")
    second = 10.0 ** generator.uniform(-3.5, -1.5) * dark
    first, length = generator.integers(0, sample_rate // 2), generator.integers(sample_rate // 20, sample_rate // 2)
    seconds = np.arange(length) / sample_rate
    decay = np.exp(-seconds * generator.uniform(1, 20))
    level = 10.0 ** generator.uniform(-2.0, -0.6)
    kind = generator.integers(3)
    if kind == 1:
        second[first : first + length] += level * decay * generator.uniform(-1, 1, length)
    elif kind == 2:
        phase = 2 * np.pi * generator.uniform(100, 2000) * seconds
        second[first : first + length] += level * decay * (np.sin(phase) + 0.5 * np.sin(2 * phase))
    limited: Waveform = np.clip(second, -1, 1).astype(np.float32)
    return limited
