import io
import struct

import numpy as np
import pytest
import soundfile

from compactcli.audio import open_audio, read_audio
from compactcli.audio.chain import ChainedDecoder
from compactcli.audio.pages import find_streams

RATE = 48000


def checksum(data):
    """Of an Ogg page, bit by bit, as RFC 3533 says."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def page(content=b"", *, begins=False, ends=False, serial=1):
    """An Ogg page."""
    lengths = bytes([*[255] * (len(content) // 255), len(content) % 255])
    head = b"OggS\0" + bytes([2 * begins + 4 * ends]) + struct.pack("<qII", 0, serial, 0)
    tail = bytes([len(lengths)]) + lengths + content
    return head + struct.pack("<I", checksum(head + bytes(4) + tail)) + tail


HEAD = page(b"OpusHead" + bytes(11), begins=True)
SECOND, END = page(b"OpusHead" + bytes(11), begins=True, serial=2), page(bytes(9), ends=True)
SKELETON = page(b"fishead\0" + bytes(56), begins=True, serial=3)
PICTURES = page(b"\x80theora" + bytes(35), begins=True, serial=3)


WHOLE, CUT, MORE = None, "does not end with a whole last page", "more follows behind the end"


@pytest.mark.parametrize(
    ("parts", "streams"),
    [
        pytest.param([HEAD, page(bytes(600)), END], [(0, 3, WHOLE)], id="one"),
        pytest.param([HEAD, page(bytes(600)), page()], [(0, 3, CUT)], id="one without an end"),
        pytest.param([HEAD, END, HEAD, END], [(0, 2, WHOLE), (2, 4, WHOLE)], id="two"),
        pytest.param([HEAD, page(bytes(600)), HEAD, END], [(0, 2, CUT), (2, 4, WHOLE)], id="the first never ended"),
        pytest.param([HEAD, END[:-1], HEAD, END], [(0, 2, CUT), (2, 4, WHOLE)], id="the end is cut"),
        pytest.param([HEAD, END, page()], [(0, 3, MORE)], id="more of the same number"),
        pytest.param([HEAD, END, page(serial=9)], [(0, 3, MORE)], id="more of another number"),
        pytest.param([HEAD, END, b"junk"], [(0, 3, MORE)], id="junk behind"),
        pytest.param([HEAD, END, b"junk", HEAD, END], [(0, 3, MORE), (3, 5, WHOLE)], id="junk between"),
        pytest.param(
            [HEAD, SECOND, page(), END, page(serial=2), HEAD, END], [(0, 5, WHOLE), (5, 7, WHOLE)], id="two at a time"
        ),
        pytest.param([HEAD, SKELETON, SECOND, page(), END], [(0, 5, WHOLE)], id="another kind between two"),
        pytest.param([HEAD, PICTURES, END, HEAD, END], [(0, 3, WHOLE), (3, 5, WHOLE)], id="films"),
        pytest.param([HEAD, PICTURES, END, page(serial=3)], [(0, 4, WHOLE)], id="a film that ends with a picture"),
        pytest.param([SKELETON, HEAD, END, SKELETON, HEAD, END], [(1, 3, WHOLE), (4, 6, WHOLE)], id="another first"),
        pytest.param([HEAD, END, SKELETON, page(serial=3), HEAD, END], [(0, 2, WHOLE), (4, 6, WHOLE)], id="no sound"),
        pytest.param([HEAD, page(), page(bytes(20), begins=True), END], [(0, 4, WHOLE)], id="a flag turned over"),
        pytest.param([HEAD, END, b"?" * 70000, HEAD, END], [(0, 3, MORE), (3, 5, WHOLE)], id="behind damage"),
        pytest.param([HEAD, page(bytes(600))[:100], HEAD, END], [(0, 2, CUT), (2, 4, WHOLE)], id="the first was cut"),
        pytest.param([HEAD, END, b"?" * (2**12 - 2), HEAD], [(0, 3, MORE), (3, 4, CUT)], id="a name in two pieces"),
        pytest.param([HEAD, page(), b"OggS"], [(0, 3, CUT)], id="cut in a header"),
        pytest.param([SKELETON, page()], [(0, 2, WHOLE)], id="no sound at all"),
        pytest.param([b"OggS" * 9], [(0, 1, WHOLE)], id="no pages"),
    ],
)
def test_where_streams_lie_and_how_they_end(parts, streams):
    positions = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).tolist()
    found = find_streams(io.BytesIO(b"".join(parts)))
    assert [(item.start, item.stop) for item in found] == [(positions[a], positions[b]) for a, b, _ in streams]
    for item, (_, _, damage) in zip(found, streams, strict=True):
        assert (item.damage is None) == (damage is WHOLE)
        assert damage is WHOLE or damage in item.damage


@pytest.fixture
def encode(tmp_path, noise):
    """The bytes of an Ogg file with so many seconds of noise, and what they decode to."""

    def make(duration_s, subtype):
        path = tmp_path / "one.ogg"
        soundfile.write(path, noise(duration_s, sample_rate=RATE), RATE, format="OGG", subtype=subtype)
        return path.read_bytes(), soundfile.read(path, dtype="float32")[0]

    return make


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_streams_are_heard_one_after_another(subtype, encode, tmp_path):
    pieces = [encode(duration_s, subtype) for duration_s in (2.3, 0.4, 1.1, 3.0)]
    path = tmp_path / "programme.ogg"
    path.write_bytes(b"".join(data for data, _ in pieces))
    expected = np.concatenate([samples for _, samples in pieces])
    with open_audio(path, sample_rate=RATE) as reader:
        assert reader.info.n_frames == len(expected)
        assert (reader.info.container, reader.info.encoding, reader.info.n_channels) == ("OGG", subtype, 1)
        np.testing.assert_array_equal(np.concatenate(list(reader)), expected)
    assert reader.damage is None


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_damage_in_one_stream_does_not_cost_the_next(subtype, encode, tmp_path):
    (first, _), (second, samples) = encode(4.0, subtype), encode(2.0, subtype)
    path = tmp_path / "damaged.ogg"
    path.write_bytes(first[: len(first) // 2] + second)
    with open_audio(path, sample_rate=RATE) as reader:
        heard = np.concatenate(list(reader))
    assert reader.damage == "its Ogg stream does not end with a whole last page"
    assert 0.8 * RATE < len(heard) - len(samples) < 2.5 * RATE
    np.testing.assert_array_equal(heard[-len(samples) :], samples)


@pytest.mark.parametrize(("one", "other"), [("VORBIS", "OPUS"), ("OPUS", "VORBIS"), ("OPUS", "OPUS")])
def test_a_stream_whose_beginning_is_damaged_is_missed_aloud(one, other, encode, tmp_path):
    (first, samples), (second, _) = encode(2.0, one), encode(1.0, other)
    path = tmp_path / "damaged.ogg"
    path.write_bytes(first + b"X" + second[1:])
    with open_audio(path, sample_rate=RATE) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader))[: len(samples)], samples)
    assert reader.damage == "more follows behind the end of its Ogg stream, which was not heard"
    path.write_bytes(first + b"X" + second[1:] + encode(1.0, one)[0])
    with open_audio(path, sample_rate=RATE) as reader:
        assert sum(map(len, reader)) == len(samples) + RATE
    assert reader.damage == "more follows behind the end of its Ogg stream, which was not heard"


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_damage_at_the_beginning_that_moves_all_times_is_said(subtype, encode, tmp_path):
    data, samples = encode(4.0, subtype)
    path = tmp_path / "damaged.ogg"
    third = [at for at in range(len(data)) if data.startswith(b"OggS", at)][2]
    path.write_bytes(data[: third + 500] + bytes([data[third + 500] ^ 255]) + data[third + 501 :])
    with open_audio(path, sample_rate=RATE) as reader:
        assert sum(map(len, reader)) < len(samples) - RATE // 10
    assert "times count from the first sound that could be decoded" in reader.damage


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_what_begins_with_a_stream_of_another_kind_is_heard(subtype, encode, tmp_path):
    data, samples = encode(2.0, subtype)
    path = tmp_path / "skeleton.ogg"
    path.write_bytes(2 * (SKELETON + data))
    with open_audio(path, sample_rate=RATE) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader)), np.tile(samples, 2))
    assert reader.damage is None


def test_no_time_is_made_up_for_a_stream_that_follows():
    class Unknown(io.BytesIO):
        samplerate, channels, frames, format, subtype, extra_info, damage = RATE, 1, 2**63 - 1, "OGG", "OPUS", "", None

    stereo = Unknown()
    stereo.channels = 2
    decoder = ChainedDecoder([Unknown, lambda: stereo])
    assert decoder.damage == "another stream follows, which was not heard: it has 48000 Hz and 2 channels"


def test_a_failing_disk_is_no_reason_to_stop(encode, tmp_path, monkeypatch):
    def fail(file):
        raise OSError(5, "Input/output error")

    data, samples = encode(1.0, "VORBIS")
    path = tmp_path / "a.ogg"
    path.write_bytes(data)
    monkeypatch.setattr("compactcli.audio.decoding.find_streams", fail)
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), samples)
