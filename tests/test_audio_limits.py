import dataclasses
import math
import struct

import numpy as np
import pytest
from damaged import flac_header, good, promise_centuries, wav_bytes, without_length, without_xing

from compactcli.audio import AudioLimits, open_audio, read_audio
from compactcli.errors import AudioError, ConfigError

RATE = 16000


def drain(path, limits):
    with open_audio(path, sample_rate=RATE, limits=limits) as reader:
        return sum(len(block) for block in reader)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"max_channels": 0}, "max_channels is 0, expected 1 to 1024"),
        ({"max_channels": 1025}, "max_channels is 1025"),
        ({"min_rate_hz": 0}, "min_rate_hz is 0 and max_rate_hz 768000, expected 1 <= min_rate_hz <= max_rate_hz"),
        ({"min_rate_hz": 9000, "max_rate_hz": 8000}, "min_rate_hz is 9000 and max_rate_hz 8000"),
        ({"max_duration_s": 0.0}, "max_duration_s is 0.0, expected seconds above 0, or None for no limit"),
        ({"max_duration_s": math.inf}, "max_duration_s is inf"),
        ({"max_duration_s": math.nan}, "max_duration_s is nan"),
        ({"max_spooled_bytes": 0}, "max_spooled_bytes is 0, expected at least 1"),
    ],
)
def test_limits_that_make_no_sense(settings, match):
    with pytest.raises(ConfigError, match=match):
        AudioLimits(**settings)


@pytest.mark.parametrize(
    ("settings", "n_channels", "rate_hz", "code", "match"),
    [
        ({"max_channels": 2}, 3, RATE, "too-many-channels", r"a\.wav has 3 channels, expected 1 to 2"),
        (
            {"min_rate_hz": 8000},
            1,
            7999,
            "bad-rate",
            r"a\.wav has a sample rate of 7999 Hz, expected 8000 to 768000 Hz",
        ),
        ({"max_rate_hz": 48000}, 1, 48001, "bad-rate", r"of 48001 Hz, expected 1000 to 48000 Hz"),
    ],
)
def test_layouts_beyond_the_limits(settings, n_channels, rate_hz, code, match, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(np.zeros(99 * n_channels), n_channels=n_channels, rate_hz=rate_hz))
    with pytest.raises(AudioError, match=match) as caught:
        drain(path, AudioLimits(**settings))
    assert caught.value.code == code
    assert caught.value.hint.startswith("the header may be damaged")


def test_limits_themselves_are_allowed(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(np.zeros(3 * RATE), n_channels=3))
    limits = AudioLimits(max_channels=3, min_rate_hz=RATE, max_rate_hz=RATE, max_duration_s=1.0)
    assert drain(path, limits) == RATE
    path.write_bytes(wav_bytes(np.zeros(3 * RATE + 3), n_channels=3))
    with pytest.raises(AudioError, match=r"lasts 1\.00 s, as its header says, expected at most 1 s"):
        drain(path, limits)


def test_limits_may_be_wider_than_usual(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(np.zeros(100 * RATE), n_channels=100, rate_hz=900))
    wide = AudioLimits(max_channels=100, min_rate_hz=900)
    assert drain(path, wide) == RATE * RATE // 900


def test_too_long_by_the_header_is_refused_before_anything_is_decoded(tmp_path):
    # there is no audio to decode behind this header
    path = tmp_path / "promise.flac"
    path.write_bytes(flac_header(rate_hz=48000, n_channels=8, n_frames=2**36 - 1))
    match = r"promise\.flac lasts 1431655\.77 s, as its header says, expected at most 3600 s"
    with pytest.raises(AudioError, match=match) as caught:
        drain(path, AudioLimits(max_duration_s=3600))
    assert caught.value.code == "too-long"
    assert caught.value.hint == "raise the limit on the duration, or cut the recording into pieces"
    with pytest.raises(AudioError, match="holds 0 frames"):
        drain(path, AudioLimits())


@pytest.mark.parametrize(("suffix", "change"), [(".flac", without_length), (".mp3", without_xing)])
def test_too_long_without_a_promise_is_refused_while_decoding(suffix, change, tmp_path):
    path = tmp_path / f"a{suffix}"
    good(suffix, change)(path)
    blocks = []
    match = rf"a\{suffix} lasts longer than 3\.5 s, expected at most 3\.5 s"
    with (
        pytest.raises(AudioError, match=match) as caught,
        open_audio(path, sample_rate=RATE, limits=AudioLimits(max_duration_s=3.5)) as reader,
    ):
        for block in reader:
            blocks.append(len(block))
    assert caught.value.code == "too-long"
    assert sum(blocks) == 3 * RATE
    assert drain(path, AudioLimits(max_duration_s=6)) >= 5 * RATE


def test_a_header_without_bounds_is_no_promise(tmp_path):
    path = tmp_path / "centuries.rf64"
    good(".rf64", promise_centuries)(path)
    assert drain(path, AudioLimits(max_duration_s=5)) == 5 * RATE
    with pytest.raises(AudioError, match="expected at most 4 s"):
        drain(path, AudioLimits(max_duration_s=4))


@pytest.mark.parametrize("n_channels", [1024, 65535])
def test_channels_are_counted_before_any_block_is_made(n_channels, tmp_path, monkeypatch):
    path = tmp_path / "wide.wav"
    data = bytearray(wav_bytes(np.zeros(RATE)))
    data[22:24] = struct.pack("<H", n_channels)
    data[32:34] = struct.pack("<H", 2 * n_channels % 2**16)
    path.write_bytes(data)
    monkeypatch.setattr("numpy.full", lambda *_, **__: pytest.fail("a block was made"))
    with pytest.raises(AudioError, match="1024 channels, expected|Too many channels"):
        drain(path, AudioLimits())


def test_read_audio_keeps_the_limits(write_tone):
    limits = AudioLimits(max_duration_s=0.5)
    with pytest.raises(AudioError, match=r"tone\.wav lasts 1\.00 s"):
        read_audio(write_tone(), sample_rate=RATE, limits=limits)
    assert len(read_audio(write_tone(), sample_rate=RATE, limits=dataclasses.replace(limits, max_duration_s=1))) == RATE


def test_messages_call_the_recording_what_they_are_told(write_tone, tmp_path):
    with open_audio(write_tone(), sample_rate=RATE, name="standard input") as reader:
        assert reader.info.path == "standard input"
    with (
        pytest.raises(AudioError, match=r"^standard input does not exist"),
        open_audio(tmp_path / "nowhere", sample_rate=RATE, name="standard input"),
    ):
        pass
