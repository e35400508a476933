"""Streams that follow one another in a file, heard as one recording."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

from compactcli.audio.header import UNKNOWN_FRAMES
from compactcli.errors import AudioError


class ChainedDecoder:
    """A decoder of one stream after another; see ``Decoder``.

    Those that are unlike the first, or cannot be opened, and all behind them are not heard, and ``damage`` says so.

    Args:
        openers: Each opens one stream, not more than one of them at a time.

    Raises:
        AudioError: The first stream cannot be opened.
    """

    def __init__(self, openers: Sequence[Callable[[], soundfile.SoundFile]]) -> None:
        with openers[0]() as first:
            self.samplerate: int = first.samplerate
            self.channels: int = first.channels
            self.format: str = first.format
            self.subtype: str = first.subtype
            self.frames: int = first.frames
            self.damage: str | None = first.damage
            logs = [first.extra_info]
        n_heard = 1
        for opener in openers[1:]:
            try:
                with opener() as stream:
                    layout = (stream.samplerate, stream.channels)
                    n_frames, log, damage = stream.frames, stream.extra_info, stream.damage
            except AudioError:
                self.damage = self.damage or self._not_heard("it cannot be read")
                break
            if layout != (self.samplerate, self.channels):
                channels = f"{layout[1]} channel{'s' if layout[1] > 1 else ''}"
                self.damage = self.damage or self._not_heard(f"it has {layout[0]} Hz and {channels}")
                break
            self.frames += n_frames
            self.damage = self.damage or damage
            logs.append(log)
            n_heard += 1
        self.extra_info = "\n".join(logs)
        self._openers = list(openers[:n_heard])
        self._stream: soundfile.SoundFile | None = None

    def _not_heard(self, reason: str) -> str:
        # a stream that was cut or is followed by something else may not know its length
        place = f" at {self.frames / self.samplerate:.2f} s" if self.frames < UNKNOWN_FRAMES else ""
        return f"another stream follows{place}, which was not heard: {reason}"

    def read(self, *, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Fill ``out`` with the next frames; see ``Decoder``."""
        n_read = 0
        while n_read < len(out):
            if self._stream is None:
                if not self._openers:
                    break
                self._stream = self._openers.pop(0)()
            rest = out[n_read:]
            n_new = len(self._stream.read(out=rest))
            n_read += n_new
            if n_new < len(rest):
                self.close()
        return out[:n_read]

    def close(self) -> None:
        """Close the stream that is being heard."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
