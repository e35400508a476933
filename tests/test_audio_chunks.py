"""Headers of WAV and CAF that are wrong about where the sound ends; whole files of that kind are in ``damaged.py``."""

import io
import struct

import numpy as np
import pytest
import soundfile

from compactcli.audio import decoding, open_audio, read_audio
from compactcli.audio.chunks import WHOLE, View, find_view, is_unknown_size
from compactcli.errors import AudioError

RATE = 16000
NOISE = np.random.default_rng(5).integers(1, 255, 200_000, dtype=np.uint8).tobytes()
HEARD_TOO = r"promises \d+ bytes of sound, and \d+ more follow, which were heard too"


def chunk(name, body=b"", *, size=None, order="<"):
    return name + struct.pack(f"{order}I", len(body) if size is None else size) + body


def layout(*, rate=RATE, n_bytes=2, kind=1, order="<"):
    return chunk(
        b"fmt ", struct.pack(f"{order}HHIIHH", kind, 1, rate, rate * n_bytes, n_bytes, 8 * n_bytes), order=order
    )


def ds64(data_size, n_frames=0):
    return chunk(b"ds64", struct.pack("<QQQI", 0, data_size, n_frames, 0))


def wav(*chunks, form=b"RIFF", order="<"):
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack(f"{order}I", len(body)) + body


def view(data):
    return find_view(io.BytesIO(data))


@pytest.mark.parametrize(
    ("size", "unknown"),
    [
        *((size, True) for size in (0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFDB)),
        *((size, False) for size in (0, 2**31, 3 * 2**30, 0x7FFF0000)),
    ],
)
def test_sizes_that_mean_nothing(size, unknown):
    assert is_unknown_size(size) is unknown


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        wav(),
        wav(layout()),
        wav(layout(), b"dat"),
        wav(layout(), chunk(b"data", NOISE[:1000])),
        wav(layout(), chunk(b"data", NOISE[:1000], size=2000)),
        # nothing was recorded
        wav(layout(), chunk(b"data")),
        wav(layout(), chunk(b"data"), chunk(b"LIST", b"INFO")),
        wav(layout(), chunk(b"data"), bytes(100_000)),
        wav(*[chunk(b"note")] * 1001, layout(), chunk(b"data", NOISE, size=100)),
        wav(ds64(1000), layout(), chunk(b"data", NOISE[:1000], size=2**32 - 1), form=b"RF64"),
        b"caff\0\1\0\0",
        b"caff\0\1\0\0" + b"desc" + struct.pack(">Q", 32) + bytes(32),
        b"caff\0\1\0\0" + b"desc" + struct.pack(">Q", 2**64 - 2) + bytes(32),
        b"FORM" + bytes(100),
    ],
)
def test_what_is_shown_as_it_is(data):
    assert view(data) == WHOLE


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "behind",
    [
        b"",
        NOISE[:5000],
        chunk(b"LIST", b"INFO"),
        chunk(b"wxyz", NOISE),
        # cut on the way to its end, which only a name that is known can be
        chunk(b"iXML", NOISE, size=300_000),
        b"ID3\3" + NOISE,
        b"PK\3\4" + NOISE,
        b"notes, a line each\r\n" * 9000,
        bytes(100_000),
        b"\xff" * 3_000_000,
    ],
)
def test_what_follows_the_sound_may_be_no_sound(behind, padded, tmp_path):
    sound = chunk(b"data", NOISE[:32001]) + b"\0" * padded
    data = wav(layout(n_bytes=1), sound, behind)
    if behind:
        assert view(data) == View(size=44 + 32001)
    (tmp_path / "a.wav").write_bytes(data)
    with open_audio(tmp_path / "a.wav", sample_rate=RATE) as reader:
        assert (sum(map(len, reader)), reader.damage) == (32001, None)


@pytest.mark.parametrize(
    "data",
    [
        wav(layout(), chunk(b"data", NOISE, size=1000)),
        wav(layout(), chunk(b"data", NOISE, size=1001)),
        wav(layout(order=">"), chunk(b"data", NOISE, size=1000, order=">"), form=b"RIFX", order=">"),
        wav(ds64(1000), layout(), chunk(b"data", NOISE, size=2**32 - 1), form=b"RF64"),
        wav(ds64(1000), layout(), chunk(b"data", NOISE, size=7), form=b"RF64"),
        wav(ds64(1000), layout(), chunk(b"data", NOISE, size=7), form=b"BW64"),
        # as a name that nobody knows, too long for the file
        wav(layout(), chunk(b"data", NOISE[:1000]), chunk(b"wxyz", NOISE, size=300_000)),
        # a third of a second of it is 2,667 bytes
        wav(layout(rate=8000, n_bytes=1), chunk(b"data", NOISE[:20_000], size=1000)),
    ],
)
def test_sound_behind_the_end(data, tmp_path):
    (tmp_path / "a.wav").write_bytes(data)
    with open_audio(tmp_path / "a.wav", sample_rate=8000) as reader:
        n_samples = sum(map(len, reader))
    assert n_samples > 8000 * 2
    with pytest.raises(AudioError, match=HEARD_TOO):
        read_audio(tmp_path / "a.wav", sample_rate=8000)


@pytest.mark.parametrize(
    ("chunks", "form"),
    [
        ([layout(), chunk(b"data", NOISE, size=0)], b"RIFF"),
        ([layout(), chunk(b"data", NOISE, size=0x7FFFF000)], b"RIFF"),
        ([ds64(0), layout(), chunk(b"data", NOISE, size=0)], b"RF64"),
        ([ds64(0), layout(), chunk(b"data", NOISE, size=500)], b"RF64"),
        ([layout(), chunk(b"data", NOISE, size=2**32 - 1)], b"RF64"),
        ([ds64(0), layout(), chunk(b"data", NOISE, size=0)], b"BW64"),
        ([layout(), chunk(b"data", NOISE, size=2**32 - 1)], b"BW64"),
        ([ds64(len(NOISE)), layout(), chunk(b"data", NOISE, size=2**32 - 1)], b"BW64"),
    ],
)
def test_headers_that_were_never_finished(chunks, form, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(*chunks, form=form))
    assert len(read_audio(tmp_path / "a.wav", sample_rate=RATE)) == len(NOISE) // 2


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("file_format", ["WAV", "WAVEX"])
def test_bytes_that_are_no_floating_point_samples_are_not_heard(kind, file_format, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(RATE, 0.1), RATE, format=file_format, subtype=kind)
    path.write_bytes(path.read_bytes() + NOISE)
    assert len(read_audio(path, sample_rate=RATE)) == RATE
    samples = np.full(RATE * 2, 0.3, "<f4" if kind == "FLOAT" else "<f8")
    samples[1::2] = -0.2
    soundfile.write(path, np.full(RATE, 0.1), RATE, format=file_format, subtype=kind)
    path.write_bytes(path.read_bytes() + samples.tobytes())
    with open_audio(path, sample_rate=RATE) as reader:
        assert sum(map(len, reader)) == RATE * 3
    assert reader.damage is not None


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (wav(ds64(5 * 2**30), layout(), chunk(b"data", size=0), form=b"RF64"), "RF64"),
        (wav(ds64(0), layout(), chunk(b"data", size=2**32 - 1), form=b"RF64"), "RF64"),
        (wav(layout(), chunk(b"data", size=0)), "RF64"),
        (wav(layout(), chunk(b"data", size=2**32 - 1)), "RF64"),
        # what is left of five GiB in 32 bits
        (wav(layout(), chunk(b"data", size=2**30)), "RF64"),
    ],
)
def test_sound_of_more_than_four_gib(head, container, tmp_path):
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(head + NOISE)
        for position in (len(head) + 2**30, len(head) + 5 * 2**30 - len(NOISE)):
            file.seek(position)
            file.write(NOISE)
    with open_audio(path, sample_rate=RATE) as reader:
        assert (reader.info.n_frames, reader.info.container) == (5 * 2**29, container)
    with decoding.open_decoder(path, "long.wav") as decoder:
        decoder._data.seek(5 * 2**30 + 36 * (head[:4] == b"RIFF") + len(head) - 10)
        buffer = bytearray(20)
        assert decoder._data.readinto(buffer) == 10
        assert bytes(buffer[:10]) == NOISE[-10:]


def test_what_no_form_of_wav_holds_is_said(tmp_path):
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(wav(layout(order=">"), chunk(b"data", size=0, order=">"), form=b"RIFX", order=">") + NOISE)
        file.truncate(5 * 2**30)
    with decoding.open_decoder(path, "long.wav") as decoder:
        assert decoder.damage == "what lies behind its first 4 GiB was not heard"


def test_a_long_wav_that_was_cut(tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(wav(layout(), chunk(b"data", NOISE, size=3 * 2**30)))
    with open_audio(path, sample_rate=RATE) as reader:
        assert sum(map(len, reader)) == len(NOISE) // 2
    assert reader.damage == f"the file ends {3 * 2**30 - len(NOISE)} bytes before its audio does"


@pytest.fixture
def mp3(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, RATE * 2), RATE, format="MP3")
    return path


def ape(size):
    return b"APETAGEX" + struct.pack("<II", 2000, size) + bytes(16) + bytes(size)


@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125), ape(900), ape(100) + b"TAG" + bytes(125)])
def test_tags_between_joined_mp3(tag, mp3):
    whole = mp3.read_bytes()
    mp3.write_bytes(whole + tag)
    assert abs(len(read_audio(mp3, sample_rate=RATE)) - 2 * RATE) < 2000
    mp3.write_bytes(whole + tag + whole)
    with pytest.raises(AudioError, match="another recording follows behind the end that its header promises"):
        read_audio(mp3, sample_rate=RATE)


@pytest.mark.parametrize("rest", [b"\xff" * 40_000, b"\xff\xe0" * 20_000, NOISE, bytes(40_000)])
def test_what_follows_an_mp3_may_be_no_mp3(rest, mp3):
    mp3.write_bytes(mp3.read_bytes() + rest)
    assert abs(len(read_audio(mp3, sample_rate=RATE)) - 2 * RATE) < 2000


class Failing(io.BytesIO):
    """A file on a disk that fails from some read on."""

    def __init__(self, data, n_reads):
        super().__init__(data)
        self.n_reads = n_reads

    def read(self, *arguments):
        self.n_reads -= 1
        if self.n_reads < 0:
            raise OSError(5, "Input/output error")
        return super().read(*arguments)


def test_a_disk_that_fails_under_the_header_is_an_audio_error():
    with pytest.raises(AudioError, match=r"a\.wav is not audio|a\.wav has a header"):
        decoding._open_chunks("a.wav", Failing(wav(layout(), chunk(b"data", NOISE)), 0), is_wav=True)


def test_a_disk_that_fails_behind_the_end_says_nothing_of_it(mp3):
    data = decoding._NamelessBytes(Failing(2 * mp3.read_bytes(), 0), WHOLE)
    assert not data.goes_on_as_mp3()
