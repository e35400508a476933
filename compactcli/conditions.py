"""What happens to recordings on their way to a model: microphones, codecs, telephone lines, levels, noise.

Each condition turns a waveform into one of the same length at the same rate, and the same waveform always into the
same one. Events stay where they are: every filter's delay is taken out.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compactcli.audio import Waveform, convert_waveform, read_audio
from compactcli.audio.encoding import decode_mp3, encode_mp3
from compactcli.datasets import read_table
from compactcli.errors import ConfigError, ManifestError

MP3_KBIT_S = 64
TELEPHONE_RATE = 8000
TELEPHONE_HZ = (300.0, 3400.0)
QUIET_DB = -30.0
LOUD_DB = 20.0
NOISE_SNR_DB = 20.0

# a Kaiser window of this shape and length: 60 dB down 100 Hz beyond the band at 8 kHz
_KAISER_BETA = 5.653
_N_TAPS = 291

THIRD_OCTAVES_HZ = 1000 * 2.0 ** (np.arange(-9, 9) / 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """A way in which recordings reach a model.

    Args:
        name: Name under which users ask for it.
        description: What it does, with its numbers.
        apply: Turns a waveform into what is left of it.
    """

    name: str
    description: str
    apply: Callable[[Waveform], Waveform]


CLEAN = Condition(name="clean", description="recordings as they are", apply=lambda waveform: waveform)
NAMES = (CLEAN.name, "phone", f"mp3-{MP3_KBIT_S}", "telephone", "quiet", "loud", "noise")


def make_conditions(names: Iterable[str], *, corpus: Path, sample_rate: int) -> list[Condition]:
    """Conditions by name, each once, in the order asked for.

    Args:
        names: Some of ``NAMES``; ``all`` stands for all of them.
        corpus: Corpus folder, whose ``irs`` holds the microphone responses.
        sample_rate: Hz of the waveforms, 16,000 or more.

    Raises:
        ConfigError: A name is unknown.
        ManifestError: ``phone`` was asked for and the corpus has no microphone responses.
    """
    wanted = dict.fromkeys(name for asked in names for name in (NAMES if asked == "all" else (asked,)))
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise ConfigError(f"condition '{unknown[0]}' is unknown, expected one of {', '.join(NAMES)} or all")
    return [_make_condition(name, corpus, sample_rate) for name in wanted]


def _make_condition(name: str, corpus: Path, sample_rate: int) -> Condition:
    if name == CLEAN.name:
        return CLEAN
    if name == "phone":
        file, response = phone_response(corpus, sample_rate=sample_rate)
        described = f"convolved with the microphone response {file}"
        return Condition(name=name, description=described, apply=partial(respond, response=response))
    built: dict[str, tuple[str, Callable[[Waveform], Waveform]]] = {
        f"mp3-{MP3_KBIT_S}": (f"MP3 at {MP3_KBIT_S} kbit/s and back", partial(compress, sample_rate=sample_rate)),
        "telephone": (
            f"{TELEPHONE_RATE} Hz sample rate, {TELEPHONE_HZ[0]:g} to {TELEPHONE_HZ[1]:g} Hz",
            partial(telephone, sample_rate=sample_rate),
        ),
        "quiet": (f"{QUIET_DB:+g} dB", partial(amplify, gain_db=QUIET_DB)),
        "loud": (f"{LOUD_DB:+g} dB, clipped at full scale", partial(overdrive, gain_db=LOUD_DB)),
        "noise": (
            f"white noise {NOISE_SNR_DB:g} dB below each recording",
            partial(add_noise, snr_db=NOISE_SNR_DB),
        ),
    }
    description, apply = built[name]
    return Condition(name=name, description=description, apply=apply)


def amplify(waveform: Waveform, *, gain_db: float) -> Waveform:
    """Change the level; nothing clips."""
    return waveform * np.float32(10 ** (gain_db / 20))


def overdrive(waveform: Waveform, *, gain_db: float) -> Waveform:
    """Change the level and clip at full scale, as a converter that is set too high."""
    return np.clip(amplify(waveform, gain_db=gain_db), -1, 1)


def add_noise(waveform: Waveform, *, snr_db: float) -> Waveform:
    """Add white Gaussian noise at a distance from the waveform's own mean power; silence stays silence.

    The waveform's checksum is the seed: other recordings get other noise, the order of recordings changes nothing.
    """
    rng = np.random.default_rng(zlib.crc32(waveform.tobytes()))
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    level = np.float32(np.sqrt(power * 10 ** (-snr_db / 10)))
    return waveform + level * rng.standard_normal(len(waveform), dtype=np.float32)


def compress(waveform: Waveform, *, sample_rate: int, kbit_s: int = MP3_KBIT_S) -> Waveform:
    """Encode as MP3 at a constant rate and decode again."""
    decoded = decode_mp3(encode_mp3(waveform, sample_rate=sample_rate, kbit_s=kbit_s))
    return _fit(decoded, len(waveform))


def telephone(waveform: Waveform, *, sample_rate: int) -> Waveform:
    """Narrow-band telephone: down to 8 kHz, a band of 300 to 3,400 Hz (-6 dB at both), back to ``sample_rate``."""
    # one sample at 8 kHz at least, and none lost to rounding
    padded = np.pad(waveform, (0, -(-sample_rate // TELEPHONE_RATE)))
    narrow = convert_waveform(padded, from_rate=sample_rate, sample_rate=TELEPHONE_RATE)
    filtered = _convolve(narrow, _band_pass(*TELEPHONE_HZ, sample_rate=TELEPHONE_RATE), delay=_N_TAPS // 2)
    wide = convert_waveform(filtered, from_rate=TELEPHONE_RATE, sample_rate=sample_rate)
    return _fit(wide, len(waveform))


def respond(waveform: Waveform, *, response: Waveform) -> Waveform:
    """Play through a microphone's impulse response, aligned by its largest sample.

    The response is scaled to unit energy, so that white noise keeps its level; nothing clips.
    """
    energy = float(np.sum(np.square(response, dtype=np.float64)))
    return _convolve(waveform, response / np.sqrt(energy), delay=int(np.argmax(np.abs(response))))


def phone_response(corpus: Path, *, sample_rate: int) -> tuple[str, Waveform]:
    """The corpus' microphone response that stands for a phone's, and its file name.

    The responses are of studio and vintage microphones, none of a phone. They are ordered by how far they are from
    flat, and the one at nine tenths is taken: thin in the bass, with a peak in the treble, but not a broken one.

    Raises:
        ManifestError: ``irs/irs.csv`` cannot be read or lists no response.
    """
    files = sorted(row["file"] for row in read_table(corpus / "irs/irs.csv", ("file",)))
    if not files:
        raise ManifestError(
            f"table '{corpus / 'irs/irs.csv'}' lists no microphone responses, expected at least one",
            hint="point --corpus at the corpus",
        )
    responses = [read_audio(corpus / "irs" / file, sample_rate=sample_rate) for file in files]
    chosen = _at_nine_tenths([unevenness_db(response, sample_rate=sample_rate) for response in responses])
    return files[chosen], responses[chosen]


def unevenness_db(response: Waveform, *, sample_rate: int) -> float:
    """How far an impulse response is from flat: standard deviation of its third-octave levels, 125 Hz to 6.3 kHz."""
    n_fft = max(sample_rate, len(response))
    power = np.abs(np.fft.rfft(response, n_fft)) ** 2
    hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    half_band = 2 ** (1 / 6)
    levels = [power[(hz >= centre / half_band) & (hz < centre * half_band)].mean() for centre in THIRD_OCTAVES_HZ]
    return float(np.std(10 * np.log10(np.maximum(levels, 1e-20))))


def _at_nine_tenths(values: Sequence[float]) -> int:
    order = np.argsort(values, kind="stable")
    return int(order[9 * len(order) // 10])


def _band_pass(low_hz: float, high_hz: float, *, sample_rate: int) -> npt.NDArray[np.float64]:
    """Linear-phase taps: the difference of two ideal low-passes, under a Kaiser window."""
    samples = np.arange(_N_TAPS) - _N_TAPS // 2
    low, high = (2 * hz / sample_rate for hz in (low_hz, high_hz))
    ideal: npt.NDArray[np.float64] = high * np.sinc(high * samples) - low * np.sinc(low * samples)
    return ideal * np.kaiser(_N_TAPS, _KAISER_BETA)


def _convolve(waveform: Waveform, taps: npt.NDArray[np.floating], *, delay: int) -> Waveform:
    """Linear convolution, earlier by ``delay`` samples and as long as the waveform."""
    n_samples = len(waveform) + len(taps) - 1
    n_fft = 1 << (n_samples - 1).bit_length()
    filtered = np.fft.irfft(np.fft.rfft(waveform, n_fft) * np.fft.rfft(taps, n_fft), n_fft)
    return filtered[delay : delay + len(waveform)].astype(np.float32)


def _fit(waveform: Waveform, n_samples: int) -> Waveform:
    return np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))
