"""What the header of a recording says, whether it can be believed, and what it promises beyond the file."""

import re
from dataclasses import dataclass

import soundfile

from compactcli.errors import AudioError

MAX_CHANNELS = 64
MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000

# Headers with this many frames or more mean "unknown"; streamed FLAC gives 2**63 - 1.
_UNKNOWN_FRAMES = 2**40
_UNKNOWN_BYTES = 0x7FFF0000
_SIZE_TOLERANCE_BYTES = 64
_CHUNK_CUT = re.compile(r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_DS64_CUT = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What the header of a recording says.

    Args:
        path: The recording, as the caller named it.
        sample_rate: Hz.
        n_channels: Channels.
        n_frames: Samples per channel that the header promises, or None where it does not know.
        container: Name of the file format, such as ``WAV``.
        encoding: Name of the sample format, such as ``PCM_16``.
    """

    path: str
    sample_rate: int
    n_channels: int
    n_frames: int | None
    container: str
    encoding: str

    @property
    def duration_s(self) -> float | None:
        """Seconds that the header promises, or None where it does not know."""
        return None if self.n_frames is None else self.n_frames / self.sample_rate


def check_header(path: str, decoder: soundfile.SoundFile) -> AudioInfo:
    """What the header says.

    Raises:
        AudioError: The channel count or the sample rate is beyond what recordings have.
    """
    check_layout(path, n_channels=decoder.channels, rate_hz=decoder.samplerate)
    return AudioInfo(
        path=path,
        sample_rate=decoder.samplerate,
        n_channels=decoder.channels,
        n_frames=decoder.frames if 0 <= decoder.frames < _UNKNOWN_FRAMES else None,
        container=decoder.format,
        encoding=decoder.subtype,
    )


def check_layout(name: str, *, n_channels: int, rate_hz: int) -> None:
    """Refuse channel counts and sample rates that no recording has.

    Args:
        name: The recording, for the message.
        n_channels: Channels, 1 to ``MAX_CHANNELS``.
        rate_hz: Sample rate, ``MIN_RATE_HZ`` to ``MAX_RATE_HZ``.

    Raises:
        AudioError: One of the two is outside its range.
    """
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name} has {n_channels} channels, expected 1 to {MAX_CHANNELS}",
            hint="the header may be damaged; otherwise split the recording into fewer channels",
            code="too-many-channels",
        )
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} has a sample rate of {rate_hz} Hz, expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz",
            hint="the header may be damaged; otherwise resample the recording",
            code="bad-rate",
        )


def frame_tolerance(info: AudioInfo) -> int:
    """Frames that a healthy file of this kind may lack."""
    if info.encoding == "OPUS":
        return info.sample_rate * 120 // 1000
    return {"VORBIS": 4096, "MPEG_LAYER_III": 1152, "MPEG_LAYER_II": 1152, "MPEG_LAYER_I": 1152}.get(info.encoding, 0)


def cut_in_header(decoder: soundfile.SoundFile) -> str | None:
    """What the parser's log says about audio that is promised but beyond the end of the file."""
    log = decoder.extra_info
    chunk = _CHUNK_CUT.search(log)
    if chunk is not None:
        promised, found = int(chunk[1]), int(chunk[2])
        if found + _SIZE_TOLERANCE_BYTES < promised < _UNKNOWN_BYTES:
            return f"the file ends {promised - found} bytes before its audio does"
    ds64 = _DS64_CUT.search(log)
    if ds64 is not None and int(ds64[1]) < int(ds64[2]) < _UNKNOWN_FRAMES:
        return f"the file holds {ds64[1]} of the {ds64[2]} frames promised"
    if "lacks an end-of-stream bit" in log or "Junk after the last page" in log:
        return "the Ogg stream does not end with a whole last page"
    return None
