"""A recording becomes mono float32 blocks at the rate asked for; the only importer of soundfile, soxr and av.

What a file is, is decided by its content, never by its name. Files are decoded block by block, so memory
does not grow with their length and nothing is allocated from what a header claims. Audio that decoded before
some damage is kept, and ``AudioReader.damage`` says what is missing or wrong.

A recording counts as damaged when

- the decoder gives up after good audio;
- fewer frames decode than the header promises: more than one MPEG frame (1,152) for MP3, half of the longest
  block (4,096) for Vorbis, the longest packet (120 ms) for Opus, any frame for FLAC and the uncompressed formats;
- a RIFF, RF64, BW64, W64, AIFF or AU header promises more than 64 bytes beyond the end of the file, or that of a CAF
  any. Some sizes are what programs write that do not know the length, see ``chunks.is_unknown_size``, and promise
  nothing;
- a WAV goes on behind what its header promises with what may be sound, which is heard, or with another recording;
- an Ogg stream does not end with a whole last page, a page at its beginning is damaged, or something follows it that
  is no stream like it;
- MPEG frames follow behind the end that an MP3 promises;
- more than 0.2 s of what an MP4, Matroska or WavPack header promises is missing, or is left out between two time
  stamps of any container. AMR and raw AAC promise nothing.

An MP3 without a Xing or VBRI header has no promise: the decoder's guess is ignored and the file is read to its end.

A recording beyond the ``AudioLimits`` is refused whole, not analysed in part: too many channels, a strange sample rate,
more seconds than asked for. Standard input is spooled into a temporary file, up to a limit of bytes.
"""

from compactcli.audio.cutting import CutRecording, Piece, cut_audio, measure_duration
from compactcli.audio.header import AudioInfo
from compactcli.audio.limits import DEFAULT_LIMITS, AudioLimits, check_duration
from compactcli.audio.reading import (
    AudioReader,
    Waveform,
    convert_waveform,
    decode_only,
    open_audio,
    read_audio,
    resample_blocks,
)
from compactcli.audio.spooling import spool_audio

__all__ = [
    "DEFAULT_LIMITS",
    "AudioInfo",
    "AudioLimits",
    "AudioReader",
    "CutRecording",
    "Piece",
    "Waveform",
    "check_duration",
    "convert_waveform",
    "cut_audio",
    "decode_only",
    "measure_duration",
    "open_audio",
    "read_audio",
    "resample_blocks",
    "spool_audio",
]
