"""Pieces of a recording become WAV files with its own sample rate, channels and depth."""

import contextlib
import errno
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from compactcli.audio.decoding import failure_text
from compactcli.audio.header import AudioInfo
from compactcli.audio.reading import open_audio
from compactcli.errors import unwritable, writing_to

# Encodings that keep every bit of what was decoded into float32; the 24 bits of its mantissa are all that is left of
# longer integers. What was compressed with losses has no more than 16 to lose.
_DEPTHS = {"PCM_24": "PCM_24", "PCM_32": "PCM_24", "ALAC_24": "PCM_24", "ALAC_32": "PCM_24", "FLOAT": "FLOAT"}
_DEPTHS |= {"DOUBLE": "FLOAT"}
_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
_ANY_RATE_HZ = 16000
# of sound, beyond which the sizes in a plain WAV header, of 32 bits, do not hold it
_MAX_WAV_BYTES = 2**32 - 2**16


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a recording, and where it goes.

    Args:
        start_s: Seconds from the start of the recording, at least 0.
        stop_s: Seconds, above ``start_s``; a recording that ends before cuts it short.
        path: File that is written, with the folders around it; one that has the name already is replaced.
    """

    start_s: float
    stop_s: float
    path: Path


def cut_audio(path: str | Path, pieces: Sequence[Piece], *, on_written: Callable[[Piece], None]) -> str | None:
    """Write pieces of a recording, each whole or not at all; it is decoded once, up to the end of the last piece.

    Args:
        path: See ``open_audio``.
        pieces: In any order; they may overlap. Those that would start behind the end of the recording are left out.
        on_written: Called with each piece as soon as it is there; where the recording has ended before, with its end.

    Returns:
        What is wrong with the recording where it is damaged before the end of the last piece, or None.

    Raises:
        AudioError: The recording cannot be read, or a sample is not a finite number.
        CompactError: A piece cannot be written.
    """
    cutting: list[_Cut] = []
    try:
        # blocks of all channels come at the recording's own rate, whichever is asked for
        with open_audio(path, sample_rate=_ANY_RATE_HZ) as reader:
            waiting = [_Cut(piece, reader.info) for piece in sorted(pieces, key=lambda piece: piece.start_s)]
            start = 0
            for block in reader.channel_blocks():
                stop = start + len(block)
                while waiting and waiting[0].start < stop:
                    cutting.append(waiting.pop(0))
                for cut in list(cutting):
                    cut.write(block[max(0, cut.start - start) : cut.stop - start])
                    if cut.stop <= stop:
                        cutting.remove(cut)
                        on_written(cut.finish())
                start = stop
                if not waiting and not cutting:
                    return None
            while cutting:
                on_written(cutting.pop(0).finish())
            return reader.damage
    finally:
        for cut in cutting:
            cut.discard()


class _Cut:
    """One piece that is being written beside its place.

    Attributes:
        start: Its first frame in the recording.
        stop: The frame behind its last one, where the recording goes on for so long.
    """

    def __init__(self, piece: Piece, info: AudioInfo) -> None:
        self.start = round(piece.start_s * info.sample_rate)
        self.stop = max(self.start + 1, round(piece.stop_s * info.sample_rate))
        self._piece = piece
        self._info = info
        self._n_frames = 0
        # not the name itself with something behind it: that may be as long as names can be
        self._part = piece.path.with_name(f".compact-{secrets.token_hex(8)}.part")
        self._file: soundfile.SoundFile | None = None

    def write(self, frames: npt.NDArray[np.float32]) -> None:
        """Add the next frames of the piece, shape ``(n_frames, n_channels)``."""
        with self._writing():
            if self._file is None:
                self._file = self._open()
            self._file.write(frames)
            self._n_frames += len(frames)

    def finish(self) -> Piece:
        """Give the file its name."""
        with self._writing():
            self._close()
            self._part.replace(self._piece.path)
        if self.start + self._n_frames < self.stop:
            return replace(self._piece, stop_s=(self.start + self._n_frames) / self._info.sample_rate)
        return self._piece

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(soundfile.LibsndfileError):
            self._close()
        # where no file could be made, none is there
        with contextlib.suppress(OSError):
            self._part.unlink()

    def _open(self) -> soundfile.SoundFile:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        depth = _DEPTHS.get(self._info.encoding, "PCM_16")
        n_bytes = (self.stop - self.start) * self._info.n_channels * _BYTES[depth]
        return soundfile.SoundFile(
            self._part,
            "x",
            samplerate=self._info.sample_rate,
            channels=self._info.n_channels,
            format="WAV" if n_bytes <= _MAX_WAV_BYTES else "RF64",
            subtype=depth,
        )

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with writing_to(str(self._piece.path)):
                yield
        except soundfile.LibsndfileError as error:
            # a full disk is a system error to libsndfile, and no more is known of it
            raise unwritable(str(self._piece.path), OSError(errno.EIO, failure_text(error))) from error
