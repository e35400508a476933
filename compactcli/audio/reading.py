"""Decoded frames become mono float32 blocks at the rate asked for."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from compactcli.audio.decoder import Decoder, DecodingError
from compactcli.audio.decoding import open_decoder, quiet_stderr
from compactcli.audio.header import check_header, cut_in_header, frame_tolerance
from compactcli.audio.limits import DEFAULT_LIMITS, AudioLimits, check_duration, check_layout
from compactcli.errors import AudioError

# Largest sample taken for audio: 32-bit integers stored as floats still pass, and power spectra stay finite in float32.
MAX_LEVEL = 2.0**31

# 4 MB of float32 per block, whatever the channel count; one second where that is less.
_MAX_BLOCK_VALUES = 2**20

Waveform = npt.NDArray[np.float32]


class AudioReader:
    """One open recording; iterate over it once for its mono blocks.

    Channels are averaged, then resampled with soxr's HQ filter. The blocks together hold
    ``n_frames * sample_rate // info.sample_rate`` samples, so nothing ends after the recording does.

    Attributes:
        info: What the header says.
        sample_rate: Hz of the blocks.
        n_samples: Samples given out so far.
        n_decoded: Frames decoded so far, at the recording's own rate.
        damage: After the last block, what is missing from the recording or wrong in its header; None when nothing is.
    """

    def __init__(self, name: str, decoder: Decoder, *, sample_rate: int, limits: AudioLimits) -> None:
        self.info = check_header(name, decoder, limits)
        self.sample_rate = sample_rate
        self.n_samples = 0
        self.n_decoded = 0
        self.damage = cut_in_header(decoder)
        self._decoder = decoder
        self._limits = limits

    @property
    def decoded_s(self) -> float:
        """Seconds decoded so far."""
        return self.n_decoded / self.info.sample_rate

    def __iter__(self) -> Iterator[Waveform]:
        """Yield consecutive mono blocks of at most about a second, none of them empty.

        Raises:
            AudioError: A sample is not a finite number, nothing could be decoded, or the recording is too long.
        """
        own_rate = self.info.sample_rate
        blocks: Iterator[Waveform] = (mono for _, mono in self._blocks())
        if own_rate != self.sample_rate:
            blocks = resample_blocks(blocks, from_rate=own_rate, sample_rate=self.sample_rate)
        for block in blocks:
            if len(block):
                self.n_samples += len(block)
                yield block
        if self.n_samples == 0:
            raise self._no_samples(self.sample_rate)

    def channel_blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield consecutive blocks of all channels at the recording's own rate, in the place of the mono blocks.

        Yields:
            Blocks of shape ``(n_frames, n_channels)``, none of them empty.

        Raises:
            AudioError: A sample is not a finite number, nothing could be decoded, or the recording is too long.
        """
        for frames, _ in self._blocks():
            yield frames
        if self.n_decoded == 0:
            raise self._no_samples(self.info.sample_rate)

    def _no_samples(self, rate_hz: int) -> AudioError:
        return AudioError(
            f"{self.info.path} holds {self.n_decoded} frame{'' if self.n_decoded == 1 else 's'} at "
            f"{self.info.sample_rate} Hz, expected at least one sample at {rate_hz} Hz",
            hint="the recording was probably stopped before it began; record or export it again",
            code="no-samples",
        )

    def _blocks(self) -> Iterator[tuple[npt.NDArray[np.float32], Waveform]]:
        """Blocks of all channels, and their averages."""
        n_channels = self.info.n_channels
        n_block = min(self.info.sample_rate, _MAX_BLOCK_VALUES // n_channels)
        while True:
            frames, failure = self._decode(np.full((n_block, n_channels), np.nan, np.float32))
            if len(frames):
                mono = _average_channels(frames)
                self._check_level(mono)
                self.n_decoded += len(frames)
                self._check_duration()
                yield frames, mono
            if failure is not None or len(frames) < n_block:
                self._judge(failure)
                return

    def _decode(self, frames: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], str | None]:
        """Fill ``frames``, given full of NaN; what is still NaN after a decoder error was never decoded."""
        try:
            with quiet_stderr(self.info.container == "MP3"):
                return self._decoder.read(out=frames), None
        except DecodingError as error:
            missing = np.isnan(frames[:, 0])
            n_good = int(np.argmax(missing)) if missing.any() else len(frames)
            return frames[:n_good], str(error)

    def _check_level(self, mono: Waveform) -> None:
        bad = ~(np.abs(mono) <= MAX_LEVEL)
        if bad.any():
            first = int(np.argmax(bad))
            at_s = (self.n_decoded + first) / self.info.sample_rate
            raise AudioError(
                f"{self.info.path} has a sample of {mono[first]} at {at_s:.3f} s, expected finite numbers",
                hint="export the recording again, as 16-bit or 24-bit PCM",
                code="not-finite",
            )

    def _check_duration(self) -> None:
        rate_hz = self.info.sample_rate
        check_duration(self.info.path, n_frames=self.n_decoded, rate_hz=rate_hz, decoded=True, limits=self._limits)

    def _judge(self, failure: str | None) -> None:
        promised = self.info.n_frames
        if failure is not None and self.n_decoded == 0:
            raise AudioError(
                f"{self.info.path} cannot be decoded ({failure}), expected at least some good audio",
                hint="the file is damaged from its start; copy or download it again",
                code="unreadable",
            )
        if failure is not None:
            self.damage = f"the decoder gave up after {self.decoded_s:.2f} s ({failure})"
        elif promised is not None and 0 < self.n_decoded < promised - frame_tolerance(self.info):
            promised_s = promised / self.info.sample_rate
            self.damage = f"{self.decoded_s:.2f} s of the {promised_s:.2f} s promised could be decoded"
        else:
            self.damage = self._decoder.damage or self.damage


@contextlib.contextmanager
def open_audio(
    path: str | Path, *, sample_rate: int, limits: AudioLimits = DEFAULT_LIMITS, name: str | None = None
) -> Iterator[AudioReader]:
    """Open a recording for block-wise reading.

    Args:
        path: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF or another format that libsndfile reads; where the package ``av``
            is installed, also MP4 (M4A), WebM and others, see ``compactcli.audio.containers``.
        sample_rate: Hz of the blocks.
        limits: What is too much.
        name: What messages and ``info.path`` call the recording; None takes ``path``.

    Yields:
        The reader; iterate over it once.

    Raises:
        AudioError: The file is missing, empty, not audio, its header makes no sense or goes beyond the limits.

    Example:
        >>> with open_audio("sample_audio/events.wav", sample_rate=16000) as reader:
        ...     sum(len(block) for block in reader)
        160000
    """
    name = os.fspath(path) if name is None else name
    with open_decoder(Path(path), name) as decoder:
        yield AudioReader(name, decoder, sample_rate=sample_rate, limits=limits)


def read_audio(
    path: str | Path, *, sample_rate: int, allow_damage: bool = False, limits: AudioLimits = DEFAULT_LIMITS
) -> Waveform:
    """Read a whole recording as mono.

    Args:
        path: See ``open_audio``.
        sample_rate: Hz of the result.
        allow_damage: Whether to return what decoded when the recording is damaged.
        limits: What is too much.

    Returns:
        Waveform, shape ``(n_frames * sample_rate // own_rate,)``.

    Raises:
        AudioError: See ``open_audio``; or the recording is damaged and ``allow_damage`` is False.
    """
    with open_audio(path, sample_rate=sample_rate, limits=limits) as reader:
        waveform = np.concatenate(list(reader))
    if reader.damage is not None and not allow_damage:
        raise AudioError(
            f"{reader.info.path} is damaged: {reader.damage}, expected a whole recording",
            hint="copy or download it again",
            code="damaged",
        )
    return waveform


def resample_blocks(blocks: Iterable[Waveform], *, from_rate: int, sample_rate: int) -> Iterator[Waveform]:
    """Resample one recording with soxr's HQ filter while it arrives.

    Args:
        blocks: The recording in consecutive mono pieces.
        from_rate: Hz of ``blocks``.
        sample_rate: Hz of the result.

    Yields:
        As many pieces and one more, some of them empty, together ``n_samples * sample_rate // from_rate`` samples.
    """
    resampler = soxr.ResampleStream(from_rate, sample_rate, 1, dtype="float32", quality="HQ")
    n_samples = n_given = 0
    for block in blocks:
        piece = resampler.resample_chunk(block)
        n_samples += len(block)
        n_given += len(piece)
        yield piece
    n_expected = n_samples * sample_rate // from_rate
    # soxr rounds the length to the nearest sample; what it has given out so far always lags behind its input
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)[: max(0, n_expected - n_given)]


def decode_only(path: str | Path) -> int:
    """Decode a recording and keep nothing of it: the least time that reading it can take.

    Args:
        path: See ``open_audio``.

    Returns:
        Frames that decoded, at the recording's own rate; of a damaged recording, those of whole blocks alone.

    Raises:
        AudioError: The file is missing, empty or not audio.
    """
    n_frames = 0
    with open_decoder(Path(path), os.fspath(path)) as decoder:
        frames = np.empty(
            (max(1, min(decoder.samplerate, _MAX_BLOCK_VALUES // decoder.channels)), decoder.channels), "f4"
        )
        with contextlib.suppress(DecodingError):  # damage ends it, as it ends ``AudioReader``
            while n_read := len(decoder.read(out=frames)):
                n_frames += n_read
    return n_frames


def convert_waveform(samples: npt.NDArray[Any], *, from_rate: int, sample_rate: int) -> Waveform:
    """Turn samples in memory into what ``read_audio`` gives for a file that holds them.

    Args:
        samples: Floating-point samples in [-1, 1], shape ``(n_samples,)`` or ``(n_samples, n_channels)``.
        from_rate: Hz of ``samples``.
        sample_rate: Hz of the result.

    Raises:
        AudioError: The array is empty, not floating point, not finite or has a strange shape or rate.

    Example:
        >>> convert_waveform(np.zeros((44100, 2)), from_rate=44100, sample_rate=16000).shape
        (16000,)
    """
    array = np.asarray(samples)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim not in (1, 2):
        raise AudioError(
            f"the samples are a {array.ndim}-dimensional array of {array.dtype}, "
            "expected floating-point numbers of shape (n_samples,) or (n_samples, n_channels)",
            hint="divide 16-bit integers by 32768; one column per channel",
            code="bad-samples",
        )
    n_channels = 1 if array.ndim == 1 else array.shape[1]
    most = DEFAULT_LIMITS.max_channels
    if n_channels > most:
        raise AudioError(
            f"the array has shape {array.shape}, expected one row for each sample and at most {most} columns",
            hint="turn it round where its channels come first: samples.T",
            code="too-many-channels",
        )
    check_layout("the array", n_channels=n_channels, rate_hz=from_rate, limits=DEFAULT_LIMITS)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused below
        mono = _average_channels(array.reshape(len(array), n_channels).astype(np.float32))
    if not np.all(np.abs(mono) <= MAX_LEVEL):
        raise AudioError(
            f"the samples hold values that are not finite or beyond {MAX_LEVEL:.0f}, expected numbers in [-1, 1]",
            hint="replace or cut them before the call",
            code="not-finite",
        )
    if from_rate != sample_rate:
        n_samples = len(mono) * sample_rate // from_rate
        mono = soxr.resample(mono, from_rate, sample_rate, quality="HQ")[:n_samples] if n_samples else mono[:0]
    if len(mono) == 0:
        raise AudioError(
            f"the array has shape {array.shape}, expected at least one sample at {sample_rate} Hz",
            hint="check how the array was cut",
            code="no-samples",
        )
    return np.ascontiguousarray(mono, np.float32)


def _average_channels(frames: npt.NDArray[np.float32]) -> Waveform:
    n_channels = frames.shape[1]
    # four times as fast as a mean over such a short axis
    return frames[:, 0] if n_channels == 1 else np.einsum("ij->i", frames) / np.float32(n_channels)
