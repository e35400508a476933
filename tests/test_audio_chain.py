import io
import struct

import numpy as np
import pytest
import soundfile

from compactcli.audio import open_audio, read_audio
from compactcli.audio.pages import stream_starts

RATE = 48000


def page(content=b"", *, begins=False, ends=False):
    """An Ogg page; checksums are not looked at."""
    lengths = bytes([*[255] * (len(content) // 255), len(content) % 255])
    flags = 2 * begins + 4 * ends
    return b"OggS\0" + bytes([flags]) + struct.pack("<qIIIB", 0, 1, 0, 0, len(lengths)) + lengths + content


HEAD = page(b"OpusHead" + bytes(11), begins=True)


@pytest.mark.parametrize(
    ("parts", "indices"),
    [
        pytest.param([HEAD, page(bytes(600)), page(ends=True)], [0], id="one"),
        pytest.param([HEAD, page(bytes(600), ends=True), HEAD, page()], [0, 2], id="two"),
        pytest.param([HEAD, page(bytes(600)), HEAD, page()], [0, 2], id="the first never ended"),
        pytest.param([HEAD, HEAD, page(), page(ends=True), HEAD, HEAD, page()], [0, 4], id="two at a time"),
        pytest.param([HEAD, page(), page(bytes(20), begins=True), page()], [0], id="a flag turned over"),
        pytest.param([HEAD, page(), b"?" * 70000, HEAD, page()], [0, 3], id="behind damage"),
        pytest.param([HEAD, page(bytes(600))[:100], HEAD, page()], [0, 2], id="the first was cut"),
        pytest.param([HEAD, page(), b"?" * (2**12 - 2), HEAD], [0, 3], id="a name in two pieces"),
        pytest.param([HEAD, page(), b"OggS"], [0], id="cut in a header"),
        pytest.param([b"OggS" * 9], [0], id="no pages"),
    ],
)
def test_where_streams_begin(parts, indices):
    positions = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    assert stream_starts(io.BytesIO(b"".join(parts))) == positions[indices].tolist()


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
    assert reader.damage == "the Ogg stream does not end with a whole last page"
    assert 0.8 * RATE < len(heard) - len(samples) < 2.5 * RATE
    np.testing.assert_array_equal(heard[-len(samples) :], samples)


def test_a_failing_disk_is_no_reason_to_stop(encode, tmp_path, monkeypatch):
    def fail(file):
        raise OSError(5, "Input/output error")

    data, samples = encode(1.0, "VORBIS")
    path = tmp_path / "a.ogg"
    path.write_bytes(data)
    monkeypatch.setattr("compactcli.audio.decoding.stream_starts", fail)
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), samples)
