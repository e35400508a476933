import importlib.util
import re

import numpy as np
import pytest
from containers import KINDS, container_bytes

from compactcli.audio import AudioLimits, containers, decode_only, open_audio, read_audio
from compactcli.errors import AudioError

RATE = 16000
# before the sound and after it; raw AAC has no place to say how much of it is the codec's own
PADDING_S = {".aac": 0.15}


@pytest.fixture
def write(tmp_path):
    def write_kind(suffix, waveform, *, rate=44100, name="a", **options):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(container_bytes(suffix, waveform, rate, **options))
        return path

    return write_kind


def burst(rate, *, n_channels=1):
    """Two seconds, of which the second one is a tone, loudest in the first channel."""
    seconds = np.arange(2 * rate) / rate
    tone = np.where(seconds >= 1, np.sin(2 * np.pi * 440 * seconds), 0)
    return tone[:, None] * np.linspace(0.8, 0.2, n_channels)


def shifted(mp4, n_bytes):
    """The file without its first atom, with its table of positions as if that many bytes preceded it."""
    first = int.from_bytes(mp4[:4], "big")
    table = mp4.index(b"stco") + 8
    count = int.from_bytes(mp4[table : table + 4], "big")
    positions = np.frombuffer(mp4, ">u4", count, table + 4).astype(np.int64) + n_bytes - first
    return mp4[first : table + 4] + positions.astype(">u4").tobytes() + mp4[table + 4 + 4 * count :]


@pytest.mark.parametrize("suffix", KINDS)
def test_sound_is_where_and_as_loud_as_it_was(suffix, write):
    rate = 48000 if suffix == ".webm" else 44100
    path = write(suffix, burst(rate), rate=rate)
    with open_audio(path, sample_rate=RATE) as reader:
        waveform = np.concatenate(list(reader))
    padding_s = PADDING_S.get(suffix, 0.03)
    assert (reader.info.sample_rate, reader.info.n_channels, reader.damage) == (rate, 1, None)
    assert -0.01 < reader.decoded_s - 2 < padding_s
    loud = np.flatnonzero(np.abs(waveform) > 0.2) / RATE
    assert -0.06 < loud[0] - 1 < padding_s
    assert 0.7 < np.abs(waveform).max() < 0.95


def test_channels_are_averaged(write):
    path = write(".mka", burst(8000, n_channels=2), rate=8000)
    with open_audio(path, sample_rate=8000) as reader:
        waveform = np.concatenate(list(reader))
    assert (reader.info.n_channels, reader.info.container, reader.info.encoding) == (2, "Matroska", "FLAC")
    np.testing.assert_allclose(waveform, burst(8000, n_channels=2).mean(axis=1), atol=1e-4)


def test_what_lies_in_a_file_does_not_depend_on_its_name(write):
    path = write(".m4a", burst(44100))
    assert len(read_audio(path.rename(path.with_suffix(".wav")), sample_rate=RATE)) > 2 * RATE - 1


@pytest.mark.parametrize("room", [b"\0\0\0\x08wide", b"\0\0\x01\0free" + bytes(248), b"\0\0\0\x0cskip" + bytes(4)])
def test_room_in_front_of_a_film(room, write):
    path = write(".m4a", burst(44100), options={"movflags": "+faststart"})
    path.write_bytes(room + shifted(path.read_bytes(), len(room)))
    waveform = read_audio(path, sample_rate=RATE)
    assert np.flatnonzero(np.abs(waveform) > 0.2)[0] / RATE == pytest.approx(1, abs=0.06)


def test_the_sound_of_a_film(write):
    path = write(".mka", burst(8000), rate=8000, pictures=10)
    with open_audio(path, sample_rate=RATE) as reader:
        assert sum(map(len, reader)) == 2 * RATE
    assert reader.info.n_frames is None
    silent = write(".m4a", np.zeros((0, 1)), pictures=10, name="silent")
    with pytest.raises(AudioError, match="silent.m4a is MP4 without a sound track, expected a recording") as caught:
        read_audio(silent, sample_rate=RATE)
    assert caught.value.code == "not-audio"


def test_no_decoder_of_pictures_is_used():
    names = containers._audio_decoders().split(",")
    assert {"aac", "opus", "flac", "wavpack"} <= set(names)
    assert {"png", "mjpeg", "mpeg4", "h264"}.isdisjoint(names)


@pytest.mark.parametrize("suffix", [".mka", ".m4a", ".webm"])
def test_sound_after_a_gap_is_not_heard_too_early(suffix, write):
    rate = 48000
    path = write(suffix, burst(rate), rate=rate, gap=3 * rate)
    with open_audio(path, sample_rate=RATE) as reader:
        n_samples = sum(map(len, reader))
    assert abs(n_samples / RATE - 1) < 0.15  # whole packets
    assert re.match(r"the decoder gave up after \d\.\d\d s \([23]\.\d\d s of sound are missing\)", reader.damage)


@pytest.mark.parametrize("suffix", [".mka", ".m4a", ".webm"])
def test_sound_that_begins_late_is_whole(suffix, write):
    path = write(suffix, burst(48000), rate=48000, late=3 * 48000)
    with open_audio(path, sample_rate=RATE) as reader:
        assert sum(map(len, reader)) / RATE == pytest.approx(2, abs=0.05)
    assert reader.damage is None


@pytest.mark.parametrize("suffix", [".mka", ".webm"])
def test_sound_that_begins_late_and_is_cut_is_damaged(suffix, write):
    noise = 0.1 * np.random.default_rng(0).standard_normal((96000, 1))
    path = cut(write(suffix, noise, rate=48000, late=3 * 48000), 0.6)
    with open_audio(path, sample_rate=RATE) as reader:
        assert 0 < sum(map(len, reader)) < 1.6 * RATE
    assert re.search(r"of the 2\.\d\d s promised", reader.damage)


def test_a_cut_wavpack_is_damaged(write):
    path = cut(write(".wv", burst(44100) + 0.1 * np.random.default_rng(0).standard_normal((88200, 1))), 0.6)
    with open_audio(path, sample_rate=RATE) as reader:
        assert 0 < sum(map(len, reader)) < 2 * RATE
    assert reader.damage is not None


def test_sound_of_a_kind_that_nobody_knows(write):
    path = write(".mka", burst(8000), rate=8000)
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_BARK"))
    with pytest.raises(AudioError, match="a.mka is Matroska with sound that av cannot decode, expected") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.code == "not-audio"


def test_without_the_package_a_file_says_what_it_needs(write, monkeypatch):
    path = write(".m4a", burst(44100))
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "av" else found(name))
    with pytest.raises(AudioError, match="a.m4a is MP4, which needs the package av, expected WAV, FLAC") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.code == "not-audio"
    assert "pip install av" in caught.value.hint


@pytest.mark.parametrize("movflags", ["+frag_keyframe+empty_moov", "+frag_keyframe+empty_moov+default_base_moof"])
def test_what_is_written_while_it_is_sent(movflags, write):
    path = write(".m4a", burst(44100), options={"movflags": movflags})
    with open_audio(path, sample_rate=RATE) as reader:
        assert reader.info.n_frames is None or reader.info.n_frames > 0
        assert 0 <= sum(map(len, reader)) / RATE - 2 < 0.05
    assert reader.damage is None


@pytest.mark.parametrize("n_channels", [6, 8])
def test_surround_sound(n_channels, write):
    path = write(".mka", np.repeat(burst(8000), n_channels, axis=1) * np.eye(n_channels)[0], rate=8000)
    with open_audio(path, sample_rate=8000) as reader:
        waveform = np.concatenate(list(reader))
    assert reader.info.n_channels == n_channels
    np.testing.assert_allclose(waveform, burst(8000)[:, 0] / n_channels, atol=1e-4)


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


@pytest.mark.parametrize(
    ("suffix", "options", "damage"),
    [
        (".m4a", {"movflags": "+faststart"}, r"the decoder gave up after 1\.\d\d s \(invalid data found when"),
        (".mka", {}, r"1\.\d\d s of the 2\.00 s promised could be decoded"),
    ],
)
def test_what_comes_before_a_cut_is_read(suffix, options, damage, write, capfd):
    # a tone from the start, so that half of the bytes are half of the time
    path = cut(write(suffix, np.roll(burst(44100), 44100) + 0.5 * burst(44100), options=options), 0.7)
    with open_audio(path, sample_rate=RATE) as reader:
        n_samples = sum(map(len, reader))
    assert pytest.approx(n_samples / RATE, abs=0.01) == reader.decoded_s
    assert 1 < reader.decoded_s < 1.9
    assert reader.damage is not None
    assert re.match(damage, reader.damage)
    assert abs(decode_only(path) / 44100 - reader.decoded_s) <= 1
    assert capfd.readouterr() == ("", "")


def test_an_index_that_was_never_written(write, capfd):
    path = cut(write(".m4a", burst(44100)), 0.6)
    with pytest.raises(AudioError, match=r"a.m4a begins as MP4 does and cannot be read \(invalid data found") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.code == "bad-header"
    assert "never stopped" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_header_without_sound(write):
    path = write(".m4a", burst(44100), options={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(AudioError) as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.code in ("unreadable", "no-samples")


@pytest.mark.parametrize("length", [0, 63, 5000])
def test_aac_may_begin_with_a_tag(length, write):
    path = write(".aac", burst(44100))
    plain = read_audio(path, sample_rate=RATE)
    size = bytes([0, 0, length >> 7, length & 0x7F])
    path.write_bytes(b"ID3\4\0\0" + size + bytes(length) + path.read_bytes())
    with open_audio(path, sample_rate=RATE) as reader:
        waveform = np.concatenate(list(reader))
    assert (reader.info.container, reader.damage) == ("AAC", None)
    np.testing.assert_array_equal(waveform, plain)


def test_a_rate_that_changes_on_the_way(tmp_path):
    path = tmp_path / "a.aac"
    first, second = (container_bytes(".aac", burst(rate), rate) for rate in (44100, 32000))
    path.write_bytes(first + second)
    with open_audio(path, sample_rate=RATE) as reader:
        n_samples = sum(map(len, reader))
    assert abs(n_samples / RATE - 2) < 0.2
    assert re.match(r"the decoder gave up after 2\.\d\d s \(its rate or its channels change\)", reader.damage)


def test_limits_hold(write):
    with pytest.raises(AudioError, match="lasts 2.00 s, as its header says, expected at most 1 s"):
        read_audio(write(".m4a", burst(44100)), sample_rate=RATE, limits=AudioLimits(max_duration_s=1))
    with pytest.raises(AudioError, match="lasts longer than 1 s, expected at most 1 s"):
        read_audio(write(".aac", burst(44100)), sample_rate=RATE, limits=AudioLimits(max_duration_s=1))
    with pytest.raises(AudioError, match="has 2 channels, expected 1 to 1"):
        read_audio(write(".m4a", burst(44100, n_channels=2)), sample_rate=RATE, limits=AudioLimits(max_channels=1))


@pytest.mark.parametrize("name", ["http:a", "pipe:0", "a\nb", "caf\udce9", "%d", "-"])
def test_names_are_names(name, write, monkeypatch, tmp_path):
    path = write(".mka", burst(8000), rate=8000).rename(tmp_path / name)
    assert len(read_audio(path, sample_rate=RATE)) == 2 * RATE
    monkeypatch.chdir(tmp_path)
    assert len(read_audio(name, sample_rate=RATE)) == 2 * RATE


@pytest.mark.parametrize(
    "text",
    ["free text", "The free text", "The wide sea", "MAC addresses", "citywide news", "\x7fELF", "GIF89a", "%PDF-1.7"],
)
def test_other_files_are_not_taken_for_containers(text):
    assert containers.find_container(text.encode().ljust(20)) is None


def test_what_ffmpeg_says_is_left_to_the_program(write, monkeypatch):
    asked = []
    monkeypatch.setattr("av.logging.set_level", asked.append)
    read_audio(write(".m4a", burst(44100)), sample_rate=RATE)
    assert asked == []
