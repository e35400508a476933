"""Where the sound of WAV and CAF lies, which are made of chunks, and what to show a decoder where a header is wrong.

A recorder that lost its power leaves a header that promises nothing, or what it knew a while ago; a size of 32 bits
starts again at 0 beyond 4 GiB; and files are joined as if they were text. libsndfile believes the header, or refuses
the whole file for what follows its sound.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

# what a size says that is not known, of 32 and of 64 bits
UNKNOWN_SIZE = 2**32 - 1
_UNKNOWN_CAF_SIZE = 2**64 - 1
# a header with more chunks is not looked through
_MAX_CHUNKS = 1000
# that much behind the sound may be anything: a third of a second of stereo
_SLACK_BYTES = 2**16
# forms that hold a whole file, in which numbers of which order of bytes
_RIFF: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"RF64": "little", b"RIFX": "big"}
# tags that are no chunks, as programs for MP3 put them behind everything
_TAGS = (b"ID3", b"TAG", b"APETAGEX")


@dataclass(frozen=True, kw_only=True)
class View:
    """What a decoder shall see of a file.

    Args:
        size: Bytes that the file seems to have; None for as many as it has.
        patches: Position to the bytes that seem to be there.
        damage: What is wrong with the recording, as a user shall read it; None when nothing is.
    """

    size: int | None = None
    patches: tuple[tuple[int, bytes], ...] = ()
    damage: str | None = None


WHOLE = View()


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    size: int


def find_view(file: IO[bytes]) -> View:
    """How to show a file to libsndfile; all of it as it is, unless it is a WAV or CAF whose chunks are understood.

    Args:
        file: Seekable; its position changes.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(12)
    if magic[:4] in _RIFF and magic[8:12] == b"WAVE":
        return _view_wav(file, n_bytes, magic[:4])
    if magic[:4] == b"caff":
        return _view_caf(file, n_bytes)
    return WHOLE


def _view_wav(file: IO[bytes], n_bytes: int, form: bytes) -> View:
    order = _RIFF[form]
    long_size, data = None, None
    for chunk in _chunks(file, 12, n_bytes, size_bytes=4, order=order):
        if chunk.name == b"ds64":
            # that of the form, then that of the sound
            long_size = int.from_bytes(file.read(16)[8:], order)
        if chunk.name == b"data":
            data = chunk
            break
    if data is None:
        return WHOLE
    is_long = form == b"RF64" and data.size == UNKNOWN_SIZE and long_size is not None
    promised = long_size if is_long and long_size is not None else data.size
    stop = data.start + promised
    # what is cut, or of unknown length, is understood by libsndfile
    if stop >= n_bytes:
        return WHOLE
    follows = _what_follows(file, stop, n_bytes, order=order)
    n_after = n_bytes - stop
    if follows is None and (promised == 0 or n_after > _SLACK_BYTES):
        # sound up to the end; RF64 would go on believing the other size
        unknown = (data.start - 4, UNKNOWN_SIZE.to_bytes(4, order))
        patches = ((0, b"RIFF"), unknown) if form == b"RF64" else (unknown,)
        said = f"its header promises {promised} bytes of sound, and {n_after} more follow, which were heard too"
        return View(patches=patches, damage=said if promised else None)
    if promised == 0:
        return WHOLE
    return View(size=stop, damage=follows or None)


def _what_follows(file: IO[bytes], stop: int, n_bytes: int, *, order: Literal["little", "big"]) -> str | None:
    """What lies behind the sound of a WAV: ``""`` is chunks or tags, a sentence tells of sound, None is neither."""
    # not everybody fills up to an even number of bytes
    for start in sorted({stop, stop + stop % 2}):
        file.seek(start)
        if file.read(8).startswith(_TAGS):
            return ""
        known = False
        for chunk in _chunks(file, start, n_bytes, size_bytes=4, order=order):
            if not chunk.name.isascii() or not chunk.name.decode().isprintable():
                break
            if chunk.start + chunk.size > n_bytes + _SLACK_BYTES:
                break
            if chunk.name in _RIFF:
                return "another recording follows behind its end, which was not heard"
            if chunk.name == b"data" and chunk.size:
                return f"a second piece of sound, of {chunk.size} bytes, follows behind its end, which was not heard"
            known = True
        if known:
            return ""
    return None


def _view_caf(file: IO[bytes], n_bytes: int) -> View:
    for chunk in _chunks(file, 8, n_bytes, size_bytes=8, order="big"):
        if chunk.name != b"data":
            continue
        found = n_bytes - chunk.start
        if chunk.size <= found:
            return WHOLE
        damage = None
        if chunk.size != _UNKNOWN_CAF_SIZE:
            damage = f"the file ends {chunk.size - found} bytes before its audio does"
        return View(patches=((chunk.start - 8, found.to_bytes(8, "big")),), damage=damage)
    return WHOLE


def _chunks(
    file: IO[bytes], position: int, n_bytes: int, *, size_bytes: int, order: Literal["little", "big"]
) -> Iterator[_Chunk]:
    """Chunks from a position on; after each one the file stands at its content."""
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
