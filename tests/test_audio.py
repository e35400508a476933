import io
import math
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compactcli.audio import convert_waveform, open_audio, read_audio
from compactcli.errors import AudioError

RATE = 16000
LOSSLESS = ["a.wav", "a.flac", "a.aiff"]
LOSSY = ["a.ogg", "a.opus", "a.mp3"]


def drain(path, *, sample_rate=RATE):
    with open_audio(path, sample_rate=sample_rate) as reader:
        blocks = list(reader)
    return np.concatenate(blocks), reader


def cut(path: Path, fraction: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def spoil(path: Path, n_bytes: int = 2000) -> Path:
    """Overwrite bytes in the middle with noise."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + n_bytes] = np.random.default_rng(1).integers(0, 256, n_bytes, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path


def without_length(path: Path) -> Path:
    """A FLAC as an encoder writes it into a pipe: STREAMINFO says 0 samples, which means unknown."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


def without_xing(path: Path) -> Path:
    """An MP3 without the frame that says how long it is."""
    data = path.read_bytes()
    path.write_bytes(data[data.find(data[:2], 4) :])
    return path


def wav_bytes(waveform, *, n_channels=1, rate_hz=RATE, data_size=None):
    data = (waveform * 32767).astype("<i2").tobytes()
    size = len(data) if data_size is None else data_size
    layout = struct.pack("<HHIIHH", 1, n_channels, rate_hz, rate_hz * 2 % 2**32, 2 * n_channels % 2**16, 16)
    # a writer that was stopped leaves 0 bytes of data in a RIFF chunk of 8 bytes
    riff_size = 8 if data_size == 0 else min(36 + size, 2**32 - 1)
    riff = b"RIFF" + struct.pack("<I", riff_size) + b"WAVE"
    return riff + b"fmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size) + data


@pytest.mark.parametrize("name", LOSSLESS + LOSSY)
def test_every_format_gives_the_same_tone(name, write_recording, tone):
    truth = tone(3.0)
    waveform, reader = drain(write_recording(name, truth))

    assert waveform.dtype == np.float32
    assert reader.info.n_frames == reader.n_decoded == reader.n_samples == len(waveform) == 48000
    assert reader.decoded_s == reader.info.duration_s == 3.0
    assert reader.damage is None
    middle = slice(8000, 40000)
    assert np.abs(waveform[middle] - truth[middle]).max() < (1e-4 if name in LOSSLESS else 0.05)


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_other_rates_give_the_same_tone_and_the_length_of_the_formula(name, sample_rate, write_recording, tone):
    path = write_recording(name, tone(2.0, sample_rate=sample_rate)[:-7], sample_rate=sample_rate)
    waveform, reader = drain(path)

    n_frames = 2 * sample_rate - 7
    assert len(waveform) == reader.n_samples == n_frames * RATE // sample_rate
    assert reader.decoded_s == n_frames / sample_rate
    assert reader.n_samples / RATE <= reader.decoded_s
    inner = slice(2000, 30000)
    assert np.abs(waveform[inner] - tone(2.0)[inner]).max() < 2e-3


def test_blocks_equal_resampling_in_one_piece(write_recording, noise):
    source = noise(7.3, sample_rate=44100)
    waveform, _ = drain(write_recording("a.wav", source, sample_rate=44100, subtype="FLOAT"))

    whole = soxr.resample(source, 44100, RATE, quality="HQ")
    assert np.abs(waveform - whole[: len(waveform)]).max() < 1e-5


def test_channels_are_averaged(write_recording, tone):
    stereo = np.stack([tone(1.0), np.zeros(RATE, np.float32)], axis=1)
    waveform, reader = drain(write_recording("a.wav", stereo, subtype="FLOAT"))

    assert reader.info.n_channels == 2
    np.testing.assert_allclose(waveform, tone(1.0) / 2, atol=1e-7)


def test_blocks_stay_small_whatever_the_channel_count(write_recording):
    path = write_recording("a.wav", np.zeros((40000, 64), np.float32))
    with open_audio(path, sample_rate=RATE) as reader:
        lengths = [len(block) for block in reader]
    assert max(lengths) * 64 <= 2**20
    assert sum(lengths) == 40000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_frames=st.integers(1, 50000), sample_rate=st.sampled_from([16000, 22050, 44100]))
def test_length_is_the_formula_for_any_length(n_frames, sample_rate, tmp_path):
    path = tmp_path / "any.wav"
    soundfile.write(path, np.zeros(n_frames, np.float32), sample_rate)
    n_samples = n_frames * RATE // sample_rate
    if n_samples == 0:
        with pytest.raises(AudioError, match="at least one sample"):
            drain(path)
    else:
        assert drain(path)[1].n_samples == n_samples


@pytest.mark.parametrize("name", ["a.raw", "a.txt", "noext", "a.mp3", "a.flac"])
def test_content_decides_not_the_name(name, tmp_path, tone):
    path = tmp_path / name
    path.write_bytes(wav_bytes(tone()))
    waveform, reader = drain(path)
    assert reader.info.container == "WAV"
    assert len(waveform) == RATE


def test_name_that_is_no_text(tmp_path, tone):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        path.write_bytes(wav_bytes(tone()))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert len(read_audio(path, sample_rate=RATE)) == RATE


@pytest.mark.parametrize("fraction", [0.5, 0.98])
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("a.wav", "the file ends"),
        ("a.aiff", "the file ends"),
        ("a.w64", "the file ends"),
        ("a.rf64", "frames promised"),
        ("a.flac", "the decoder gave up"),
        ("a.mp3", "promised could be decoded"),
        ("a.ogg", "whole last page"),
        ("a.opus", "whole last page"),
    ],
)
def test_cut_file_keeps_what_decodes_and_says_so(name, match, fraction, write_recording, tone, noise):
    truth = tone(20.0) + noise(20.0, level=0.02)
    waveform, reader = drain(cut(write_recording(name, truth), fraction))

    assert match in reader.damage
    assert 0.35 * 20 * RATE < len(waveform) < 20 * RATE
    assert len(waveform) == reader.n_samples
    if name in LOSSLESS:
        np.testing.assert_allclose(waveform, truth[: len(waveform)], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "match"),
    [("a.flac", "gave up"), ("a.mp3", "gave up|promised"), ("a.ogg", "promised"), ("a.opus", "promised")],
)
def test_damage_in_the_middle_is_noticed(name, match, write_recording, tone, noise):
    path = spoil(write_recording(name, tone(20.0) + noise(20.0, level=0.02)))
    waveform, reader = drain(path)
    assert any(part in reader.damage for part in match.split("|"))
    assert 0.4 * 20 * RATE < len(waveform) < 20 * RATE


def test_flac_keeps_every_frame_before_the_damage(write_recording, noise):
    # libsndfile's FLAC frames hold 4,096 samples or fewer; no more than the damaged one may be missing
    truth = noise(20.0)
    whole = write_recording("a.flac", truth).stat().st_size
    waveform, reader = drain(spoil(write_recording("a.flac", truth)))
    n_expected = 20 * RATE * (whole // 2) / whole
    assert n_expected - 2 * 4096 < len(waveform) <= n_expected + 4096
    np.testing.assert_allclose(waveform, truth[: len(waveform)], atol=1e-4)
    assert reader.decoded_s == len(waveform) / RATE


def test_flac_of_unknown_length(write_recording, noise):
    truth = noise(5.3)
    waveform, reader = drain(without_length(write_recording("a.flac", truth)))
    assert reader.info.n_frames is None
    assert reader.info.duration_s is None
    assert reader.damage is None
    np.testing.assert_allclose(waveform, truth, atol=1e-4)


def test_mp3_without_a_length_is_read_to_its_end(tmp_path, noise):
    # of a variable bit rate the decoder guesses half of the length here
    loud = noise(20.0) * np.linspace(0, 1, 20 * RATE, dtype=np.float32) ** 4
    path = tmp_path / "a.mp3"
    soundfile.write(path, loud, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.4)
    waveform, reader = drain(without_xing(path))
    assert reader.info.n_frames is None
    assert reader.damage is None
    # the encoder's delay and padding stay in, at most three MPEG frames
    assert 20 * RATE <= len(waveform) <= 20 * RATE + 3 * 1152


@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_whose_writer_did_not_know_the_length(data_size, tmp_path, tone):
    path = tmp_path / "stream.wav"
    path.write_bytes(wav_bytes(tone(), data_size=data_size))
    waveform, reader = drain(path)
    assert reader.damage is None
    assert len(waveform) == RATE


def test_header_that_promises_centuries_allocates_nothing(tmp_path, write_recording, tone):
    data = bytearray(write_recording("a.rf64", tone()).read_bytes())
    at = data.index(b"ds64") + 8
    data[at : at + 24] = struct.pack("<QQQ", 2**63 - 1, 2**63 - 1, 2**63 - 1)
    path = tmp_path / "centuries.wav"
    path.write_bytes(data)
    assert len(drain(path)[0]) == RATE


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_silence_and_one_sample_are_audio(sample_rate, write_recording):
    waveform, _ = drain(write_recording("a.wav", np.zeros(5 * sample_rate, np.float32), sample_rate=sample_rate))
    assert len(waveform) == 5 * RATE
    assert not waveform.any()
    assert len(drain(write_recording("b.wav", np.ones(1, np.float32)))[0]) == 1


def not_finite(value):
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[int(3.25 * RATE)] = value
    return waveform


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_sample_that_is_no_number(value, write_recording):
    path = write_recording("a.wav", not_finite(value), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav has a sample of .* at 3\.250 s, expected finite") as caught:
        drain(path)
    assert caught.value.code == "not-finite"


def test_loud_channels_do_not_overflow_unnoticed(write_recording):
    stereo = np.stack([not_finite(3e38), not_finite(3e38)], axis=1)
    with pytest.raises(AudioError, match=r"a sample of inf at 3\.250 s"):
        drain(write_recording("a.wav", stereo, subtype="FLOAT"))


def test_sample_that_is_no_number_in_one_channel(write_recording):
    stereo = np.stack([not_finite(0.0), not_finite(math.nan)], axis=1)
    path = write_recording("a.wav", stereo, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"at 3\.250 s"):
        drain(path)


REFUSED = {
    "empty": (b"", "empty-file", r"is empty \(0 bytes\)"),
    "text": (b"These are notes, not sounds.\n" * 40, "not-audio", "not audio that can be recognised"),
    "noise": (np.random.default_rng(0).bytes(5000), "not-audio", "not audio"),
    "nonsense after an MP3 frame header": (b"\xff\xfb\x90\x64" + bytes(3000), "not-audio", "not audio"),
    "zeros": (bytes(5000), "not-audio", "not audio"),
    "wav header without data": (wav_bytes(np.zeros(9))[:36], "bad-header", "header that makes no sense"),
    "flac without stream info": (b"fLaC" + bytes(50), "bad-header", "header that makes no sense"),
    "no frames": (wav_bytes(np.zeros(0)), "no-samples", "holds 0 frames, expected at least one sample"),
    "rate 0": (wav_bytes(np.zeros(99), rate_hz=0), "bad-header", "no usable sample rate"),
    "rate 4 GHz": (wav_bytes(np.zeros(99), rate_hz=4_000_000_000), "bad-header", "no usable sample rate"),
    "no channels": (wav_bytes(np.zeros(99), n_channels=0), "bad-header", "no usable sample rate or channel count"),
    "rate 999": (wav_bytes(np.zeros(99), rate_hz=999), "bad-rate", "999 Hz, expected 1000 to 768000 Hz"),
    "1024 channels": (
        wav_bytes(np.zeros(4096), n_channels=1024),
        "too-many-channels",
        "1024 channels, expected 1 to 64",
    ),
    "65 channels": (wav_bytes(np.zeros(65), n_channels=65), "too-many-channels", "65 channels"),
}


@pytest.mark.parametrize(("data", "code", "match"), REFUSED.values(), ids=REFUSED)
def test_refusals(data, code, match, tmp_path):
    path = tmp_path / "refused.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=match) as caught:
        drain(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_missing_file(tmp_path):
    with pytest.raises(AudioError, match=r"nowhere\.wav does not exist, expected a recording") as caught:
        drain(tmp_path / "nowhere.wav")
    assert caught.value.code == "missing"
    with pytest.raises(AudioError, match="does not exist"):
        (tmp_path / "file").write_bytes(b"x")
        drain(tmp_path / "file" / "below.wav")


def test_folder_and_pipe(tmp_path):
    with pytest.raises(AudioError, match="is a folder, expected a recording in a regular file") as caught:
        drain(tmp_path)
    assert caught.value.code == "unreadable"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioError, match="is a device or a pipe"):
        drain(tmp_path / "pipe")


def test_unreadable_file(write_tone, monkeypatch):
    path = write_tone()

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\)") as caught:
        drain(path)
    assert caught.value.code == "unreadable"


def test_name_with_a_null_byte():
    with pytest.raises(AudioError, match="cannot be read"):
        drain("a\0b.wav")


def test_flac_damaged_before_its_first_frame(write_recording, noise):
    path = cut(write_recording("a.flac", noise(20.0)), 0.001)
    with pytest.raises(AudioError, match="cannot be decoded .* expected at least some good audio") as caught:
        drain(path)
    assert caught.value.code == "unreadable"


def test_disk_that_fails_halfway_leaves_a_damaged_recording(write_recording, noise, monkeypatch):
    path = write_recording("a.wav", noise(20.0))

    class FailingFile(io.FileIO):
        def read(self, size=-1):
            if self.tell() > 320000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(Path, "open", lambda self, mode="r": FailingFile(self, mode))
    waveform, reader = drain(path)
    assert "promised could be decoded" in reader.damage
    assert 0 < len(waveform) < 20 * RATE


@pytest.mark.parametrize("damage", [False, True])
def test_the_mp3_decoder_stays_silent_and_stderr_is_given_back(damage, write_recording, noise, capfd):
    path = write_recording("a.mp3", noise(5.0))
    if damage:
        cut(path, 0.5)
    drain(path)
    assert capfd.readouterr().err == ""
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_mp3_without_a_standard_error(write_recording, noise, monkeypatch):
    def refuse(_descriptor):
        raise OSError(9, "Bad file descriptor")

    path = write_recording("a.mp3", noise(2.0))
    monkeypatch.setattr(os, "dup", refuse)
    assert drain(path)[1].n_samples == 2 * RATE


def test_read_audio_refuses_damage_unless_allowed(write_recording, noise):
    path = cut(write_recording("a.wav", noise(2.0)), 0.5)
    with pytest.raises(AudioError, match="is damaged: the file ends .* expected a whole recording") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.code == "damaged"
    assert 15000 < len(read_audio(path, sample_rate=RATE, allow_damage=True)) < 16000


def test_read_audio_equals_the_standard_library(tmp_path, noise):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(noise()))
    with wave.open(str(path)) as reference:
        truth = np.frombuffer(reference.readframes(RATE), "<i2") / 32768
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), truth.astype(np.float32))


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_samples_in_memory_equal_the_file_that_holds_them(sample_rate, write_recording, noise):
    stereo = np.stack([noise(2.1, sample_rate=sample_rate), 0.3 * noise(2.1, sample_rate=sample_rate)], axis=1)
    path = write_recording("a.wav", stereo, sample_rate=sample_rate, subtype="FLOAT")
    converted = convert_waveform(stereo.astype(np.float64), from_rate=sample_rate, sample_rate=RATE)
    assert converted.dtype == np.float32
    np.testing.assert_allclose(converted, read_audio(path, sample_rate=RATE), atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "from_rate", "code", "match"),
    [
        (np.zeros(99, np.int16), RATE, "bad-samples", "array of int16, expected floating-point"),
        (np.zeros((2, 3, 4)), RATE, "bad-samples", "3-dimensional array"),
        (np.zeros(0), RATE, "no-samples", "expected at least one sample"),
        (np.zeros(2), 96000, "no-samples", "expected at least one sample"),
        (np.array([0.0, math.nan]), RATE, "not-finite", "not finite"),
        (np.array([0.0, 1e300]), RATE, "not-finite", "not finite"),
        (np.zeros(99), 10, "bad-rate", "sample rate of 10 Hz"),
        (np.zeros((2, 99)), RATE, "too-many-channels", "99 channels"),
    ],
)
def test_samples_that_are_refused(samples, from_rate, code, match):
    with pytest.raises(AudioError, match=match) as caught:
        convert_waveform(samples, from_rate=from_rate, sample_rate=RATE)
    assert caught.value.code == code
