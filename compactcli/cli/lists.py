"""Lists of paths, as ``find`` writes them and ``xargs`` reads them: one a line, or each ended by NUL."""

import codecs
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from compactcli.cli.options import STDIN, to_path
from compactcli.errors import ConfigError, reason_of

# the mark of one of them begins as one of the other does
WIDE_ENCODINGS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


def read_list(path: Path, *, null: bool) -> list[Path]:
    """Read the paths of ``--files-from``; what is not valid UTF-8 in them comes back as it is on disk.

    Args:
        path: File with the list; ``-`` is standard input.
        null: Whether paths end with NUL instead of a line feed, and so may hold line feeds. Otherwise a carriage
            return before a line feed does not count, nor do empty lines, nor a byte-order mark.

    Raises:
        ConfigError: The list cannot be read, names nothing, is UTF-16 or UTF-32, or holds NUL where line feeds were
            expected.
    """
    name = "standard input" if path == STDIN else f"--files-from {path}"
    try:
        data = read_stdin() if path == STDIN else path.read_bytes()
    except OSError as error:
        reason = reason_of(error)
        raise ConfigError(
            f"{name} cannot be read ({reason}), expected a list of paths", hint="check the path"
        ) from error
    parts = data.split(b"\0") if null else _lines(data, name)
    found = [to_path(os.fsdecode(part)) for part in parts if part]
    if not found:
        raise ConfigError(
            f"{name} names no recordings, expected at least one path in it",
            hint="check the command that made the list",
            code="empty-list",
        )
    return found


def _lines(data: bytes, name: str) -> list[bytes]:
    for encoding, marks in WIDE_ENCODINGS.items():
        if data.startswith(marks):
            raise ConfigError(f"{name} is {encoding}, expected UTF-8", hint="save the list as UTF-8")
    if b"\0" in data:
        raise ConfigError(f"{name} holds NUL, expected one path a line", hint="add -0 to read what find -print0 writes")
    return [line.removesuffix(b"\r") for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n")]


def read_stdin() -> bytes:
    """All of standard input.

    Raises:
        OSError: It is closed, or cannot be read.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return sys.stdin.buffer.read()


def fits_line(path: str) -> bool:
    r"""Whether ``read_list`` gets a path back that stands on a line.

    Example:
        >>> [fits_line(path) for path in ("a.wav", "a\nb.wav", "a.wav\r")]
        [True, False, False]
    """
    return "\n" not in path and not path.endswith("\r")


def format_list(paths: Sequence[str], *, null: bool) -> str:
    r"""Paths as ``read_list`` reads them.

    Example:
        >>> format_list(["a.wav", "b.wav"], null=False)
        'a.wav\nb.wav\n'
    """
    return "".join(f"{path}\0" if null else f"{path}\n" for path in paths)
