"""What the header of a recording says, whether it can be believed, and what it promises beyond the file."""

import re
from dataclasses import dataclass

from compactcli.audio.chunks import is_unknown_size, say_cut
from compactcli.audio.containers import CONTAINER_NAMES
from compactcli.audio.decoder import Decoder
from compactcli.audio.limits import AudioLimits, check_duration, check_layout

# Headers with this many frames or more mean "unknown"; streamed FLAC gives 2**63 - 1.
UNKNOWN_FRAMES = 2**40
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


def check_header(name: str, decoder: Decoder, limits: AudioLimits) -> AudioInfo:
    """What the header says.

    Args:
        name: The recording, as messages shall call it.
        decoder: Opened, nothing read yet.
        limits: The bounds.

    Raises:
        AudioError: The channel count, the sample rate or the duration is beyond the limits.
    """
    info = AudioInfo(
        path=name,
        sample_rate=decoder.samplerate,
        n_channels=decoder.channels,
        n_frames=decoder.frames if 0 <= decoder.frames < UNKNOWN_FRAMES else None,
        container=decoder.format,
        encoding=decoder.subtype,
    )
    check_layout(name, n_channels=info.n_channels, rate_hz=info.sample_rate, limits=limits)
    check_duration(name, n_frames=info.n_frames, rate_hz=info.sample_rate, decoded=False, limits=limits)
    return info


def frame_tolerance(info: AudioInfo) -> int:
    """Frames that a healthy file of this kind may lack."""
    if info.container in CONTAINER_NAMES:
        return info.sample_rate // 5
    if info.encoding == "OPUS":
        return info.sample_rate * 120 // 1000
    return {"VORBIS": 4096, "MPEG_LAYER_III": 1152, "MPEG_LAYER_II": 1152, "MPEG_LAYER_I": 1152}.get(info.encoding, 0)


def cut_in_header(decoder: Decoder) -> str | None:
    """What the parser's log says about audio that is promised but beyond the end of the file."""
    log = decoder.extra_info
    chunk = _CHUNK_CUT.search(log)
    if chunk is not None:
        promised, found = int(chunk[1]), int(chunk[2])
        if found + _SIZE_TOLERANCE_BYTES < promised and not is_unknown_size(promised):
            return say_cut(promised=promised, found=found)
    ds64 = _DS64_CUT.search(log)
    if ds64 is not None and int(ds64[1]) < int(ds64[2]) < UNKNOWN_FRAMES:
        return f"the file holds {ds64[1]} of the {ds64[2]} frames promised"
    if "looking for the next page. Corrupted bitstream" in log:
        return "a page at its beginning is damaged, and times count from the first sound that could be decoded"
    return None
