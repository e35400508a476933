"""What is too much: channels, rates, seconds and bytes beyond which an input is refused instead of worked on."""

import math
from dataclasses import dataclass

from compactcli.errors import AudioError, require


@dataclass(frozen=True, kw_only=True)
class AudioLimits:
    """Bounds that a recording has to keep to be analysed.

    Args:
        max_channels: Most channels, 1 to 1,024 (libsndfile refuses more on its own).
        min_rate_hz: Lowest sample rate in Hz, at least 1.
        max_rate_hz: Highest sample rate in Hz, at least ``min_rate_hz``.
        max_duration_s: Longest recording in seconds, above 0; None sets no limit, as memory does not grow with length.
            A header that promises more is refused before anything is decoded, also where it lies; without such a
            promise the recording is refused as soon as decoding passes the limit.
        max_spooled_bytes: Most bytes taken from a stream, at least 1. 4 GiB by default, all that a plain WAV can hold.

    Raises:
        ConfigError: A bound is out of its range.
    """

    max_channels: int = 64
    min_rate_hz: int = 1_000
    max_rate_hz: int = 768_000
    max_duration_s: float | None = None
    max_spooled_bytes: int = 2**32

    def __post_init__(self) -> None:
        require(1 <= self.max_channels <= 1024, f"max_channels is {self.max_channels}, expected 1 to 1024")
        require(
            1 <= self.min_rate_hz <= self.max_rate_hz,
            f"min_rate_hz is {self.min_rate_hz} and max_rate_hz {self.max_rate_hz}, "
            "expected 1 <= min_rate_hz <= max_rate_hz",
        )
        require(
            self.max_duration_s is None or 0 < self.max_duration_s < math.inf,
            f"max_duration_s is {self.max_duration_s}, expected seconds above 0, or None for no limit",
        )
        require(self.max_spooled_bytes >= 1, f"max_spooled_bytes is {self.max_spooled_bytes}, expected at least 1")


DEFAULT_LIMITS = AudioLimits()


def check_layout(name: str, *, n_channels: int, rate_hz: int, limits: AudioLimits) -> None:
    """Refuse channel counts and sample rates beyond the limits.

    Args:
        name: The recording, for the message.
        n_channels: Channels.
        rate_hz: Sample rate in Hz.
        limits: The bounds.

    Raises:
        AudioError: One of the two is outside its range.
    """
    if not 1 <= n_channels <= limits.max_channels:
        raise AudioError(
            f"{name} has {n_channels} channels, expected 1 to {limits.max_channels}",
            hint="the header may be damaged; otherwise split the recording into fewer channels",
            code="too-many-channels",
        )
    if not limits.min_rate_hz <= rate_hz <= limits.max_rate_hz:
        raise AudioError(
            f"{name} has a sample rate of {rate_hz} Hz, expected {limits.min_rate_hz} to {limits.max_rate_hz} Hz",
            hint="the header may be damaged; otherwise resample the recording",
            code="bad-rate",
        )


def check_duration(name: str, *, n_frames: int | None, rate_hz: int, decoded: bool, limits: AudioLimits) -> None:
    """Refuse more seconds than the limit.

    Args:
        name: The recording, for the message.
        n_frames: Samples per channel that were promised or decoded; None where nothing was promised.
        rate_hz: Sample rate in Hz.
        decoded: Whether ``n_frames`` were decoded; otherwise the header promises them.
        limits: The bounds.

    Raises:
        AudioError: The recording is longer than ``limits.max_duration_s``.
    """
    longest_s = limits.max_duration_s
    if longest_s is None or n_frames is None or n_frames <= longest_s * rate_hz:
        return
    found = f"longer than {longest_s:g} s" if decoded else f"{n_frames / rate_hz:.2f} s, as its header says"
    raise AudioError(
        f"{name} lasts {found}, expected at most {longest_s:g} s",
        hint="raise the limit on the duration, or cut the recording into pieces",
        code="too-long",
    )
