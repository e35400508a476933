"""Waveforms become files: MP3 and back, as recordings sound after it, and recordings made in code."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from compactcli.audio.decoding import failure_text
from compactcli.audio.reading import Waveform
from compactcli.errors import AudioError

# lowest and highest constant rate in kbit/s of MPEG-2.5, MPEG-2 and MPEG-1 Layer III, by sample rate in Hz
_KBIT_S = (
    ((8000, 11025, 12000), (8, 64)),
    ((16000, 22050, 24000), (8, 160)),
    ((32000, 44100, 48000), (32, 320)),
)


def encode_mp3(waveform: Waveform, *, sample_rate: int, kbit_s: int) -> bytes:
    """Encode as mono MP3 at a constant rate; LAME lowers the level by about 0.4 dB, so that less clips.

    Args:
        waveform: Samples in [-1, 1], shape ``(n_samples,)``, at least one.
        sample_rate: Hz, one that MP3 has.
        kbit_s: Rate in kbit/s; LAME takes the nearest that MP3 has at this sample rate.

    Raises:
        AudioError: MP3 does not have this sample rate or rate, or libsndfile cannot write MP3.
    """
    for sample_rates, (lowest, highest) in _KBIT_S:
        if sample_rate in sample_rates and lowest <= kbit_s <= highest:
            break
    else:
        raise AudioError(
            f"MP3 at {sample_rate} Hz and {kbit_s} kbit/s was asked for, expected a sample rate that MP3 has "
            "and 8 to 64 kbit/s up to 12 kHz, 8 to 160 up to 24 kHz, 32 to 320 above",
            code="bad-encoding",
        )
    stream = io.BytesIO()
    # libsndfile maps 0 to the highest rate and 1 to the lowest, linearly, and then refuses 1
    level = min((highest - kbit_s) / (highest - lowest), 0.999)
    settings = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": level}
    try:
        soundfile.write(stream, waveform, sample_rate, **settings)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write MP3 ({failure_text(error)}), "
            "expected one built with LAME",
            hint="install soundfile from its wheel, which brings such a libsndfile",
            code="bad-encoding",
        ) from error
    return stream.getvalue()


def decode_mp3(data: bytes) -> Waveform:
    """Decode what ``encode_mp3`` gave; the encoder's delay is taken out again, so that times stay."""
    waveform, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return np.ascontiguousarray(waveform, np.float32)


def write_audio(path: Path, blocks: Iterable[Waveform], *, sample_rate: int) -> None:
    """Write a mono recording of 16 bits, block by block.

    Args:
        path: Its suffix says the format: ``.wav`` or ``.flac``.
        blocks: Consecutive pieces in [-1, 1].
        sample_rate: Hz.

    Raises:
        AudioError: The file cannot be written.
    """
    try:
        with soundfile.SoundFile(path, "w", samplerate=sample_rate, channels=1, subtype="PCM_16") as file:
            for block in blocks:
                file.write(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path} cannot be written ({failure_text(error)}), expected a folder with room for it",
            hint="free some disk, or set TMPDIR to another folder",
            code="unwritable",
        ) from error
