"""Files become decoders: content decides, refusals are said in the user's words, and the terminal stays clean."""

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import soundfile

from compactcli.audio.chain import ChainedDecoder
from compactcli.audio.chunks import INSERTED_AT, WHOLE, View, find_view
from compactcli.audio.containers import AAC, MAGIC_LENGTH, Container, find_container, open_container
from compactcli.audio.decoder import Decoder, DecodingError
from compactcli.audio.interrupts import interrupts_kept
from compactcli.audio.pages import PAGE_MAGIC, find_streams
from compactcli.errors import AudioError, reason_of
from compactcli.process import OWN_PROCESS

# Added to the size of an MP3 file so that the decoder's length estimate cannot end the reading early.
_HIDDEN_SIZE = 2**44

# libsndfile 1.2.2 never comes back from a list in a WAV with an entry of nearly 4 GiB: added up in 32 bits, that size
# leads back to the entry itself. Junk is skipped as a whole, and nothing here asks for titles or comments.
_LISTS = (b"LIST", b"INFO")
_WAV_MAGIC = (b"RIF", b"RF6", b"FFI")

# Where libsndfile looks for the other half of a file without a name before it takes it for MP3 or for nothing.
_MAC_FORKS = (".AppleDouble", "._")

# An MP3 goes on behind the end that its header promises when at least that many bytes do: four of the longest frames.
_MP3_REST_BYTES = 2**12
# Enough to know a file by: the length of a tag ends with its tenth byte.
_HEAD_LENGTH = max(10, MAGIC_LENGTH)
# Tags that may stand between two recordings: of the first in three kinds, and of the second.
_MAX_TAGS = 4

_STDERR_LOCK = threading.Lock()


class _ForwardDecoder(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no type information
    """A decoder that is never asked to seek, and in which no interrupt is lost.

    soundfile seeks after every read of a seekable file; that fails at the end of a FLAC of unknown length, where
    it costs the last block, and makes damaged Ogg files lose more than they have to.

    Args:
        data: The file.
        damage: See ``Decoder``.
    """

    def __init__(self, data: "_NamelessBytes", *, damage: str | None) -> None:
        self.damage = damage
        self._data = data
        with interrupts_kept():
            super().__init__(data)

    def seekable(self) -> bool:
        return False

    def read(self, *arguments: Any, **options: Any) -> Any:
        try:
            with interrupts_kept():
                frames = super().read(*arguments, **options)
        except soundfile.LibsndfileError as error:
            raise DecodingError(failure_text(error)) from error
        if len(frames) < len(options["out"]) and self.format == "MP3" and self._data.goes_on_as_mp3():
            self.damage = "another recording follows behind the end that its header promises, which was not heard"
        return frames


class _NamelessBytes:
    """The bytes of a file without its name, whose suffix would otherwise decide how soundfile reads it.

    Args:
        file: Seekable binary file.
        view: What shall be seen of it.
        hides_lists: Whether the lists of titles and comments in a WAV get another name, until this is set to False.
    """

    def __init__(self, file: IO[bytes], view: View, *, hides_lists: bool = False) -> None:
        self._file = file
        self._n_bytes = file.seek(0, os.SEEK_END) - view.start
        self._view = view
        self._size = (self._n_bytes if view.size is None else view.size) + len(view.inserted)
        # what the file seems to have and what can be read of it
        self._n_readable = min(self._size, self._n_bytes + len(view.inserted))
        self._position = 0
        self._at_end = False
        self.hides_lists = hides_lists
        # the last bytes given out and where they ended: a chunk's name may come in two reads
        self._last = (b"", 0)

    def readinto(self, buffer: Any) -> int:
        # called from C, where an exception would be printed and lost: a failing disk ends the audio here, and the
        # frames that are then missing mark the recording as damaged
        try:
            start = self._position
            data = self._read(start, min(len(buffer), self._n_readable - start))
        except OSError:
            return 0
        buffer[: len(data)] = self._without_lists(data, start) if self.hides_lists else data
        self._position += len(data)
        return len(data)

    # soundfile looks for this name to tell a file from a path, then prefers readinto
    read = readinto

    def goes_on_as_mp3(self) -> bool:
        """Whether MPEG frames, with or without a tag in front, follow where reading has stopped."""
        stop = self._position
        try:
            for _ in range(_MAX_TAGS + 1):
                head = self._read(stop, 16)
                length = _tag_length(head)
                if not length:
                    break
                stop += length
        except OSError:
            return False
        return self._n_bytes - stop >= _MP3_REST_BYTES and _is_mpeg_frame(head)

    def _read(self, start: int, n_bytes: int) -> bytes:
        """Bytes of the view; fewer at its end."""
        inserted = self._view.inserted
        if not inserted:
            return self._read_file(start, n_bytes)
        before = self._read_file(start, min(n_bytes, INSERTED_AT - start))
        middle = inserted[max(0, start - INSERTED_AT) : max(0, start + n_bytes - INSERTED_AT)]
        first = max(INSERTED_AT, start - len(inserted))
        return before + middle + self._read_file(first, n_bytes - len(before) - len(middle))

    def _read_file(self, start: int, n_bytes: int) -> bytes:
        if n_bytes <= 0:
            return b""
        self._file.seek(self._view.start + start)
        data = self._file.read(n_bytes)
        for position, patch in self._view.patches:
            first, last = max(position, start), min(position + len(patch), start + len(data))
            if first < last:
                data = data[: first - start] + patch[first - position : last - position] + data[last - start :]
        return data

    def _without_lists(self, data: bytes, start: int) -> bytes:
        last, stop = self._last
        before = last if start == stop else b""
        both = before + data
        for name in _LISTS:
            both = both.replace(name, b"JUNK")
        self._last = (both[-3:], start + len(data))
        return both[len(before) :]

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        self._at_end = whence == os.SEEK_END and position == 0
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._n_readable}[whence]
        # C has 63 bits for what comes back
        if 0 <= origin + position < 2**63:
            self._position = origin + position
        return self.tell()

    def tell(self) -> int:
        return self._size if self._at_end else self._position


def _open_bytes(path: Path, name: str) -> IO[bytes]:
    expected = "expected a recording"
    try:
        status = path.stat()
        regular = stat.S_ISREG(status.st_mode)
        # a pipe without a writer would block for ever, so nothing but a regular file is opened
        file = path.open("rb") if regular and status.st_size else None
    except (FileNotFoundError, NotADirectoryError) as error:
        # a shell leaves a pattern as it is where it stands in quotes, or nothing matches it
        is_pattern = any(sign in name for sign in "*?[")
        hint = "leave out the quotes, or check what the pattern matches" if is_pattern else "check the path"
        raise AudioError(f"{name} does not exist, {expected}", hint=hint, code="missing") from error
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        denied = isinstance(error, PermissionError)
        hint = "give yourself the right to read it" if denied else "check the path and the disk"
        raise AudioError(f"{name} cannot be read ({reason}), {expected}", hint=hint, code="unreadable") from error
    if not regular:
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise AudioError(
            f"{name} is {kind}, {expected} in a regular file",
            hint="copy the audio into a file first, or pipe it in and name -",
            code="unreadable",
        )
    if file is None:
        raise AudioError(f"{name} is empty (0 bytes), {expected}", hint="copy or download it again", code="empty-file")
    return file


@contextlib.contextmanager
def open_decoder(path: Path, name: str) -> Iterator[Decoder]:
    """Open a recording for decoding from front to back.

    Args:
        path: The recording.
        name: The same, as messages shall call it.

    Yields:
        The decoder, which never seeks.

    Raises:
        AudioError: The file is missing, empty, unreadable or not audio.
    """
    with _open_bytes(path, name) as file:
        head = file.read(_HEAD_LENGTH)
        container = find_container(head) or _aac_behind_tag(file, head)
        if container is not None:
            with open_container(name, path, container) as decoder:
                yield decoder
            return
        if head[:4] == PAGE_MAGIC:
            with _open_ogg(name, file) as chain:
                yield chain
            return
        head = head[:3]
        is_mp3 = head == b"ID3" or _is_mpeg(head)
        with quiet_stderr(is_mp3):
            sound = _open_mp3(name, file) if is_mp3 else _open_chunks(name, file, is_wav=head in _WAV_MAGIC)
        with sound:
            yield sound


def _aac_behind_tag(file: IO[bytes], head: bytes) -> Container | None:
    """AAC that begins with a tag, as the pieces of web radio do; None where MP3 or nothing follows the tag."""
    if head[:3] != b"ID3":
        return None
    file.seek(_tag_length(head))
    found = find_container(file.read(MAGIC_LENGTH))
    return found if found == AAC else None


def _is_mpeg(head: bytes) -> bool:
    """Whether bytes begin with the eleven set bits of an MPEG audio frame."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether bytes begin with an MPEG audio frame whose version, layer, bit rate and sample rate there are."""
    there = (
        len(head) > 3
        and head[1] & 0x18 != 0x08
        and head[1] & 0x06
        and head[2] & 0xF0 != 0xF0
        and head[2] & 0x0C != 0x0C
    )
    return bool(there) and _is_mpeg(head)


def _tag_length(head: bytes) -> int:
    """Bytes of the tag that stands between MP3 files that were joined; 0 where none does."""
    if head[:3] == b"ID3" and len(head) >= 10:
        # seven bits of each of four bytes are the length of what follows them
        return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    if head[:8] == b"APETAGEX" and len(head) >= 16:
        # of everything behind its header
        return 32 + int.from_bytes(head[12:16], "little")
    return 128 if head[:3] == b"TAG" else 0


def _open_chunks(name: str, file: IO[bytes], *, is_wav: bool) -> soundfile.SoundFile:
    try:
        view = find_view(file)
    except OSError:  # a failing disk; what is behind it is missed when it is decoded
        view = WHOLE
    return _open_decoder(name, file, view, is_wav=is_wav)


def _open_ogg(name: str, file: IO[bytes]) -> soundfile.SoundFile | ChainedDecoder:
    try:
        streams = find_streams(file)
    except OSError:  # a failing disk, as above
        return _open_decoder(name, file)
    views = [View(start=item.start, size=item.stop - item.start, damage=item.damage) for item in streams]
    openers = [partial(_open_decoder, name, file, view) for view in views]
    return openers[0]() if len(openers) == 1 else ChainedDecoder(openers)


def _open_decoder(name: str, file: IO[bytes], view: View = WHOLE, *, is_wav: bool = False) -> soundfile.SoundFile:
    data = _NamelessBytes(file, view, hides_lists=is_wav)
    try:
        decoder = _ForwardDecoder(data, damage=view.damage)
    except soundfile.LibsndfileError as error:
        raise _refusal(name, error) from error
    data.hides_lists = False  # from here on, bytes are sound
    return decoder


def _open_mp3(name: str, file: IO[bytes]) -> soundfile.SoundFile:
    """Open an MP3 so that it is read to its end even when its length is only the decoder's guess."""
    with _open_decoder(name, file) as guess:
        n_frames = guess.frames
    unbounded = _open_decoder(name, file, View(size=file.seek(0, os.SEEK_END) + _HIDDEN_SIZE))
    if unbounded.frames != n_frames:
        return unbounded
    # a real count: told the true size, the decoder takes a cut file for what it is instead of failing at its end
    unbounded.close()
    return _open_decoder(name, file)


def failure_text(error: soundfile.LibsndfileError) -> str:
    """libsndfile's own words, fit for the middle of a sentence."""
    return str(error.error_string).removeprefix("Error : ").strip(" .")


def _refusal(name: str, error: soundfile.LibsndfileError) -> AudioError:
    # libsndfile's SFE numbers: 1 unrecognised, 7 open failed (an MP3 frame header and then nonsense), 18 unimplemented,
    # 24 incomplete SF_INFO (sample rate or channels out of range), 32 no channels
    if error.code in (1, 7):
        return AudioError(
            f"{name} is not audio that can be recognised, expected WAV, FLAC, Ogg, Opus, MP3, AIFF or CAF",
            hint="convert it first, for example: ffmpeg -i INPUT OUTPUT.flac",
            code="not-audio",
        )
    if error.code == 149 and any(Path(fork).exists() for fork in _MAC_FORKS):  # bad data offset
        return AudioError(
            f"{name} is read as another file because of '.AppleDouble' or '._' in this folder, expected neither there",
            hint="run compact from another folder",
            code="misread",
        )
    reason = "no usable sample rate or channel count" if error.code in (24, 32) else failure_text(error)
    return AudioError(
        f"{name} has a header that makes no sense ({reason}), expected a recording that can be decoded",
        hint="copy or download it again, or convert it to FLAC or WAV",
        code="bad-header",
    )


@contextlib.contextmanager
def quiet_stderr(active: bool) -> Iterator[None]:
    """Send what C libraries print on standard error nowhere: libmpg123 complains even about healthy files.

    In the process of the command line alone, one block of one file at a time.
    """
    if not active or not OWN_PROCESS.is_set():
        yield
        return
    with _STDERR_LOCK:
        try:
            saved = os.dup(2)
        except OSError:  # no standard error: nothing to protect
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
