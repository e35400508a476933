import errno
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from damaged import ENCODINGS, cut, good

from compactcli.audio import AudioLimits, open_audio, read_audio, spool_audio
from compactcli.errors import AudioError

RATE = 16000
SUFFIXES = [".wav", ".flac", ".aiff", *ENCODINGS]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, to see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pipe_gives_what_the_file_gives(suffix, tmp_path, temporary):
    path = tmp_path / f"a{suffix}"
    good(suffix)(path)
    code = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1], 'rb'), sys.stdout.buffer)"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
        assert not process.stdout.seekable()
        with spool_audio(process.stdout) as spooled:
            waveform = read_audio(spooled, sample_rate=RATE)
    assert (waveform == read_audio(path, sample_rate=RATE)).all()
    assert list(temporary.iterdir()) == []


def test_a_stream_that_ends_early_is_a_damaged_recording(tmp_path):
    path = tmp_path / "a.flac"
    good(".flac")(path)
    cut(path, 0.5)
    with (
        spool_audio(io.BytesIO(path.read_bytes())) as spooled,
        open_audio(spooled, sample_rate=RATE, name="standard input") as reader,
    ):
        assert sum(len(block) for block in reader) == reader.n_samples > RATE
        assert "the decoder gave up" in reader.damage


def test_a_stream_that_is_no_audio_is_called_by_its_name():
    with (
        pytest.raises(AudioError, match=r"^standard input is not audio that can be recognised") as caught,
        spool_audio(io.BytesIO(b"notes of the day\n" * 50)) as spooled,
        open_audio(spooled, sample_rate=RATE, name="standard input"),
    ):
        pass
    assert caught.value.code == "not-audio"


def test_only_the_owner_may_read_what_was_spooled():
    with spool_audio(io.BytesIO(b"RIFF")) as path:
        assert path.read_bytes() == b"RIFF"
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()


def test_nothing_is_left_when_the_caller_fails(temporary):
    with pytest.raises(KeyboardInterrupt), spool_audio(io.BytesIO(b"RIFF")):
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_the_limit_is_allowed_and_a_byte_more_is_not(size, temporary):
    data = os.urandom(size)
    with spool_audio(io.BytesIO(data), AudioLimits(max_spooled_bytes=size)) as path:
        assert path.read_bytes() == data
    stream = io.BytesIO(data + b"!" + bytes(2**20))
    with (
        pytest.raises(AudioError, match=f"standard input holds more than {size} bytes, expected at most") as caught,
        spool_audio(stream, AudioLimits(max_spooled_bytes=size)),
    ):
        pass
    assert caught.value.code == "too-large"
    assert "write it into a file" in caught.value.hint
    assert stream.tell() == size + 1
    assert list(temporary.iterdir()) == []


def test_a_stream_without_end_is_left_at_the_limit():
    with (
        Path("/dev/zero").open("rb", buffering=0) as endless,
        pytest.raises(AudioError, match="the recorder holds more than 5000000 bytes"),
        spool_audio(endless, AudioLimits(max_spooled_bytes=5_000_000), name="the recorder"),
    ):
        pass


class Broken:
    def __init__(self, answer):
        self.answer = answer

    def read(self, _size):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def closed():
    stream = io.BytesIO(b"RIFF")
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("stream", "code", "match"),
    [
        (io.BytesIO(), "empty-file", r"standard input is empty \(0 bytes\), expected a recording"),
        (closed(), "unreadable", "standard input cannot be read .*closed file.*, expected a recording"),
        (Broken(OSError(errno.EISDIR, "x")), "unreadable", r"standard input cannot be read \(Is a directory\)"),
        (Broken(OSError("cable pulled")), "unreadable", r"standard input cannot be read \(cable pulled\)"),
        (Broken(None), "unreadable", r"standard input cannot be read \(it does not wait for data\)"),
    ],
)
def test_streams_that_give_nothing(stream, code, match, temporary):
    with pytest.raises(AudioError, match=match) as caught, spool_audio(stream):
        pass
    assert caught.value.code == code
    assert caught.value.hint
    assert list(temporary.iterdir()) == []


def test_without_a_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    match = r"cannot be copied into a temporary file \(No such file or directory\), expected room for it"
    with pytest.raises(AudioError, match=match) as caught, spool_audio(io.BytesIO(b"RIFF")):
        pass
    assert caught.value.code == "no-space"


def test_a_full_disk(monkeypatch, temporary):
    class FullFile(io.FileIO):
        def write(self, _data):
            raise OSError(errno.ENOSPC, "x")

    monkeypatch.setattr(Path, "open", lambda self, mode="r": FullFile(self, mode))
    with (
        pytest.raises(AudioError, match=r"temporary file \(No space left on device\)") as caught,
        spool_audio(io.BytesIO(b"RIFF")),
    ):
        pass
    assert "TMPDIR" in caught.value.hint
    assert list(temporary.iterdir()) == []
