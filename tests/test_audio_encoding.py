import numpy as np
import pytest
import soundfile

from compactcli.audio.encoding import decode_mp3, encode_mp3, write_audio
from compactcli.errors import AudioError

# kbit/s by the four bits of an MP3 frame's header: MPEG-1 Layer III, then MPEG-2 and 2.5 (ISO 11172-3, 13818-3)
MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def kbit_s_of(data):
    """What the first frame's header says."""
    assert data[0] == 0xFF and data[1] & 0xE6 == 0xE2  # sync, Layer III
    return (MPEG_1 if data[1] & 0x18 == 0x18 else MPEG_2)[data[2] >> 4]


@pytest.mark.parametrize(
    ("sample_rate", "kbit_s"), [(16000, 64), (16000, 8), (16000, 160), (8000, 64), (44100, 128), (48000, 320)]
)
def test_the_rate_is_the_one_asked_for(noise, sample_rate, kbit_s):
    data = encode_mp3(noise(3.0, sample_rate=sample_rate), sample_rate=sample_rate, kbit_s=kbit_s)
    assert kbit_s_of(data) == kbit_s
    # frames of 1152 or 576 samples and the encoder's delay round the length up
    assert 1 <= len(data) * 8 / 3.0 / (1000 * kbit_s) < 1.1


@pytest.mark.parametrize("n_samples", [1, 575, 16000, 16001, 40000])
def test_length_and_times_stay(noise, n_samples):
    waveform = noise(3.0)[:n_samples]
    decoded = decode_mp3(encode_mp3(waveform, sample_rate=16000, kbit_s=64))
    assert (decoded.shape, decoded.dtype) == ((n_samples,), np.float32)
    if n_samples > 1000:
        lags = range(-20, 21)
        products = [float(waveform[50:-50] @ decoded[50 + lag : n_samples - 50 + lag]) for lag in lags]
        assert lags[int(np.argmax(products))] == 0


def test_a_tone_stays_a_tone_of_nearly_its_level(tone):
    waveform = tone(1.0, frequency_hz=1000, level=0.5)
    decoded = decode_mp3(encode_mp3(waveform, sample_rate=16000, kbit_s=64))
    gain = float(waveform @ decoded / (waveform @ waveform))
    assert 10 ** (-0.5 / 20) < gain <= 1
    assert 1e-6 < np.abs(decoded - gain * waveform)[1000:-1000].max() < 0.005


@pytest.mark.parametrize(("sample_rate", "kbit_s"), [(16000, 192), (44100, 16), (15000, 64)])
def test_what_mp3_does_not_have_is_refused(noise, sample_rate, kbit_s):
    with pytest.raises(AudioError, match=rf"MP3 at {sample_rate} Hz and {kbit_s} kbit/s was asked for, expected"):
        encode_mp3(noise(0.1), sample_rate=sample_rate, kbit_s=kbit_s)


def test_a_libsndfile_without_mp3_is_told_apart(noise, monkeypatch):
    def refuse(*_, **__):
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr("soundfile.write", refuse)
    with pytest.raises(AudioError, match=r"libsndfile .* cannot write MP3 \(.*\), expected one built with LAME"):
        encode_mp3(noise(0.1), sample_rate=16000, kbit_s=64)


@pytest.mark.parametrize(("name", "container"), [("a.wav", "WAV"), ("a.flac", "FLAC")])
def test_blocks_become_a_file_of_16_bits(tmp_path, noise, name, container):
    blocks = np.split(noise(1.0), [1000, 1000, 9000])
    write_audio(tmp_path / name, blocks, sample_rate=8000)
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (container, "PCM_16", 8000, 1)
    written, _ = soundfile.read(tmp_path / name, dtype="float32")
    np.testing.assert_allclose(written, noise(1.0), atol=2**-15)


def test_a_file_that_cannot_be_written_is_told(tmp_path, noise):
    with pytest.raises(AudioError, match=r"missing/a.wav cannot be written \(.*\), expected a folder with room for it"):
        write_audio(tmp_path / "missing" / "a.wav", [noise(1.0)], sample_rate=16000)
