import numpy as np
import pytest
import torch
import torchaudio

from compactcli.augment import (
    band_gains_db,
    borrowed_gains_db,
    mask,
    mel_centres_hz,
    noise_power_db,
    response_curves,
    white_noise_power,
)
from compactcli.config import FeatureConfig
from compactcli.recipe import MixConfig

FEATURES = FeatureConfig()
CENTRES = mel_centres_hz(FEATURES)
PLAIN = MixConfig(
    gain_db=(0.0, 0.0), filter_db=0.0, response_probability=0.0, lowpass_probability=0.0, noise_probability=0.0
)
NO_CURVES = np.zeros((0, 64), np.float32)


def gains(mix_settings, n_clips=200, curves=NO_CURVES):
    mix = MixConfig(**{**{name: getattr(PLAIN, name) for name in PLAIN.__dataclass_fields__}, **mix_settings})
    return band_gains_db(np.random.default_rng(0), n_clips, mix, curves, CENTRES)


def test_centres_are_the_peaks_of_the_mel_filters():
    bins_hz = np.linspace(0, 8000, 16001)
    filters = torchaudio.functional.melscale_fbanks(16001, FEATURES.f_min, FEATURES.f_max, 64, 16000, None, "htk")
    assert bins_hz[filters.numpy().argmax(axis=0)] == pytest.approx(CENTRES, abs=0.6)


def test_an_impulse_is_a_flat_response_whatever_its_height():
    pulse = np.zeros(100, np.float32)
    pulse[7] = 0.3
    np.testing.assert_allclose(response_curves([pulse, np.ones(1, np.float32)], FEATURES), np.zeros((2, 64)), atol=1e-4)


def test_a_filter_has_its_known_response():
    [curve] = response_curves([np.array([0.8, 0.2], np.float32)], FEATURES)
    gain_db = 10 * np.log10(0.64 + 0.04 + 2 * 0.16 * np.cos(2 * np.pi * CENTRES / 16000))
    np.testing.assert_allclose(curve, gain_db - gain_db.mean(), atol=0.05)


def test_extreme_responses_are_limited():
    tone = np.sin(2 * np.pi * 1000 * np.arange(4000) / 16000).astype(np.float32) * np.hanning(4000).astype(np.float32)
    [curve] = response_curves([tone], FEATURES)
    assert curve.max() == 30
    assert curve.min() >= -30
    assert curve[np.abs(CENTRES - 1000).argmin()] == 30


def test_no_responses_are_no_curves():
    assert response_curves([], FEATURES).shape == (0, 64)


def test_nothing_happens_where_nothing_is_asked_for():
    assert gains({}).tolist() == np.zeros((200, 64)).tolist()


def test_levels_change_whole_clips():
    changed = gains({"gain_db": (-30.0, 12.0)})
    assert np.ptp(changed, axis=1).max() == 0
    assert -30 <= changed.min() < -28
    assert 10 < changed.max() <= 12


def test_filters_are_smooth_and_limited():
    filtered = gains({"filter_db": 6.0})
    assert 5 < np.abs(filtered).max() <= 6
    assert filtered.std(axis=0).min() > 1
    # straight between five knots: from -6 to 6 within a quarter of the 63 steps at most
    assert np.abs(np.diff(filtered, axis=1)).max() <= 12 / (63 / 4) + 1e-4


def test_microphones_come_with_their_probability():
    curves = np.stack([np.linspace(-3, 3, 64), np.linspace(5, -5, 64)]).astype(np.float32)
    chosen = gains({"response_probability": 0.5}, curves=curves)
    flat = (chosen == 0).all(axis=1)
    each = [(chosen == curve).all(axis=1) for curve in curves]
    assert (flat | each[0] | each[1]).all()
    assert 0.4 < flat.mean() < 0.6
    assert min(each[0].sum(), each[1].sum()) > 30
    assert not gains({"response_probability": 1.0}).any()  # none to choose from


def test_low_pass_takes_what_is_above_its_cut_off():
    lost = gains({"lowpass_probability": 1.0})
    assert (lost[:, CENTRES < 3000] == 0).all()
    assert lost.min() >= -60
    assert (np.diff(lost, axis=1) <= 0).all()
    cutoff_hz = CENTRES[np.argmax(lost < 0, axis=1)[(lost < 0).any(axis=1)]]
    assert 3000 <= cutoff_hz.min() < 3400
    assert 6500 < cutoff_hz.max() <= 7500


def borrowed(power, **settings):
    mix = MixConfig(spectrum_probability=1.0, **settings)
    return borrowed_gains_db(np.random.default_rng(0), torch.from_numpy(power.astype(np.float32)), mix).numpy()


def test_a_borrowed_spectrum_lies_between_the_two():
    low, high = np.repeat([1.0, 1e-2], 32), np.repeat([1e-2, 1.0], 32)
    power = np.stack([np.tile(low, (30, 1)), np.tile(high, (30, 1))] * 20)
    gains = borrowed(power, spectrum_share=1.0)
    slopes = gains[0::2, -1] - gains[0::2, 0]  # of the clips that fall by 20 dB
    assert gains.mean(axis=1) == pytest.approx(np.zeros(40), abs=1e-4)
    assert slopes.min() == pytest.approx(0, abs=1e-4)  # a partner with the same spectrum
    assert 20 < slopes.max() <= 40
    assert np.abs(borrowed(power, spectrum_share=0.1)).max() <= 2 + 1e-4


def test_silence_has_no_say_in_a_spectrum():
    rng = np.random.default_rng(1)
    power = rng.uniform(0.1, 1, (8, 20, 16))
    quiet = np.concatenate([power, np.full((8, 100, 16), 1e-9)], axis=1)
    np.testing.assert_allclose(borrowed(quiet), borrowed(power), atol=1e-4)


def test_borrowed_gains_are_limited_and_rare_where_asked_for():
    power = np.stack([np.ones((5, 16)), np.tile(np.repeat([1e-9, 1.0], 8), (5, 1))] * 100)
    assert np.abs(borrowed(power, spectrum_share=1.0)).max() == pytest.approx(30)
    mix = MixConfig(spectrum_probability=0.3, spectrum_share=1.0)
    different = torch.from_numpy(np.random.default_rng(0).uniform(0.1, 1, (400, 5, 16)).astype(np.float32))
    changed = borrowed_gains_db(np.random.default_rng(0), different, mix).abs().amax(dim=1) > 0
    assert changed.float().mean() == pytest.approx(0.3, abs=0.07)


def test_noise_has_its_range_and_probability():
    mix = MixConfig(noise_probability=0.5)
    centre = np.array([3300.0])  # where the colour changes nothing
    alone = np.zeros(600, np.bool_)
    alone[400:] = True
    level = noise_power_db(np.random.default_rng(0), alone, mix, centre)[:, 0]
    level, by_itself = level[:400], level[400:]
    noisy = level > -199
    assert 0.4 < noisy.mean() < 0.6
    assert (level[~noisy] == -200).all()
    assert -50 <= level[noisy].min() < -48
    assert -27 < level[noisy].max() <= -25
    assert -50 <= by_itself.min() < -48
    assert -2 < by_itself.max() <= 0


def test_noise_is_steady_coloured():
    beneath = np.zeros(100, np.bool_)
    shape = noise_power_db(np.random.default_rng(0), beneath, MixConfig(noise_probability=1.0), CENTRES)
    # from white through pink to a little steeper than white: power grows with the band's width at most 1.3-fold
    step = (shape[:, -1] - shape[:, 0]) / (10 * np.log10((CENTRES[-1] + 700) / (CENTRES[0] + 700)))
    assert 0 <= step.min() < 0.1
    assert 1.2 < step.max() <= 1.3


def test_wide_bands_of_noise_hold_steadier():
    power = white_noise_power(FEATURES).numpy()
    assert power.shape == (1500, 64)
    np.testing.assert_allclose(power.mean(axis=0), 1.0, rtol=1e-4)
    # one bin of a spectrum is distributed exponentially, its deviation as large as its mean; a band of many averages
    deviation = power.std(axis=0)
    assert 0.7 < deviation[0] < 1.1
    assert deviation[-1] < 0.5


@pytest.mark.parametrize(("time_mask_s", "band_mask"), [(0.4, 6), (0.0, 6), (0.4, 0), (99.0, 99)])
def test_masks_are_no_wider_than_asked_for(time_mask_s, band_mask):
    mix = MixConfig(time_mask_s=time_mask_s, band_mask=band_mask)
    log_mel = torch.zeros(300, 64, 50)
    masked = mask(np.random.default_rng(0), log_mel, mix, frame_rate=50.0, floor_db=-100.0).numpy()
    assert set(np.unique(masked)) <= {-100.0, 0.0}
    assert not log_mel.any()  # the input stays
    floor = masked == -100
    frames, bands = floor.all(axis=1), floor.all(axis=2)
    # every masked place belongs to a whole frame or a whole band
    np.testing.assert_array_equal(floor, frames[:, None, :] | bands[:, :, None])
    touched = floor.any(axis=(1, 2))
    assert touched.mean() < 0.6
    if band_mask < 64:
        longest = round(time_mask_s * 50)
        in_time = frames & ~bands.all(axis=1)[:, None]
        assert in_time.sum(axis=1).max() == longest
        assert bands.sum(axis=1).max() <= 2 * band_mask
        edges = np.abs(np.diff(np.pad(in_time, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1)
        assert edges.max() <= 2  # one block
