import io
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damaged import CASES, cut, good, info_list, spoil, wav_bytes, with_chunk, without_length, without_xing
from fake_engine import FakeEngine
from own_process import TESTS, run_python

from compactcli.audio import open_audio
from compactcli.errors import AudioError
from compactcli.inference import classify_recording
from compactcli.process import OWN_PROCESS

RATE = 16000


def drain(path, *, sample_rate=RATE):
    with open_audio(path, sample_rate=sample_rate) as reader:
        blocks = list(reader)
    return np.concatenate(blocks), reader


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("case", [case for case in CASES if case.status != "error"], ids=lambda case: case.name)
def test_what_decodes_is_analysed(case, tmp_path):
    case.make(tmp_path / case.name)
    waveform, reader = drain(tmp_path / case.name)
    record = classify_recording(tmp_path / case.name, FakeEngine())

    assert (record.status, record.error_code) == (case.status, case.code)
    assert re.search(case.match, record.error_message or "")
    assert case.decoded_s[0] <= record.duration <= case.decoded_s[1]
    assert len(waveform) == reader.n_samples == round(record.duration * RATE)
    assert len(record.scenes) == 3


@pytest.mark.parametrize("case", [case for case in CASES if case.status == "error"], ids=lambda case: case.name)
def test_what_does_not_decode_is_refused(case, tmp_path):
    path = tmp_path / case.name
    case.make(path)
    with pytest.raises(AudioError, match=case.match) as caught:
        drain(path)
    assert caught.value.code == case.code
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_the_table_names_each_file_once():
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_folder_of_everything_gives_the_right_record_for_each(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    cases = sorted((case for case in CASES if case.name != "missing.wav"), key=lambda case: case.name)
    for case in cases:
        case.make(folder / case.name)
    # a folder counts as what it is, whatever its name says
    (folder / "zz-folder.wav").mkdir()
    good(".wav")(folder / "zz-folder.wav" / "last.wav")
    result = run_python(TESTS / "fake_compact.py", "detect", "--format", "jsonl", folder, limit_s=300)
    records = [json.loads(line) for line in result.stdout.splitlines()]

    expected = [(case.name, case.status, case.code) for case in cases] + [("last.wav", "ok", None)]
    found = [(Path(record["path"]).name, record["status"], (record["error"] or {}).get("code")) for record in records]
    assert found == expected
    assert result.returncode == 1
    for record, case in zip(records, cases, strict=False):
        if case.status == "error":
            assert (record["duration"], record.get("events")) == (None, None)
        else:
            assert case.decoded_s[0] - 0.001 <= record["duration"] <= case.decoded_s[1] + 0.001

    lines = result.stderr.decode().splitlines()
    talk = [line for line in lines if not line.startswith(("error: ", "warning: "))]
    assert sum(line.startswith("error: ") for line in lines) == sum(case.status == "error" for case in cases)
    assert sum(line.startswith("warning: ") for line in lines) == sum(case.status == "partial" for case in cases)
    # neither a traceback nor what libmpg123 has to say
    assert all(line.startswith(f"{len(records)} files: ") for line in talk)


@pytest.mark.parametrize("size", [8, 0xFFFFFFF8])
def test_names_of_chunks_in_the_audio_are_sound(size, tmp_path):
    path = tmp_path / "a.wav"
    data = wav_bytes(np.zeros(20000))
    words = (b"LIST" + b"INFO" * 3 + b"JUNK") * 2000
    path.write_bytes(data[:44] + words)
    with_chunk(b"LIST", info_list(size), at=12)(path)
    waveform, reader = drain(path)
    assert reader.damage is None
    np.testing.assert_array_equal(waveform, np.frombuffer(words, "<i2") / np.float32(32768))


# ---------------------------------------------------------------- how much is kept


@pytest.mark.parametrize("fraction", [0.5, 0.98])
@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.w64", "a.rf64"])
def test_cut_file_keeps_every_sample_before_the_cut(name, fraction, write_recording, noise):
    truth = noise(20.0)
    path = write_recording(name, truth)
    n_lost = path.stat().st_size * (1 - fraction) / 2
    waveform, reader = drain(cut(path, fraction))
    # the containers end with no more than 64 bytes of their own
    assert 20 * RATE - n_lost - 2 <= len(waveform) <= 20 * RATE - n_lost + 32
    np.testing.assert_allclose(waveform, truth[: len(waveform)], atol=1e-4)
    assert reader.decoded_s == len(waveform) / RATE
    assert reader.damage


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


def not_finite(value):
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[int(3.25 * RATE)] = value
    return waveform


def test_sample_below_every_number(write_recording):
    with pytest.raises(AudioError, match=r"a\.wav has a sample of -inf at 3\.250 s, expected finite"):
        drain(write_recording("a.wav", not_finite(-math.inf), subtype="FLOAT"))


def test_loud_channels_do_not_overflow_unnoticed(write_recording):
    stereo = np.stack([not_finite(3e38), not_finite(3e38)], axis=1)
    with pytest.raises(AudioError, match=r"a sample of inf at 3\.250 s"):
        drain(write_recording("a.wav", stereo, subtype="FLOAT"))


def test_sample_that_is_no_number_in_one_channel(write_recording):
    stereo = np.stack([not_finite(0.0), not_finite(math.nan)], axis=1)
    path = write_recording("a.wav", stereo, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"at 3\.250 s"):
        drain(path)


def test_file_below_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(AudioError, match=r"below\.wav does not exist, expected a recording") as caught:
        drain(tmp_path / "file" / "below.wav")
    assert caught.value.code == "missing"


def test_folder(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match="is a folder, expected a recording in a regular file") as caught:
        drain(tmp_path / "folder.wav")
    assert caught.value.code == "unreadable"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_forbidden_file(write_tone):
    path = write_tone()
    path.chmod(0)
    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\)"):
        drain(path)


def test_unreadable_file(write_tone, monkeypatch):
    path = write_tone()

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\)") as caught:
        drain(path)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("make", [lambda path: (path / ".AppleDouble").mkdir(), lambda path: (path / "._").touch()])
def test_what_a_mac_left_in_the_working_folder_is_named(make, write_recording, noise, tmp_path, monkeypatch):
    path = write_recording("a.mp3", noise())
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    match = r"is read as another file because of '\.AppleDouble' or '\._' in this folder, expected neither there"
    with pytest.raises(AudioError, match=match) as caught:
        drain(path)
    assert (caught.value.code, caught.value.hint) == ("misread", "run compact from another folder")
    monkeypatch.chdir("/")
    assert len(drain(path)[0]) == RATE


def test_name_with_a_null_byte():
    with pytest.raises(AudioError, match="cannot be read"):
        drain("a\0b.wav")


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


@pytest.fixture
def command_line(monkeypatch):
    """As in a process of the command line, which standard error belongs to."""
    monkeypatch.setattr(OWN_PROCESS, "is_set", lambda: True)


@pytest.mark.parametrize("owned", [False, True])
def test_a_library_leaves_the_standard_error_of_its_process_alone(owned, write_recording, noise, monkeypatch, capfd):
    path = write_recording("a.mp3", noise(2.0))
    read = soundfile.SoundFile.read

    def read_while_others_write(self, *arguments, **options):
        os.write(2, b"from another thread\n")
        return read(self, *arguments, **options)

    monkeypatch.setattr(OWN_PROCESS, "is_set", lambda: owned)
    monkeypatch.setattr(soundfile.SoundFile, "read", read_while_others_write)
    assert drain(path)[1].n_samples == 2 * RATE
    assert ("from another thread" in capfd.readouterr().err) == (not owned)


@pytest.mark.parametrize("damage", [False, True])
def test_the_mp3_decoder_stays_silent_and_stderr_is_given_back(damage, write_recording, noise, capfd, command_line):
    path = write_recording("a.mp3", noise(5.0))
    if damage:
        cut(path, 0.5)
    drain(path)
    assert capfd.readouterr().err == ""
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_mp3_without_a_standard_error(write_recording, noise, monkeypatch, command_line):
    def refuse(_descriptor):
        raise OSError(9, "Bad file descriptor")

    path = write_recording("a.mp3", noise(2.0))
    monkeypatch.setattr(os, "dup", refuse)
    assert drain(path)[1].n_samples == 2 * RATE
