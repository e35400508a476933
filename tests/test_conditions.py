import numpy as np
import pytest
from tiny_corpus import write_table, write_wav

from compactcli.audio import read_audio
from compactcli.conditions import (
    NAMES,
    THIRD_OCTAVES_HZ,
    add_noise,
    amplify,
    compress,
    make_conditions,
    overdrive,
    phone_response,
    respond,
    telephone,
    unevenness_db,
)
from compactcli.errors import ConfigError, ManifestError

RATE = 16000


def level_db(waveform):
    """Mean power of the middle, away from the edges of filters."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4].astype(np.float64)
    return 10 * np.log10(np.mean(middle**2))


@pytest.fixture
def conditions(tiny_corpus):
    return {item.name: item for item in make_conditions(["all"], corpus=tiny_corpus, sample_rate=RATE)}


def test_all_are_all(conditions):
    assert tuple(conditions) == NAMES
    assert NAMES == ("clean", "phone", "mp3-64", "telephone", "quiet", "loud", "noise")
    assert len({item.description for item in conditions.values()}) == len(NAMES)


def test_names_are_taken_once_in_the_order_asked_for(tiny_corpus):
    found = make_conditions(["noise", "quiet", "noise"], corpus=tiny_corpus, sample_rate=RATE)
    assert [item.name for item in found] == ["noise", "quiet"]
    found = make_conditions(["loud", "all"], corpus=tiny_corpus, sample_rate=RATE)
    assert [item.name for item in found][:3] == ["loud", "clean", "phone"]
    assert len(found) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_samples", [1, 2, 801, 16001])
def test_length_and_type_stay_and_the_result_repeats(conditions, noise, name, n_samples):
    waveform = noise(2.0)[:n_samples]
    before = waveform.copy()
    first, second = (conditions[name].apply(waveform) for _ in range(2))
    assert (first.shape, first.dtype) == ((n_samples,), np.float32)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(waveform, before)
    if name == "clean":
        np.testing.assert_array_equal(first, waveform)
    else:
        assert not np.array_equal(first, waveform)


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silence(conditions, name):
    silence = np.zeros(8000, np.float32)
    assert np.abs(conditions[name].apply(silence)).max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_click_stays_where_it_is(conditions, name):
    waveform = np.zeros(RATE, np.float32)
    waveform[6001] = 0.5
    # one sample of 8 kHz is two of 16 kHz
    assert abs(int(np.argmax(np.abs(conditions[name].apply(waveform)))) - 6001) <= 1


def test_levels(conditions, tone):
    waveform = tone(1.0, level=0.05)
    np.testing.assert_allclose(conditions["quiet"].apply(waveform), 10**-1.5 * waveform, rtol=1e-6)
    np.testing.assert_allclose(conditions["loud"].apply(waveform), 10 * waveform, rtol=1e-6)
    assert level_db(amplify(waveform, gain_db=-6.0)) == pytest.approx(level_db(waveform) - 6.0, abs=1e-4)


def test_what_is_too_loud_clips_at_full_scale(conditions, tone):
    waveform = tone(1.0, level=0.5)
    loud = conditions["loud"].apply(waveform)
    assert (loud.min(), loud.max()) == (-1.0, 1.0)
    inside = np.abs(waveform) < 0.1
    np.testing.assert_allclose(loud[inside], 10 * waveform[inside], rtol=1e-6)
    assert np.abs(loud[~inside]).min() == 1.0
    assert np.abs(overdrive(waveform, gain_db=0.0) - waveform).max() == 0


def test_noise_is_white_and_20_db_below(conditions, tone):
    waveform = tone(10.0, level=0.3)
    added = conditions["noise"].apply(waveform) - waveform
    power = float(np.mean(waveform.astype(np.float64) ** 2))
    assert 10 * np.log10(power / np.mean(added.astype(np.float64) ** 2)) == pytest.approx(20, abs=0.1)
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    octants = 10 * np.log10([part.mean() for part in np.array_split(spectrum, 8)])
    assert octants.max() - octants.min() < 0.5


def test_each_recording_has_its_own_noise(noise):
    first, second = noise(1.0), 2 * noise(1.0)
    one = add_noise(first, snr_db=20.0) - first
    other = add_noise(second, snr_db=20.0) - second
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert level_db(other) - level_db(one) == pytest.approx(20 * np.log10(2), abs=0.2)


@pytest.mark.parametrize(
    ("frequency_hz", "least_db", "most_db"),
    [
        (100, -200, -50),
        (240, -200, -50),
        (300, -6.5, -5.5),
        (400, -0.1, 0.1),
        (1000, -0.1, 0.1),
        (3300, -0.1, 0.1),
        (3400, -6.5, -5.5),
        (3500, -200, -50),
        (5000, -200, -50),
    ],
)
def test_the_telephone_band(tone, frequency_hz, least_db, most_db):
    waveform = tone(1.0, frequency_hz=frequency_hz)
    gain_db = level_db(telephone(waveform, sample_rate=RATE)) - level_db(waveform)
    assert least_db < gain_db < most_db


def test_mp3_is_close_and_not_the_same(noise):
    waveform = noise(1.0)
    compressed = compress(waveform, sample_rate=RATE)
    error_db = level_db(compressed - waveform) - level_db(waveform)
    assert -40 < error_db < -5
    # fewer bits, more error
    assert level_db(compress(waveform, sample_rate=RATE, kbit_s=16) - waveform) > level_db(compressed - waveform) + 3


def test_a_response_is_a_convolution_of_unit_energy_without_its_delay(noise):
    waveform, response = noise(0.5), np.array([0.0, 0.1, 0.8, -0.4, 0.2], np.float32)
    taps = response.astype(np.float64) / np.sqrt(np.sum(response.astype(np.float64) ** 2))
    expected = np.convolve(waveform.astype(np.float64), taps)[2 : 2 + len(waveform)]
    np.testing.assert_allclose(respond(waveform, response=response), expected, atol=1e-6)
    assert level_db(respond(noise(10.0), response=response)) == pytest.approx(level_db(noise(10.0)), abs=0.1)


def test_a_delay_alone_changes_nothing(noise):
    waveform = noise(0.5)
    response = np.zeros(200, np.float32)
    response[77] = -0.25
    np.testing.assert_allclose(respond(waveform, response=response), -waveform, atol=1e-6)


def test_unevenness_is_the_spread_of_third_octaves():
    assert unevenness_db(np.array([0.0, 0.7], np.float32), sample_rate=RATE) == pytest.approx(0, abs=1e-6)
    # a difference of neighbouring samples has the gain 2 |sin(pi f / rate)|
    gains_db = 20 * np.log10(2 * np.sin(np.pi * THIRD_OCTAVES_HZ / RATE))
    found = unevenness_db(np.array([1.0, -1.0], np.float32), sample_rate=RATE)
    assert found == pytest.approx(np.std(gains_db), abs=0.1)
    assert unevenness_db(np.array([5.0, -5.0], np.float32), sample_rate=RATE) == pytest.approx(found, abs=1e-5)


def test_the_phone_is_more_uneven_than_nine_of_ten(tmp_path):
    names = [f"mic_{index:02d}.wav" for index in range(20)]
    # the later the name, the more of the sample before is taken off
    for index, name in enumerate(names):
        write_wav(tmp_path / "irs" / name, np.array([0.5, -0.02 * index], dtype=np.float32))
    write_table(tmp_path / "irs/irs.csv", [{"file": name} for name in reversed(names)])
    file, response = phone_response(tmp_path, sample_rate=RATE)
    assert file == "mic_18.wav"
    np.testing.assert_array_equal(response, read_audio(tmp_path / "irs/mic_18.wav", sample_rate=RATE))


def test_the_phone_is_named(conditions):
    assert conditions["phone"].description == "convolved with the microphone response dull.wav"


def test_unknown_conditions_and_missing_responses_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"condition 'underwater' is unknown, expected one of clean, .* or all"):
        make_conditions(["clean", "underwater"], corpus=tmp_path, sample_rate=RATE)
    with pytest.raises(ManifestError, match=r"irs.csv' cannot be read"):
        make_conditions(["phone"], corpus=tmp_path, sample_rate=RATE)
    (tmp_path / "irs").mkdir()
    (tmp_path / "irs/irs.csv").write_text("file\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"irs.csv' lists no microphone responses, expected at least one"):
        make_conditions(["phone"], corpus=tmp_path, sample_rate=RATE)
    assert [item.name for item in make_conditions(["noise"], corpus=tmp_path, sample_rate=RATE)] == ["noise"]
