"""Every way in which a recording can be bad, made in code from a good one, and what has to become of it.

``CASES`` is the one table: the tests of the library, of the command line and of whole folders read it.
"""

import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
DURATION_S = 5.0  # of every good recording
ENCODINGS = {".opus": ("OGG", "OPUS"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", None)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One bad recording, or a good one that looks bad.

    Args:
        name: File name, unique in the table; its suffix is only what a user would see.
        make: Writes the file.
        status: What the record has to say.
        code: Its error code; None exactly when the status is ``ok``.
        match: Regular expression that its message has to match.
        decoded_s: Least and most seconds that decode.
    """

    name: str
    make: Callable[[Path], None]
    status: str
    code: str | None = None
    match: str = ""
    decoded_s: tuple[float, float] = (DURATION_S, DURATION_S)


def sound(duration_s=DURATION_S):
    """A tone in noise: it compresses to about the same number of bytes everywhere."""
    generator = np.random.default_rng(3)
    seconds = np.arange(round(duration_s * RATE)) / RATE
    noise = 0.02 * generator.standard_normal(len(seconds))
    return (0.3 * np.sin(2 * np.pi * 440 * seconds) + noise).astype(np.float32)


def wav_bytes(waveform, *, n_channels=1, rate_hz=RATE, data_size=None):
    data = (waveform * 32767).astype("<i2").tobytes()
    size = len(data) if data_size is None else data_size
    layout = struct.pack("<HHIIHH", 1, n_channels, rate_hz, rate_hz * 2 % 2**32, 2 * n_channels % 2**16, 16)
    # a writer that was stopped leaves 0 bytes of data in a RIFF chunk of 8 bytes
    riff_size = 8 if data_size == 0 else min(36 + size, 2**32 - 1)
    riff = b"RIFF" + struct.pack("<I", riff_size) + b"WAVE"
    return riff + b"fmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size) + data


# ---------------------------------------------------------------- damage to a file that exists


def cut(path, fraction):
    """Keep the first part."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def spoil(path, n_bytes=2000):
    """Overwrite bytes in the middle with noise."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + n_bytes] = np.random.default_rng(1).bytes(n_bytes)
    path.write_bytes(data)
    return path


def without_length(path):
    """A FLAC as an encoder writes it into a pipe: STREAMINFO says 0 samples, which means unknown."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


def without_xing(path):
    """An MP3 without the frame that says how long it is."""
    data = path.read_bytes()
    path.write_bytes(data[data.find(data[:2], 4) :])
    return path


def overwritten(name, data, *, behind=4):
    """A file whose bytes are others, from so many behind the beginning of a chunk's name."""

    def change(path):
        content = bytearray(path.read_bytes())
        at = content.index(name) + behind
        content[at : at + len(data)] = data
        path.write_bytes(content)
        return path

    return change


# an RF64 whose header claims 2**63 - 1 bytes and frames, and one as it is before its writer comes back to the header
promise_centuries = overwritten(b"ds64", struct.pack("<QQQ", *3 * [2**63 - 1]), behind=8)
without_sizes = overwritten(b"ds64", bytes(24), behind=8)


def with_data_size(size):
    """A WAV whose header says another size of its sound alone; the form around it keeps the right one."""
    return overwritten(b"data", struct.pack("<I", size))


def with_chunk(name, body, *, at):
    """A WAV with one more chunk, in front of its format (12), of its audio (36) or at its end (None)."""

    def change(path):
        data = path.read_bytes()
        chunk = name + struct.pack("<I", len(body)) + body
        data = data[:at] + chunk + (b"" if at is None else data[at:])
        path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
        return path

    return change


def twice(path):
    """The file and, behind it, itself, as ``cat`` joins files."""
    path.write_bytes(2 * path.read_bytes())
    return path


def chained(*, n_channels=1):
    """Two Ogg streams one after the other, as radio programmes are kept: the second has a number of its own."""

    def change(path):
        data = path.read_bytes()
        backwards = np.repeat(sound()[::-1, None], n_channels, axis=1)
        soundfile.write(path, backwards, RATE, format="OGG", subtype=ENCODINGS[path.suffix][1])
        path.write_bytes(data + path.read_bytes())
        return path

    return change


def begun_again(path):
    """An Ogg stream and the first page, and half of the second, of another."""
    data = path.read_bytes()
    path.write_bytes(data + data[:60])
    return path


def followed_by(data):
    def change(path):
        path.write_bytes(path.read_bytes() + data)
        return path

    return change


def info_list(size):
    """Titles and comments with one entry of some claimed size; of nearly 4 GiB, it leads libsndfile back to itself."""
    return b"INFOIART" + struct.pack("<I", size) + b"Somebody" + b"note" + struct.pack("<I", size) + bytes(40)


# ---------------------------------------------------------------- ways to make a file


def good(suffix, *changes):
    """Encode a sound as the suffix says, then damage it."""

    def make(path):
        container, encoding = ENCODINGS.get(suffix, (suffix[1:].upper(), None))
        soundfile.write(path, sound(), RATE, format=container, subtype=encoding)
        for change in changes:
            change(path)

    return make


def written(data):
    return lambda path: path.write_bytes(data)


def with_sample(value):
    def make(path):
        waveform = sound()
        waveform[int(3.25 * RATE)] = value
        soundfile.write(path, waveform, RATE, format="WAV", subtype="FLOAT")

    return make


def cut_at(fraction):
    return lambda path: cut(path, fraction)


def flac_header(*, rate_hz, n_channels, n_frames):
    """The start of a FLAC stream and then nothing."""
    packed = rate_hz << 44 | (n_channels - 1) << 41 | 15 << 36 | n_frames
    return b"fLaC\x80\0\0\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)


def dangling_link(path):
    path.symlink_to(path.with_name("gone.wav"))


def endless_link(path):
    path.symlink_to(path)


M4A = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + b"\0\0\x08\0moov" + bytes(2040)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + bytes(2000)
HALF_S = (0.4 * DURATION_S, 0.6 * DURATION_S)
WHOLE_S = (DURATION_S, DURATION_S)


def ok(name, make, **details):
    return Case(name=name, make=make, status="ok", **details)


def partial(name, make, match, decoded_s=HALF_S):
    return Case(name=name, make=make, status="partial", code="damaged", match=match, decoded_s=decoded_s)


def refused(name, make, code, match):
    return Case(name=name, make=make, status="error", code=code, match=match)


CASES = (
    # healthy, whatever a naive reader makes of them
    *(ok(f"good{suffix}", good(suffix)) for suffix in (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".caf")),
    ok("flac-of-unknown-length.flac", good(".flac", without_length)),
    # the encoder's delay and padding stay in, at most three MPEG frames
    ok("mp3-without-length.mp3", good(".mp3", without_xing), decoded_s=(DURATION_S, DURATION_S + 3 * 1152 / RATE)),
    *(
        ok(f"wav-size-{size:08x}.wav", written(wav_bytes(sound(), data_size=size)))
        for size in (0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF)
    ),
    ok("centuries.rf64", good(".rf64", promise_centuries)),
    *(
        ok(f"list-{size:08x}-at-{at}.wav", good(".wav", with_chunk(b"LIST", info_list(size), at=at)))
        for size in (8, 0xFFFFFFF7, 0xFFFFFFF8)
        for at in (12, 36, None)
    ),
    ok("list.rf64", good(".rf64", with_chunk(b"LIST", info_list(0xFFFFFFF8), at=None))),
    ok("flac-in-disguise.mp3", good(".flac")),
    # a recorder that lost its power, and a writer that never knew
    ok("without-size.wav", good(".wav", with_data_size(0))),
    ok("without-sizes.rf64", good(".rf64", without_sizes)),
    ok("caf-of-unknown-length.caf", good(".caf", overwritten(b"data", struct.pack(">q", -1)))),
    *(
        ok(f"followed-by-{name}.wav", good(".wav", followed_by(data)))
        for name, data in {
            "id3": b"ID3\x03\0\0\0\0\x08\0" + bytes(70000),
            "little": b"\1\2\3\4" * 100,
            "list": b"LIST" + struct.pack("<I", 4) + b"adtl",
            "a-cut-chunk": b"iXML" + struct.pack("<I", 70010) + bytes(70000),
        }.items()
    ),
    ok("followed-by-id3v1.mp3", good(".mp3", followed_by(b"TAG" + bytes(125)))),
    ok("followed-by-id3.mp3", good(".mp3", followed_by(b"ID3\x03\0\0\0\0\x08\0" + bytes(70000)))),
    *(
        ok(f"{name}{suffix}", good(suffix, change), decoded_s=(2 * DURATION_S, 2 * DURATION_S))
        for name, change in {"chained": chained(), "twice": twice}.items()
        for suffix in (".ogg", ".opus")
    ),
    ok("one-sample.wav", written(wav_bytes(np.ones(1))), decoded_s=(1 / RATE, 1 / RATE)),
    ok("silence.wav", written(wav_bytes(np.zeros(5 * RATE)))),
    # damaged, with good audio before the damage
    partial("cut.wav", good(".wav", cut_at(0.5)), "the file ends .* before its audio does"),
    partial("cut.aiff", good(".aiff", cut_at(0.5)), "the file ends .* before its audio does"),
    partial("cut.w64", good(".w64", cut_at(0.5)), "the file ends .* before its audio does"),
    partial("cut.rf64", good(".rf64", cut_at(0.5)), "frames promised"),
    partial("cut.flac", good(".flac", cut_at(0.5)), "the decoder gave up after"),
    partial("cut.mp3", good(".mp3", cut_at(0.5)), "promised could be decoded"),
    partial("cut.ogg", good(".ogg", cut_at(0.7)), "whole last page", decoded_s=(0.2 * DURATION_S, 0.8 * DURATION_S)),
    partial("cut.opus", good(".opus", cut_at(0.7)), "whole last page", decoded_s=(0.2 * DURATION_S, 0.8 * DURATION_S)),
    partial("spoilt.flac", good(".flac", spoil), "the decoder gave up after"),
    partial("spoilt.mp3", good(".mp3", spoil), "the decoder gave up|promised could be", decoded_s=(0.4, DURATION_S)),
    partial("spoilt.ogg", good(".ogg", spoil), "promised could be decoded", decoded_s=(0.4, DURATION_S)),
    partial("spoilt.opus", good(".opus", spoil), "promised could be decoded", decoded_s=(0.4, DURATION_S)),
    partial("cut.caf", good(".caf", cut_at(0.5)), "the file ends .* before its audio does"),
    # good audio behind what the header knows of
    partial("stale-size.wav", good(".wav", with_data_size(20000)), "promises 20000 bytes .* heard too", WHOLE_S),
    partial("twice.wav", good(".wav", twice), "another recording follows behind its end", WHOLE_S),
    partial(
        "two-pieces.wav",
        good(".wav", followed_by(b"LIST\4\0\0\0adtldata\x10\0\0\0" + bytes(16))),
        "a second piece of sound, of 16 bytes",
        WHOLE_S,
    ),
    partial("twice.mp3", good(".mp3", twice), "another recording follows behind the end that", WHOLE_S),
    partial(
        "tagged-twice.mp3",
        good(".mp3", lambda path: followed_by(b"ID3\x03\0\0\0\0\x02\0" + bytes(256) + path.read_bytes())(path)),
        "another recording follows behind the end that",
        WHOLE_S,
    ),
    partial("stereo-after.ogg", good(".ogg", chained(n_channels=2)), "another stream follows .* 2 channels", WHOLE_S),
    partial("headless-after.opus", good(".opus", begun_again), "another stream .* cannot be read", WHOLE_S),
    partial("text-after.ogg", good(".ogg", followed_by(b"and so on " * 9)), "more follows behind the end", WHOLE_S),
    # nothing to analyse
    refused("empty.wav", written(b""), "empty-file", r"is empty \(0 bytes\)"),
    refused("text.wav", written(b"These are notes, not sounds.\n" * 40), "not-audio", "not audio that can be recog"),
    refused("random.wav", written(np.random.default_rng(0).bytes(5000)), "not-audio", "not audio that can be recog"),
    refused("zeros.wav", written(bytes(5000)), "not-audio", "not audio that can be recognised"),
    refused("mp3-header-then-nonsense.mp3", written(b"\xff\xfb\x90\x64" + bytes(3000)), "not-audio", "not audio"),
    refused("id3-then-nothing.mp3", written(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(3000)), "not-audio", "not audio"),
    refused("phone.m4a", written(M4A), "not-audio", "is MP4 without a sound track"),
    refused("browser.webm", written(WEBM), "bad-header", "begins as Matroska does and cannot be read"),
    refused(
        "no-frames.wav",
        written(wav_bytes(np.zeros(0))),
        "no-samples",
        "holds 0 frames at [0-9]+ Hz, expected at least one",
    ),
    refused("wav-header-only.wav", written(wav_bytes(np.zeros(9))[:36]), "bad-header", "header that makes no sense"),
    refused("flac-without-info.flac", written(b"fLaC" + bytes(50)), "bad-header", "header that makes no sense"),
    refused("rate-0.wav", written(wav_bytes(sound(), rate_hz=0)), "bad-header", "no usable sample rate"),
    refused("rate-4e9.wav", written(wav_bytes(sound(), rate_hz=4_000_000_000)), "bad-header", "no usable sample rate"),
    refused("rate-999.wav", written(wav_bytes(sound(), rate_hz=999)), "bad-rate", "999 Hz, expected 1000 to 768000"),
    refused("channels-0.wav", written(wav_bytes(sound(), n_channels=0)), "bad-header", "or channel count"),
    refused("channels-65.wav", written(wav_bytes(np.zeros(65), n_channels=65)), "too-many-channels", "65 channels"),
    refused(
        "channels-1024.wav",
        written(wav_bytes(sound(), n_channels=1024)),
        "too-many-channels",
        "1024 channels, expected 1 to 64",
    ),
    refused("not-a-number.wav", with_sample(math.nan), "not-finite", r"a sample of nan at 3\.250 s, expected finite"),
    refused("infinite.wav", with_sample(math.inf), "not-finite", r"a sample of inf at 3\.250 s, expected finite"),
    refused("overflowing.wav", with_sample(3e38), "not-finite", r"a sample of 3\S+ at 3\.250 s, expected finite"),
    refused("flac-header-only.flac", good(".flac", cut_at(0.002)), "unreadable", "at least some good audio"),
    refused(
        "flac-that-promises.flac",
        written(flac_header(rate_hz=48000, n_channels=8, n_frames=2**36 - 1)),
        "no-samples",
        "holds 0 frames at [0-9]+ Hz, expected at least one sample",
    ),
    # no file that can be read
    refused("missing.wav", lambda path: None, "missing", "does not exist"),
    refused("dangling.wav", dangling_link, "missing", "does not exist"),
    refused("endless.wav", endless_link, "unreadable", "cannot be read"),
    refused("pipe.wav", os.mkfifo, "unreadable", "is a device or a pipe"),
    refused("device.wav", lambda path: path.symlink_to("/dev/zero"), "unreadable", "is a device or a pipe"),
)
