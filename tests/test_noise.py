import numpy as np
import pytest

from compactcli.noise import coloured_noise


@pytest.mark.parametrize("slope_db", [0.0, 3.0, 6.0])
def test_noise_has_its_level_and_its_slope(slope_db):
    rng = np.random.default_rng(0)
    noise = coloured_noise(rng, n_samples=160_000, slope_db=slope_db, level_db=-30.0, sample_rate=16000)
    assert noise.dtype == np.float32
    assert 10 * np.log10(np.mean(np.square(noise, dtype=np.float64))) == pytest.approx(-30, abs=1e-3)
    powers = np.square(np.abs(np.fft.rfft(noise)))
    hz = np.fft.rfftfreq(len(noise), 1 / 16000)
    low, high = (powers[(hz >= edge) & (hz < edge * 1.1)].mean() for edge in (200, 3200))
    assert 10 * np.log10(low / high) == pytest.approx(4 * slope_db, abs=1.0)
