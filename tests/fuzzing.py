"""Recordings mutated at random, the same ones for the same seed, and their way through the command line.

``python -m fuzzing FOLDER SEED FIRST LAST`` analyses the cases FIRST to LAST - 1 of a seed with the fake engine, as
``compact detect`` does, and leaves in FOLDER the mutated files, the records and, in ``now``, the case at work.
"""

import io
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from containers import container_bytes

RATE = 16000
# name, seconds, channels, container, encoding: what people have, what else libsndfile takes for audio, what it refuses
SOURCES = (
    ("pcm16.wav", 0.3, 2, "WAV", "PCM_16"),
    ("pcm24.wav", 0.3, 1, "WAV", "PCM_24"),
    ("float.wav", 0.3, 1, "WAV", "FLOAT"),
    ("adpcm.wav", 0.6, 1, "WAV", "MS_ADPCM"),
    ("gsm.wav", 0.6, 1, "WAV", "GSM610"),
    ("pcm16.rf64", 0.3, 1, "RF64", "PCM_16"),
    ("pcm16.w64", 0.3, 1, "W64", "PCM_16"),
    ("pcm16.flac", 0.8, 1, "FLAC", "PCM_16"),
    ("pcm24.flac", 0.5, 2, "FLAC", "PCM_24"),
    ("vorbis.ogg", 0.8, 1, "OGG", "VORBIS"),
    ("opus.opus", 0.8, 1, "OGG", "OPUS"),
    ("layer3.mp3", 1.0, 1, "MP3", "MPEG_LAYER_III"),
    ("pcm16.aiff", 0.3, 1, "AIFF", "PCM_16"),
    ("pcm16.caf", 0.3, 1, "CAF", "PCM_16"),
    ("alac.caf", 0.8, 1, "CAF", "ALAC_16"),
    ("pcm16.au", 0.3, 1, "AU", "PCM_16"),
    ("chunks.wav", 0.3, 1, "WAV", "PCM_16"),
    ("ima.wav", 0.6, 1, "WAV", "IMA_ADPCM"),
    ("g721.au", 0.6, 1, "AU", "G721_32"),
    ("double.aiff", 0.3, 1, "AIFF", "DOUBLE"),
    ("pcm16.nist", 0.3, 1, "NIST", "PCM_16"),
    ("pcm16.voc", 0.3, 1, "VOC", "PCM_16"),
    ("float.ircam", 0.3, 1, "IRCAM", "FLOAT"),
    ("pcm16.svx", 0.3, 1, "SVX", "PCM_16"),
    ("pcm24.paf", 0.3, 1, "PAF", "PCM_24"),
    ("pcm16.sds", 0.3, 1, "SDS", "PCM_16"),
    ("pcm16.htk", 0.3, 1, "HTK", "PCM_16"),
    ("pcm16.avr", 0.3, 1, "AVR", "PCM_16"),
    ("float.mat4", 0.3, 1, "MAT4", "FLOAT"),
    ("float.mat5", 0.3, 1, "MAT5", "FLOAT"),
    ("aac.m4a", 1.0, 1, ".m4a", None),
    ("opus.webm", 1.0, 1, ".webm", None),
    ("flac.mka", 0.5, 2, ".mka", None),
    ("wavpack.wv", 0.5, 1, ".wv", None),
)
NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 8,
    2**32 - 1,
    2**40,
    2**63 - 1,
)
HEADER_BYTES = 128
_SPLIT = 16  # bytes of a header that a splice keeps at least


def make_sources():
    """One short healthy recording of each format, as bytes by name; the same bytes in every run."""
    generator = np.random.default_rng(11)
    sources = {}
    for name, duration_s, n_channels, container, encoding in SOURCES:
        seconds = np.arange(round(duration_s * RATE)) / RATE
        tone = 0.4 * np.sin(2 * np.pi * 440 * seconds)[:, None]
        waveform = tone + 0.05 * generator.standard_normal((len(seconds), n_channels))
        if encoding is None:
            sources[name] = container_bytes(container, waveform, RATE)
            continue
        file = io.BytesIO()
        soundfile.write(file, waveform, RATE, format=container, subtype=encoding)
        sources[name] = _without_chance(bytearray(file.getvalue()))
    sources["chunks.wav"] = _with_chunks(sources["chunks.wav"])
    return sources


def _without_chance(data):
    """Take out what libsndfile makes anew in each run: serial numbers of Ogg streams, dates of a peak or a text."""
    if data[:4] == b"OggS":
        for start in ogg_pages(data):
            data[start + 14 : start + 18] = b"comp"
        return mend_ogg(data)
    if data[:6] == b"MATLAB":
        data[:124] = re.sub(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", b"2020-01-01 00:00:00", bytes(data[:124]))
    peak = data.find(b"PEAK")
    if peak >= 0:
        data[peak + 12 : peak + 16] = bytes(4)
    return bytes(data)


def _with_chunks(data):
    """A WAV with what recorders and editors add: titles, marks, loops, a broadcast description."""
    bodies = {
        b"LIST": b"INFOIART" + struct.pack("<I", 4) + b"Ann\0ICMT" + struct.pack("<I", 4) + b"Dawn",
        b"cue ": struct.pack("<IIIIIII", 1, 1, 100, 0x61746164, 0, 0, 100),
        b"smpl": struct.pack("<9I", 0, 0, 62500, 60, 0, 0, 0, 1, 0) + struct.pack("<6I", 0, 0, 10, 2000, 0, 0),
        b"bext": b"Dawn chorus".ljust(602, b"\0"),
    }
    chunks = b"".join(name + struct.pack("<I", len(body)) + body for name, body in bodies.items())
    whole = data[:36] + chunks + data[36:]
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def _crc_table():
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_CRC_TABLE = _crc_table()


def ogg_pages(data):
    """Positions of the pages of an Ogg file."""
    start, found = data.find(b"OggS"), []
    while start >= 0:
        found.append(start)
        start = data.find(b"OggS", start + 4)
    return found


def mend_ogg(data):
    """Give every Ogg page the checksum of what it holds now, so that its damage reaches the decoder behind."""
    data = bytearray(data)
    for start in ogg_pages(data):
        n_segments = data[start + 26] if start + 26 < len(data) else 0
        body = start + 27 + n_segments
        stop = min(len(data), body + sum(data[start + 27 : body]))
        if start + 26 > len(data):
            break
        data[start + 22 : start + 26] = bytes(4)
        checksum = 0
        for byte in data[start:stop]:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ _CRC_TABLE[checksum >> 24 ^ byte]
        data[start + 22 : start + 26] = struct.pack("<I", checksum)
    return bytes(data)


# ---------------------------------------------------------------- mutations: bytes in, bytes out


def _range(data, generator, most=2000):
    start = int(generator.integers(len(data) + 1))
    return start, min(len(data), start + int(generator.integers(1, most)))


def truncate(data, generator, _others):
    return data[: int(generator.integers(len(data) + 1))]


def flip_bits(data, generator, _others):
    changed = bytearray(data)
    for position in generator.integers(len(data), size=generator.integers(1, 33)) if data else ():
        changed[position] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def flip_header(data, generator, others):
    return flip_bits(data[:HEADER_BYTES], generator, others) + data[HEADER_BYTES:]


def zero_range(data, generator, _others):
    start, stop = _range(data, generator)
    return data[:start] + bytes(stop - start) + data[stop:]


def noise_range(data, generator, _others):
    start, stop = _range(data, generator)
    return data[:start] + generator.bytes(stop - start) + data[stop:]


def repeat_range(data, generator, _others):
    start, stop = _range(data, generator)
    at = int(generator.integers(len(data) + 1))
    return data[:at] + data[start:stop] * int(generator.integers(1, 4)) + data[at:]


def drop_range(data, generator, _others):
    start, stop = _range(data, generator)
    return data[:start] + data[stop:]


def splice(data, generator, others):
    """The header of one file before the body of another."""
    body = others[int(generator.integers(len(others)))]
    first = int(generator.integers(_SPLIT, 4 * HEADER_BYTES))
    return data[:first] + body[int(generator.integers(len(body))) if generator.integers(2) else first :]


def change_number(data, generator, _others):
    """Another number in the header: a size, a rate, a count."""
    size = int(generator.choice([1, 2, 4, 8]))
    at = int(generator.integers(HEADER_BYTES if generator.integers(4) else len(data) + 1))
    order = ("little", "big")[int(generator.integers(2))]
    number = NUMBERS[int(generator.integers(len(NUMBERS)))] % 256**size
    return data[:at] + number.to_bytes(size, order) + data[at + size :]


def append(data, generator, others):
    return data + others[int(generator.integers(len(others)))][: int(generator.integers(1, 5000))]


MUTATIONS: tuple[Callable, ...] = (
    truncate,
    flip_bits,
    flip_header,
    zero_range,
    noise_range,
    repeat_range,
    drop_range,
    splice,
    change_number,
    append,
)


def make_case(sources, seed, number):
    """One mutated file.

    Returns:
        Its name, which tells how it was made, and its bytes.
    """
    generator = np.random.default_rng([seed, number])
    name = list(sources)[number % len(sources)]
    others = list(sources.values())
    data, steps = sources[name], []
    for _ in range(int(generator.integers(1, 4))):
        mutation = MUTATIONS[int(generator.integers(len(MUTATIONS)))]
        data = mutation(data, generator, others)
        steps.append(mutation.__name__)
    if generator.integers(2) and data.startswith(b"OggS"):
        data = mend_ogg(data)
        steps.append("mend")
    return f"{number:06d}-{'-'.join(steps)}-{name}", data


def main(folder, seed, first, last):
    """Analyse some cases; see the module."""
    from fake_engine import FakeEngine

    from compactcli import inference
    from compactcli.cli.app import main as run_compact
    from compactcli.inference import recordings

    sources = make_sources()
    cases = folder / "cases"
    cases.mkdir()
    for number in range(first, last):
        name, data = make_case(sources, seed, number)
        (cases / name).write_bytes(data)

    open_audio = recordings.open_audio

    def noted(path, **options):
        (folder / "now").write_text(Path(path).name, encoding="utf-8")
        return open_audio(path, **options)

    recordings.open_audio = noted
    inference.load_model = lambda *_words, **_options: FakeEngine()
    words = ["detect", "--format", "jsonl", "--quiet", "--output", folder / "records.jsonl", cases]
    return run_compact([str(word) for word in words])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
