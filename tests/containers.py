"""Recordings in containers that libsndfile does not know, made by FFmpeg's libraries; the same bytes in every run."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np


class Kind(NamedTuple):
    """A container, the codec in it, and the sample format that the codec takes."""

    muxer: str
    codec: str
    sample_format: str = "fltp"


KINDS = {
    ".m4a": Kind("ipod", "aac"),
    ".webm": Kind("webm", "libopus", "flt"),
    ".mka": Kind("matroska", "flac", "s16"),
    ".aac": Kind("adts", "aac"),
    ".wv": Kind("wv", "wavpack", "s16p"),
}


def container_bytes(suffix, waveform, rate, *, options=None, pictures=0, late=0, gap=0):
    """A recording as bytes.

    Args:
        suffix: One of ``KINDS``.
        waveform: Shape ``(n_samples, n_channels)``, in [-1, 1].
        rate: Hz.
        options: The muxer's.
        pictures: Pictures beside the sound.
        late: Samples that all of it comes late.
        gap: Samples that the second half comes later still.
    """
    kind = KINDS[suffix]
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[waveform.shape[1]]
    # an index that moves to the front is read from the file again
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made"
        _write(path, kind, waveform, rate, layout, options or {}, pictures, late, gap)
        return path.read_bytes()


def _write(path, kind, waveform, rate, layout, options, pictures, late, gap):
    with av.open(str(path), "w", format=kind.muxer, options={"fflags": "+bitexact", **options}) as output:
        sound = output.add_stream(kind.codec, rate=rate, layout=layout) if len(waveform) else None
        if sound is not None:
            sound.bit_rate = 64_000
        if pictures:
            add_pictures(output, pictures)
        for start in range(0, len(waveform), 1024):
            # packed: PyAV 18 knows no planes beyond the seventh
            piece = np.ascontiguousarray(waveform[start : start + 1024], np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, start + late + (gap if start >= len(waveform) // 2 else 0)
            for converted in av.AudioResampler(format=kind.sample_format).resample(frame):
                output.mux(sound.encode(converted))
        if sound is not None:
            output.mux(sound.encode(None))


def add_pictures(output, count):
    stream = output.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 2048, 2048, "yuv420p"
    for _ in range(count):
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((2048, 2048, 3), np.uint8), format="rgb24")))
    output.mux(stream.encode(None))
