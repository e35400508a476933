"""Whether an Ogg file holds one stream after another, which libsndfile hears only the first of.

It says so where the second has a number of its own, RFC 3533, section 6. Encoders that give all of theirs the same
number, and a file joined to itself, look to it like one stream that ends where its last page says, or too early.
"""

import os
from typing import IO

MORE_FOLLOWS = "more follows behind the end of its Ogg stream, such as another one, which was not heard"

PAGE_MAGIC = b"OggS"
_HEADER_BYTES = 27
_FLAGS_AT, _N_SEGMENTS_AT = 5, 26
_BEGINS, _ENDS = 2, 4


def is_chained(file: IO[bytes]) -> bool:
    """Whether a page that begins a stream follows one that ends a stream; pages behind damage are not looked at.

    Args:
        file: Seekable; its position changes.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    position, has_ended = 0, False
    while position < n_bytes:
        file.seek(position)
        header = file.read(_HEADER_BYTES + 255)
        if header[:4] != PAGE_MAGIC or len(header) < _HEADER_BYTES:
            return False
        if has_ended and header[_FLAGS_AT] & _BEGINS:
            return True
        has_ended = has_ended or bool(header[_FLAGS_AT] & _ENDS)
        lengths = header[_HEADER_BYTES : _HEADER_BYTES + header[_N_SEGMENTS_AT]]
        position += _HEADER_BYTES + len(lengths) + sum(lengths)
    return False
