"""Where the streams of an Ogg file begin: one may follow another, as radio programmes are kept.

libsndfile hears the first alone, so each is shown to it by itself.
"""

import os
from collections.abc import Iterator
from typing import IO

PAGE_MAGIC = b"OggS"
_HEADER_BYTES = 27
_FLAGS_AT, _N_SEGMENTS_AT = 5, 26
_BEGINS = 2
# what the first packet of a stream of sound begins with
_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_PIECE_BYTES = 2**12


def stream_starts(file: IO[bytes]) -> list[int]:
    """Positions where streams begin, the first of them 0.

    Streams that are heard at the same time have their first pages side by side and count as one. Where pages are
    damaged, the search goes on behind them.

    Args:
        file: Seekable; its position changes.

    Source:
        RFC 3533, sections 4 and 6: all first pages of a group of streams come before its other pages, and one group
        follows another.
    """
    starts, in_heading = [0], True
    for position, header, beginning in _pages(file):
        begins = bool(header[_FLAGS_AT] & _BEGINS) and beginning.startswith(_CODECS)
        if begins and not in_heading:
            starts.append(position)
        in_heading = begins
    return starts


def _pages(file: IO[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """Position, header and beginning of the content of each page."""
    n_bytes = file.seek(0, os.SEEK_END)
    position: int | None = 0
    searched_to = 1
    while position is not None and position != n_bytes:
        file.seek(position)
        page = file.read(_HEADER_BYTES + 255 + 8)
        if page[:4] != PAGE_MAGIC or len(page) < _HEADER_BYTES:
            # what led here may have been cut itself: its successor is sought in what it said were its own bytes
            position = _find_magic(file, searched_to)
            searched_to = n_bytes if position is None else position + 1
            continue
        lengths = page[_HEADER_BYTES : _HEADER_BYTES + page[_N_SEGMENTS_AT]]
        n_header = _HEADER_BYTES + len(lengths)
        yield position, page[:n_header], page[n_header:]
        searched_to = position + n_header
        position += n_header + sum(lengths)


def _find_magic(file: IO[bytes], position: int) -> int | None:
    file.seek(position)
    before = b""
    while piece := file.read(_PIECE_BYTES):
        found = (before + piece).find(PAGE_MAGIC)
        if found >= 0:
            return position - len(before) + found
        position += len(piece)
        before = piece[1 - len(PAGE_MAGIC) :]
    return None
