"""Sound in containers that libsndfile does not know, such as those of phones: FFmpeg's libraries read it, by PyAV."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compactcli.audio.decoder import DecodingError
from compactcli.errors import AudioError
from compactcli.packages import is_installed

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer

# more frames than anything could hold: the header does not know
_UNKNOWN_FRAMES = 2**62
# between the time stamp of a piece and the end of what came before it
LONGEST_GAP_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Container:
    """A file format.

    Args:
        name: What people call it.
        demuxer: FFmpeg's name for it; no other one gets to see the file, however it goes on.
        promises_duration: Whether its header says how long the sound is; others are guessed from their bit rate.
    """

    name: str
    demuxer: str
    promises_duration: bool = False


AAC = Container(name="AAC", demuxer="aac")
MP4 = Container(name="MP4", demuxer="mov", promises_duration=True)
# where a file has them, and what they say; AVI and WMA are not among them, because a cut one looks whole
_MAGIC = (
    (4, b"ftyp", MP4),
    (4, b"moov", MP4),
    (4, b"mdat", MP4),
    (0, b"\x1a\x45\xdf\xa3", Container(name="Matroska", demuxer="matroska", promises_duration=True)),
    (0, b"#!AMR", Container(name="AMR", demuxer="amr")),
    (0, b"wvpk", Container(name="WavPack", demuxer="wv", promises_duration=True)),
)
# room that old cameras leave in front, here at most 16 MiB of it: the byte of 0 that begins its size is in no text
_ROOM = (b"wide", b"free", b"skip")
CONTAINER_NAMES = frozenset(container.name for _, _, container in _MAGIC)
MAGIC_LENGTH = max(start + len(text) for start, text, _ in _MAGIC)


def find_container(head: bytes) -> Container | None:
    r"""The container that a file begins as, of those that libsndfile does not know.

    Args:
        head: The first ``MAGIC_LENGTH`` bytes or more, or all there are.

    Example:
        >>> find_container(b"\0\0\0\x20ftypM4A ").name
        'MP4'
    """
    for start, text, container in _MAGIC:
        if head[start : start + len(text)] == text:
            return container
    if head[:1] == b"\0" and head[4:8] in _ROOM:
        return MP4
    # two set bytes less four bits, and no layer: AAC as radio sends it, where MP3 would have one
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return AAC
    return None


@contextlib.contextmanager
def open_container(name: str, path: Path, container: Container) -> "Iterator[ContainerDecoder]":
    """Open a container for decoding from front to back.

    Of several sound tracks the one that FFmpeg takes for the best is read. No decoder of pictures is used, not even to
    look at cover art. Times count from the first sound.

    Args:
        name: The recording, as messages shall call it.
        path: The same, on disk.
        container: What it is.

    Raises:
        AudioError: PyAV is not installed, the container cannot be read, or there is no sound in it.
    """
    if not is_installed("av"):
        raise AudioError(
            f"{name} is {container.name}, which needs the package av, expected WAV, FLAC, Ogg, Opus, MP3, AIFF or CAF",
            hint="install it with: pip install av; or convert first, for example: ffmpeg -i INPUT OUTPUT.flac",
            code="not-audio",
        )
    import av

    options = {"codec_whitelist": _audio_decoders()}
    try:
        # a name with a colon in it would be an address
        opened = av.open(f"file:{path}", "r", format=container.demuxer, metadata_errors="replace", options=options)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(
            f"{name} begins as {container.name} does and cannot be read ({_reason(error)}), expected a recording",
            hint="copy or download it again; a recording that was never stopped lacks what is written at its end",
            code="bad-header",
        ) from error
    with opened:
        stream = opened.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise AudioError(
                f"{name} is {container.name} without a sound track, expected a recording",
                hint="check which file was meant",
                code="not-audio",
            )
        if stream.codec_context is None:
            raise AudioError(
                f"{name} is {container.name} with sound that av cannot decode, expected AAC, Opus or the like",
                hint="convert it first with the program that made it",
                code="not-audio",
            )
        yield ContainerDecoder(opened, stream, container)


class ContainerDecoder:
    """The sound track of a container; see ``Decoder``.

    Args:
        opened: The file.
        stream: The track.
        container: What the file is.
    """

    extra_info = ""
    damage: str | None = None

    def __init__(self, opened: "InputContainer", stream: "AudioStream", container: Container) -> None:
        self._pieces = _decode(opened, stream)
        self._piece: npt.NDArray[np.float32] = np.zeros((0, 1), np.float32)
        self._failure: DecodingError | None = None
        # what a header says of rate and channels is not always what is decoded
        self._next_piece()
        self.samplerate = stream.codec_context.sample_rate
        self.channels = self._piece.shape[1] if len(self._piece) else stream.codec_context.channels
        promised_s = _promised_s(opened, stream) if container.promises_duration else None
        self.frames = _UNKNOWN_FRAMES if promised_s is None else round(promised_s * self.samplerate)
        self.format = container.name
        self.subtype = stream.codec_context.name.upper()

    def read(self, *, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See ``Decoder``."""
        n_frames = 0
        while n_frames < len(out):
            if not len(self._piece) and not self._next_piece():
                break
            piece = self._piece[: len(out) - n_frames]
            out[n_frames : n_frames + len(piece)] = piece
            n_frames += len(piece)
            self._piece = self._piece[len(piece) :]
        if n_frames < len(out) and self._failure is not None:
            raise self._failure
        return out[:n_frames]

    def _next_piece(self) -> bool:
        """Decode on; False at the end, or where it fails."""
        try:
            piece = next(self._pieces, None)
        except DecodingError as error:
            self._failure, piece = error, None
        if piece is None:
            return False
        self._piece = piece
        return True


@functools.cache
def _audio_decoders() -> str:
    """FFmpeg's names of what decodes sound."""
    import av

    return ",".join(sorted(name for name in av.codecs_available if _decodes_sound(name)))


def _decodes_sound(name: str) -> bool:
    import av

    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:  # it encodes only
        return False


def _decode(opened: "InputContainer", stream: "AudioStream") -> Iterator[npt.NDArray[np.float32]]:
    """Pieces of shape ``(n_frames, n_channels)``, none of them empty."""
    import av

    resampler, layout, start_s, n_frames = None, None, 0.0, 0
    try:
        for frame in opened.decode(stream):
            found = (frame.sample_rate, frame.layout.name)
            if resampler is None:
                resampler, layout = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate), found
            if found != layout:
                raise DecodingError("its rate or its channels change")
            if frame.time is not None:
                start_s = frame.time if n_frames == 0 else start_s
                gap_s = frame.time - start_s - n_frames / frame.sample_rate
                # what comes after would be heard too early
                if gap_s > LONGEST_GAP_S:
                    raise DecodingError(f"{gap_s:.2f} s of sound are missing")
            n_frames += frame.samples
            for piece in resampler.resample(frame):
                if piece.samples:
                    # packed: PyAV 18 crashes on planes of eight channels and more
                    yield piece.to_ndarray().astype(np.float32, copy=False).reshape(piece.samples, -1)
    except (av.FFmpegError, ValueError) as error:
        raise DecodingError(_reason(error)) from error


def _promised_s(opened: "InputContainer", stream: "AudioStream") -> Fraction | None:
    """Seconds of sound, as the header says; None where it does not know."""
    # what is written while it is sent says 0
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    # that of the whole file is that of its pictures too
    if not opened.duration or len(opened.streams) > 1:
        return None
    # it counts from 0, wherever the sound begins
    late_s = stream.start_time * stream.time_base if stream.start_time and stream.time_base else Fraction(0)
    return max(Fraction(opened.duration, 1_000_000) - max(late_s, Fraction(0)), Fraction(0)) or None


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:].rstrip(".")
