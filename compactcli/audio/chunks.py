"""Where the sound of WAV and CAF lies, which are made of chunks, and what to show a decoder where a header is wrong.

A recorder that lost its power leaves a header that promises nothing, or what it knew a while ago; a size of 32 bits
ends at 4 GiB; and files are joined as if they were text. libsndfile believes the header, or refuses the whole file for
what follows its sound.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

import numpy as np

Order = Literal["little", "big"]

_UNKNOWN_SIZE = 2**32 - 1
_UNKNOWN_CAF_SIZE = 2**64 - 1
# libsndfile counts the bytes of a WAV, but not of RF64, in 32 bits; headers have less than the rest
_LONGEST_WAV_BYTES = 2**32 - 2**20
# a header with more chunks is not looked through
_MAX_CHUNKS = 1000
# so little behind the sound may be anything: a third of a second, of what is recorded in few bytes
_SLACK_BYTES, _SLACK_S = 2**16, 1 / 3
# forms that hold a whole file, and the order of the bytes in their numbers
_RIFF: dict[bytes, Order] = {b"RIFF": "little", b"RF64": "little", b"RIFX": "big"}
# forms that libsndfile knows under another name
_RENAMED = {b"BW64": b"RF64"}
# tags that are no chunks, as programs for MP3 put them behind everything, and an archive
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"PK\x03\x04")
# chunks that hold no sound; where one of them is cut, it is a chunk all the same
_KNOWN_CHUNKS = frozenset(
    b"LIST|list|INFO|iXML|axml|aXML|bext|id3 |ID3 |_PMX|cue |plst|smpl|inst|fact|PEAK|DISP|JUNK|junk|PAD |FLLR|umid|"
    b"minf|elm1|regn|afsp|acid|strc|cart|chna|mext|qlty|link|levl|MD5 |CSET|wamd|guan|r64m".split(b"|")
)
_FLOAT_FORMAT, _EXTENSIBLE_FORMAT = 3, 0xFFFE
# levels of samples that were meant to be sound
_MAX_FLOAT = 1e4
_PIECE_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class View:
    """What a decoder shall see of a file.

    Args:
        start: Where the file seems to begin.
        size: Bytes that the file seems to have from there on, before ``inserted``; None for as many as it has.
        patches: Position, from the start on, to the bytes that seem to be there.
        inserted: Bytes that seem to follow the first ``INSERTED_AT``.
        damage: What is wrong with the recording, as a user shall read it; None when nothing is.
    """

    start: int = 0
    size: int | None = None
    patches: tuple[tuple[int, bytes], ...] = ()
    inserted: bytes = b""
    damage: str | None = None


WHOLE = View()
# behind the name and the kind of a RIFF file
INSERTED_AT = 12


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    size: int


@dataclass(frozen=True, kw_only=True)
class _Wav:
    """What the header of a WAV says."""

    form: bytes
    layout: bytes  # the content of ``fmt``
    long_sizes: _Chunk | None  # ``ds64``
    data: _Chunk
    promised: int | None  # bytes of sound, None where it does not know

    @property
    def order(self) -> Order:
        return _RIFF[self.form]


def is_unknown_size(n_bytes: int) -> bool:
    """Whether a size of 32 bits means that nobody knew it when the header was written.

    Streams say the largest number, SoX says 0x7FFFF000, both less what is lacking to whole frames or around the sound.
    """
    return n_bytes >= 0xFFFFFF00 or 0x7FFFEF00 <= n_bytes <= 0x7FFFFFFF


def say_cut(*, promised: int, found: int) -> str:
    """What is wrong with a file that holds fewer bytes of sound than its header promises."""
    return f"the file ends {promised - found} bytes before its audio does"


def find_view(file: IO[bytes]) -> View:
    """How to show a file to libsndfile; all of it as it is, unless it is a WAV or CAF whose chunks are understood.

    Args:
        file: Seekable; its position changes.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(12)
    form = _RENAMED.get(magic[:4], magic[:4])
    if form in _RIFF and magic[8:12] == b"WAVE":
        wav = _read_wav(file, n_bytes, form)
        view = WHOLE if wav is None else _view_wav(file, n_bytes, wav)
        if form == magic[:4] or any(position == 0 for position, _ in view.patches):
            return view
        return dataclasses.replace(view, patches=((0, form), *view.patches))
    if magic[:4] == b"caff":
        return _view_caf(file, n_bytes)
    return WHOLE


def _read_wav(file: IO[bytes], n_bytes: int, form: bytes) -> _Wav | None:
    long_sizes, layout, promised = None, b"", None
    for chunk in _chunks(file, 12, n_bytes, size_bytes=4, order=_RIFF[form]):
        if chunk.name == b"fmt ":
            layout = file.read(min(chunk.size, 40))
        elif chunk.name == b"ds64" and form == b"RF64":
            long_sizes = chunk
            # the size of the form, then that of the sound, which libsndfile believes whatever ``data`` says; 0 where
            # the writer never came back to it
            promised = int.from_bytes(file.read(16)[8:], "little") or None
        elif chunk.name == b"data":
            if long_sizes is None and chunk.size and not is_unknown_size(chunk.size):
                promised = chunk.size
            return _Wav(form=form, layout=layout, long_sizes=long_sizes, data=chunk, promised=promised)
    return None


def _view_wav(file: IO[bytes], n_bytes: int, wav: _Wav) -> View:
    start = wav.data.start
    found = n_bytes - start
    if wav.promised is None:
        if found <= 0 or (wav.data.size == 0 and _is_nothing(file, start, n_bytes, wav)):
            return WHOLE
        return _view_to_end(wav, n_bytes, damage=None)
    # libsndfile knows what to say of one that is cut
    if wav.promised >= found:
        return WHOLE
    stop = start + wav.promised
    follows = _sound_behind(file, stop, n_bytes, wav)
    if follows is not None:
        return View(size=stop, damage=follows)
    if _is_nothing(file, stop, n_bytes, wav):
        return View(size=stop)
    said = f"its header promises {wav.promised} bytes of sound, and {n_bytes - stop} more follow, which were heard too"
    return _view_to_end(wav, n_bytes, damage=said)


def _view_to_end(wav: _Wav, n_bytes: int, *, damage: str | None) -> View:
    """A WAV whose sound goes on to the end of the file."""
    found = n_bytes - wav.data.start
    unknown = (wav.data.start - 4, _UNKNOWN_SIZE.to_bytes(4, wav.order))
    n_frames = found // max(1, int.from_bytes(wav.layout[12:14], wav.order))
    if wav.form == b"RF64" and wav.long_sizes is not None:
        sizes = struct.pack("<QQQ", n_bytes - 8, found, n_frames)
        return View(patches=((wav.long_sizes.start, sizes), unknown), damage=damage)
    is_long = found > _LONGEST_WAV_BYTES
    if wav.form == b"RIFX":  # which has no form for long ones
        return View(patches=(unknown,), damage="what lies behind its first 4 GiB was not heard" if is_long else damage)
    if not is_long:
        return View(patches=((0, b"RIFF"), unknown), damage=damage)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, n_bytes + 28, found, n_frames, 0)
    return View(
        patches=((0, b"RF64"), (4, _UNKNOWN_SIZE.to_bytes(4, "little")), unknown), inserted=sizes, damage=damage
    )


def _sound_behind(file: IO[bytes], stop: int, n_bytes: int, wav: _Wav) -> str | None:
    """What to say of chunks that hold more sound behind the end of a WAV's; None where there are none."""
    for start in _starts(stop):
        for chunk in _metadata(file, start, n_bytes, wav.order):
            if chunk.name in _RIFF:
                return "another recording follows behind its end, which was not heard"
            if chunk.name == b"data" and chunk.size:
                return f"a second piece of sound, of {chunk.size} bytes, follows behind its end, which was not heard"
    return None


def _is_nothing(file: IO[bytes], stop: int, n_bytes: int, wav: _Wav) -> bool:
    """Whether what follows in a WAV is chunks, tags, text, padding, or too little to matter, rather than sound."""
    rate = int.from_bytes(wav.layout[8:12], wav.order)
    if wav.data.size and n_bytes - stop <= min(_SLACK_BYTES, rate * _SLACK_S):
        return True
    for start in _starts(stop):
        file.seek(start)
        head = file.read(4096)
        if head.startswith(_TAGS) or any(True for _ in _metadata(file, start, n_bytes, wav.order)):
            return True
    return _is_text(head) or not _may_be_samples(head, wav) or _is_one_byte(file, start)


def _starts(stop: int) -> list[int]:
    # not everybody fills up to an even number of bytes
    return sorted({stop, stop + stop % 2})


def _metadata(file: IO[bytes], start: int, n_bytes: int, order: Order) -> Iterator[_Chunk]:
    """Chunks from a position on, as long as they look like some."""
    for chunk in _chunks(file, start, n_bytes, size_bytes=4, order=order):
        is_known = chunk.name in _KNOWN_CHUNKS or chunk.name in _RIFF
        is_named = all(32 <= byte < 127 for byte in chunk.name)
        if not is_known and not (is_named and chunk.start + chunk.size <= n_bytes):
            return
        yield chunk


def _is_text(head: bytes) -> bool:
    return bool(head) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head[:512])


def _may_be_samples(head: bytes, wav: _Wav) -> bool:
    """Whether bytes can be samples of the WAV's kind: of those in floating point, most bytes cannot."""
    kind = int.from_bytes(wav.layout[:2], wav.order)
    if kind == _EXTENSIBLE_FORMAT:
        kind = int.from_bytes(wav.layout[24:26], wav.order)
    if kind != _FLOAT_FORMAT:
        return True
    size = 8 if int.from_bytes(wav.layout[14:16], wav.order) == 64 else 4
    samples = np.frombuffer(head[: len(head) // size * size], f"{'>' if wav.order == 'big' else '<'}f{size}")
    return bool(np.all(np.abs(samples) <= _MAX_FLOAT))


def _is_one_byte(file: IO[bytes], start: int) -> bool:
    """Whether the rest of a file is one byte again and again, as on a card that was never written to there."""
    file.seek(start)
    first = file.read(1)
    while piece := file.read(_PIECE_BYTES):
        if piece.count(first) < len(piece):
            return False
    return True


def _view_caf(file: IO[bytes], n_bytes: int) -> View:
    for chunk in _chunks(file, 8, n_bytes, size_bytes=8, order="big"):
        if chunk.name != b"data":
            continue
        found = n_bytes - chunk.start
        if chunk.size <= found:
            return WHOLE
        damage = None if chunk.size == _UNKNOWN_CAF_SIZE else say_cut(promised=chunk.size, found=found)
        return View(patches=((chunk.start - 8, found.to_bytes(8, "big")),), damage=damage)
    return WHOLE


def _chunks(file: IO[bytes], position: int, n_bytes: int, *, size_bytes: int, order: Order) -> Iterator[_Chunk]:
    """Chunks from a position on; when one is given out, the file stands at its content."""
    for _ in range(_MAX_CHUNKS):
        if position >= n_bytes:  # no file system could seek to where a size of 64 bits may lead
            return
        file.seek(position)
        header = file.read(4 + size_bytes)
        if len(header) < 4 + size_bytes:
            return
        chunk = _Chunk(name=header[:4], start=position + len(header), size=int.from_bytes(header[4:], order))
        yield chunk
        position = chunk.start + chunk.size
        if size_bytes == 4:
            position += chunk.size % 2
