"""Where the streams of an Ogg file lie: one may follow another, as radio programmes are kept.

libsndfile hears the first alone, and no file that begins with a stream of another kind: each is shown to it by itself.
What it says of their ends depends on the codec and on what else runs beside them, so that is found out here too.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

PAGE_MAGIC = b"OggS"
_HEADER_BYTES = 27
_FLAGS_AT, _SERIAL_AT, _CHECKSUM_AT, _N_SEGMENTS_AT = 5, 14, 22, 26
_BEGINS, _ENDS = 2, 4
# what the first packet of a stream of sound begins with, and of streams that are heard, or seen, together with one
_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_OTHERS = (b"fishead\0", b"\x80theora")
_PIECE_BYTES = 2**12
_MIRRORED_BYTES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, kw_only=True)
class OggStream:
    """A stream of sound.

    Args:
        start: Its first byte.
        stop: The byte after its last one; streams that run beside it may have some of those between.
        damage: What is wrong with its end, as a user shall read it; None when nothing is.
    """

    start: int
    stop: int
    damage: str | None


@dataclass(frozen=True, kw_only=True)
class _Page:
    start: int
    content_at: int
    stop: int
    flags: int
    serial: bytes
    beginning: bytes  # of the content


class _Group:
    """Streams that run at the same time; the first of sound is heard.

    Source:
        RFC 3533, sections 4 and 6: all first pages of a group of streams come before its other pages, and one group
        follows another.
    """

    def __init__(self) -> None:
        self.in_heading = True
        self._serials: set[bytes] = set()
        self._sound: _Page | None = None
        self._has_ended = self._has_more = False

    def add(self, page: _Page, *, is_whole: bool) -> None:
        """Note the next page."""
        begins = bool(page.flags & _BEGINS)
        self.in_heading = self.in_heading and begins
        if self.in_heading:
            self._serials.add(page.serial)
            if self._sound is None and page.beginning.startswith(_SOUND):
                self._sound = page
        if self._sound is None:
            return
        is_own = page.serial == self._sound.serial
        self._has_more = self._has_more or page.serial not in self._serials or (self._has_ended and is_own)
        self._has_ended = self._has_ended or (is_own and is_whole and bool(page.flags & _ENDS))

    def streams(self, stop: int, *, ends_with_page: bool) -> list[OggStream]:
        """The stream that is heard, if there is one.

        Args:
            stop: Where the next group begins, or the file ends.
            ends_with_page: Whether nothing stands between the last page and that.
        """
        if self._sound is None:
            return []
        damage = None
        if not self._has_ended:
            damage = "its Ogg stream does not end with a whole last page"
        elif self._has_more or not ends_with_page:
            damage = "more follows behind the end of its Ogg stream, which was not heard"
        return [OggStream(start=self._sound.start, stop=stop, damage=damage)]


def find_streams(file: IO[bytes]) -> list[OggStream]:
    """Streams of sound, one after another; all of the file where it seems to have none.

    Where pages are damaged, the search goes on behind them.

    Args:
        file: Seekable; its position changes.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    streams: list[OggStream] = []
    group, last_stop = _Group(), 0
    for page, is_whole in _pages(file, n_bytes):
        # a flag may be damaged: behind a group's heading it is believed together with a name alone
        if not group.in_heading and page.flags & _BEGINS and page.beginning.startswith((*_SOUND, *_OTHERS)):
            streams += group.streams(page.start, ends_with_page=page.start == last_stop)
            group = _Group()
        group.add(page, is_whole=is_whole)
        if is_whole:
            last_stop = page.stop
    streams += group.streams(n_bytes, ends_with_page=n_bytes == last_stop)
    return streams or [OggStream(start=0, stop=n_bytes, damage=None)]


def _pages(file: IO[bytes], n_bytes: int) -> Iterator[tuple[_Page, bool]]:
    """The pages of a file, and whether each is whole."""
    position, last = 0, None
    while True:
        page = _read_page(file, position)
        # a page that another one follows, or the end, is no shorter than it says
        is_whole = last is None or page is not None or last.stop == n_bytes or _is_intact(file, last)
        if last is not None:
            yield last, is_whole
        if page is not None:
            last, position = page, page.stop
            continue
        # behind one that was cut, the next is sought in what it said were its own bytes
        found = _find_magic(file, position + 1 if last is None or is_whole else last.content_at)
        if found is None:
            return
        last, position = None, found


def _read_page(file: IO[bytes], position: int) -> _Page | None:
    file.seek(position)
    head = file.read(_HEADER_BYTES + 255 + 8)
    if head[:4] != PAGE_MAGIC or len(head) < _HEADER_BYTES:
        return None
    lengths = head[_HEADER_BYTES : _HEADER_BYTES + head[_N_SEGMENTS_AT]]
    n_header = _HEADER_BYTES + len(lengths)
    return _Page(
        start=position,
        content_at=position + n_header,
        stop=position + n_header + sum(lengths),
        flags=head[_FLAGS_AT],
        serial=head[_SERIAL_AT : _SERIAL_AT + 4],
        beginning=head[n_header:],
    )


def _is_intact(file: IO[bytes], page: _Page) -> bool:
    file.seek(page.start)
    content = file.read(page.stop - page.start)
    checksum = int.from_bytes(content[_CHECKSUM_AT : _CHECKSUM_AT + 4], "little")
    blank = content[:_CHECKSUM_AT] + bytes(4) + content[_CHECKSUM_AT + 4 :]
    return len(content) == page.stop - page.start and ogg_checksum(blank) == checksum


def ogg_checksum(data: bytes) -> int:
    """Checksum of a page whose own field for it is 0.

    Source:
        RFC 3533, section 6: the polynomial of zlib's, with the highest bit first, from 0 and not inverted.

    Example:
        >>> hex(ogg_checksum(b"123456789"))
        '0x89a1897f'
    """
    mirrored = zlib.crc32(data.translate(_MIRRORED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


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
