"""A stream that cannot seek, such as standard input, becomes a temporary file that can."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from compactcli.audio.limits import DEFAULT_LIMITS, AudioLimits
from compactcli.errors import AudioError, reason_of

_PIECE_BYTES = 2**20


class ByteStream(Protocol):
    """What bytes can be read from, such as ``sys.stdin.buffer``."""

    def read(self, size: int, /) -> bytes | None:
        """At most ``size`` bytes; none at the end."""


@contextlib.contextmanager
def spool_audio(
    stream: ByteStream, limits: AudioLimits = DEFAULT_LIMITS, *, name: str = "standard input"
) -> Iterator[Path]:
    """Copy a stream into a temporary file, which decoders can seek in.

    Args:
        stream: Read to its end, but never more than a byte beyond the limit.
        limits: ``max_spooled_bytes`` bounds what is written to the disk.
        name: What messages call the stream.

    Yields:
        The file, readable by its owner alone and deleted afterwards; give ``name`` to ``open_audio`` with it.

    Raises:
        AudioError: The stream is empty, fails or holds too much, or the disk for temporary files does.

    Example:
        >>> import io
        >>> with spool_audio(io.BytesIO(b"RIFF")) as path:
        ...     path.read_bytes()
        b'RIFF'
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="compact-", ignore_cleanup_errors=True))
            path = Path(folder) / "recording"
            n_bytes = _copy(stream, path, limits.max_spooled_bytes, name)
        except OSError as error:
            raise AudioError(
                f"{name} cannot be copied into a temporary file ({reason_of(error)}), expected room for it",
                hint="free some space, or set TMPDIR to a folder with more of it",
                code="no-space",
            ) from error
        if n_bytes == 0:
            raise AudioError(
                f"{name} is empty (0 bytes), expected a recording",
                hint="check the command before the pipe",
                code="empty-file",
            )
        yield path


def _copy(stream: ByteStream, path: Path, max_bytes: int, name: str) -> int:
    """Write a stream into a new file.

    Returns:
        Bytes written.

    Raises:
        AudioError: The stream fails or holds more than ``max_bytes``.
        OSError: The file cannot be written.
    """
    n_bytes = 0
    with path.open("xb") as file:
        # one byte beyond the limit tells a stream that ends there from one that goes on
        while piece := _read(stream, min(_PIECE_BYTES, max_bytes + 1 - n_bytes), name):
            n_bytes += len(piece)
            if n_bytes > max_bytes:
                raise AudioError(
                    f"{name} holds more than {max_bytes} bytes, expected at most that many",
                    hint="write it into a file and name the file, which may have any size",
                    code="too-large",
                )
            file.write(piece)
    return n_bytes


def _read(stream: ByteStream, n_bytes: int, name: str) -> bytes:
    try:
        piece = stream.read(n_bytes)
    except (OSError, ValueError) as error:  # a closed stream is a ValueError
        reason = reason_of(error)
        raise _unreadable(name, reason) from error
    if piece is None:  # what a stream that does not wait says when it has nothing yet: no end, so no whole recording
        raise _unreadable(name, "it does not wait for data")
    return piece


def _unreadable(name: str, reason: str) -> AudioError:
    hint = "check what it is connected to"
    return AudioError(f"{name} cannot be read ({reason}), expected a recording", hint=hint, code="unreadable")
