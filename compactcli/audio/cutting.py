"""Pieces of a recording become WAV files with its own sample rate, channels and depth."""

import contextlib
import errno
import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from compactcli.audio.decoding import failure_text
from compactcli.audio.header import AudioInfo
from compactcli.audio.reading import open_audio
from compactcli.errors import unwritable, writing_to
from compactcli.temporary import name_token

_ANY_RATE_HZ = 16000
# Encodings that keep every bit of what was decoded into float32; the 24 bits of its mantissa are all that is left of
# longer integers. What was compressed with losses has no more than 16 to lose.
_DEPTHS = {"PCM_24": "PCM_24", "PCM_32": "PCM_24", "ALAC_24": "PCM_24", "ALAC_32": "PCM_24", "FLOAT": "FLOAT"}
_DEPTHS |= {"DOUBLE": "FLOAT"}
_N_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
# of sound, beyond which the sizes in a plain WAV header, of 32 bits, do not hold it
_MAX_WAV_BYTES = 2**32 - 2**16
# pieces that overlap are written at a time, and systems let a process open no more than some hundred files
_MOST_OPEN = 64


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a recording, and where it goes.

    Args:
        start_s: Seconds from the start of the recording, at least 0.
        stop_s: Seconds, above ``start_s``; a recording that ends before cuts it short.
        onset_s: Seconds where what the piece is about begins, from ``start_s`` to ``stop_s``; of a recording that ends
            before there is no such piece.
        path: File that is written, with the folders around it; one that has the name already is replaced.
    """

    start_s: float
    stop_s: float
    onset_s: float
    path: Path


@dataclass(frozen=True, kw_only=True)
class CutRecording:
    """What was found out about a recording while it was cut.

    Args:
        decoded_s: Seconds that were decoded; all there are where a piece goes on to the end or beyond.
        damage: What is wrong with it where it is damaged before the end of the last piece, or None.
    """

    decoded_s: float
    damage: str | None


def cut_audio(path: str | Path, pieces: Sequence[Piece], *, on_written: Callable[[Piece], None]) -> CutRecording:
    """Write pieces of a recording, each whole or not at all.

    The recording is decoded up to the end of the last piece: once, where not too many pieces overlap.

    Args:
        path: See ``open_audio``.
        pieces: In any order; they may overlap.
        on_written: Called with each piece as soon as it is there; where the recording has ended before, with its end.

    Raises:
        AudioError: The recording cannot be read, or a sample is not a finite number.
        CompactError: A piece cannot be written.
    """
    passes = [_cut_pass(path, some, on_written=on_written) for some in _in_passes(pieces)]
    return CutRecording(
        decoded_s=max((item.decoded_s for item in passes), default=0.0),
        damage=next((item.damage for item in passes if item.damage is not None), None),
    )


def _in_passes(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces by their starts, so shared out that no more than ``_MOST_OPEN`` of one pass overlap."""
    waiting = sorted(pieces, key=lambda piece: piece.start_s)
    while waiting:
        taken: list[Piece] = []
        left: list[Piece] = []
        stops: list[float] = []
        for piece in waiting:
            while stops and stops[0] <= piece.start_s:
                heapq.heappop(stops)
            if len(stops) < _MOST_OPEN:
                heapq.heappush(stops, piece.stop_s)
                taken.append(piece)
            else:
                left.append(piece)
        yield taken
        waiting = left


def _cut_pass(path: str | Path, pieces: Sequence[Piece], *, on_written: Callable[[Piece], None]) -> CutRecording:
    cutting: list[_Cut] = []
    try:
        # blocks of all channels come at the recording's own rate, whichever is asked for
        with open_audio(path, sample_rate=_ANY_RATE_HZ) as reader:
            waiting = [_Cut(piece, reader.info) for piece in pieces]
            start = 0
            for block in reader.channel_blocks():
                stop = start + len(block)
                while waiting and waiting[0].start < stop:
                    cutting.append(waiting.pop(0))
                for cut in list(cutting):
                    cut.write(block[max(0, cut.start - start) : cut.stop - start])
                    if cut.stop <= stop:
                        on_written(cut.finish())
                        cutting.remove(cut)
                start = stop
                if not waiting and not cutting:
                    return CutRecording(decoded_s=reader.decoded_s, damage=None)
            for cut in cutting:
                if cut.has_begun:
                    on_written(cut.finish())
            return CutRecording(decoded_s=reader.decoded_s, damage=reader.damage)
    finally:
        for cut in cutting:
            cut.discard()


def measure_duration(path: str | Path) -> float:
    """Seconds of a recording that decode, whatever its header promises.

    Raises:
        AudioError: The recording cannot be read, or a sample is not a finite number.

    Example:
        >>> measure_duration("sample_audio/events.wav")
        10.0
    """
    with open_audio(path, sample_rate=_ANY_RATE_HZ) as reader:
        for _ in reader.channel_blocks():
            pass
        return reader.decoded_s


class _Cut:
    """One piece that is being written beside its place.

    Attributes:
        start: Its first frame in the recording.
        stop: The frame behind its last one, where the recording goes on for so long.
        has_begun: Whether what it is about has begun in what was written so far.
    """

    def __init__(self, piece: Piece, info: AudioInfo) -> None:
        self.start = round(piece.start_s * info.sample_rate)
        self.stop = max(self.start + 1, round(piece.stop_s * info.sample_rate))
        self._piece = piece
        self._info = info
        self._depth = _DEPTHS.get(info.encoding, "PCM_16")
        self._n_frames = 0
        # always the same, so that what a killed process has left does not stay
        self._part = piece.path.with_name(f".compact-{name_token(piece.path)}.part")
        self._file: soundfile.SoundFile | None = None

    @property
    def has_begun(self) -> bool:
        return self.start + self._n_frames > self._piece.onset_s * self._info.sample_rate

    def write(self, frames: npt.NDArray[np.float32]) -> None:
        """Add the next frames of the piece, shape ``(n_frames, n_channels)``."""
        with self._writing():
            if self._file is None:
                self._file = self._open()
            self._file.write(_as_stored(frames, self._depth))
            self._n_frames += len(frames)

    def finish(self) -> Piece:
        """Give the file its name; what is discarded afterwards stays."""
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
        n_frames = min(self.stop, self._info.n_frames or self.stop) - self.start
        n_bytes = n_frames * self._info.n_channels * _N_BYTES[self._depth]
        return soundfile.SoundFile(
            # of text, soundfile refuses what is not UTF-8
            os.fsencode(self._part),
            "w",
            samplerate=self._info.sample_rate,
            channels=self._info.n_channels,
            format="WAV" if n_bytes <= _MAX_WAV_BYTES else "RF64",
            subtype=self._depth,
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


def _as_stored(frames: npt.NDArray[np.float32], depth: str) -> npt.NDArray[Any]:
    """Frames as numbers that are stored as they are: libsndfile rounds down what it has to round."""
    if depth == "FLOAT":
        return frames
    n_bits = 8 * _N_BYTES[depth]
    full_scale = 2.0 ** (n_bits - 1)
    rounded = np.rint(frames.astype(np.float64) * full_scale).clip(-full_scale, full_scale - 1)
    return rounded.astype(np.int16) if n_bits == 16 else rounded.astype(np.int32) << (32 - n_bits)
