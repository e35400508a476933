"""Recordings become tasks: every stage gets what the stage before it made, ready in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compactcli import inference
from compactcli.audio import Waveform, decode_only, open_audio, resample_blocks
from compactcli.config import FeatureConfig, ModelConfig
from compactcli.engine.base import LogitChunk, StagedEngine, stream_logits
from compactcli.inference.listening import Findings, listen
from compactcli.logmel import BLOCK_FRAMES

Task = Callable[[], object]

DECODE, RESAMPLE, LOG_MEL, NETWORK = "decode", "resample", "log-mel", "network"
POST_PROCESSING, END_TO_END = "post-processing", "end to end"
FEATURES_AND_NETWORK = "features and network"
ORDER = (DECODE, RESAMPLE, LOG_MEL, NETWORK, FEATURES_AND_NETWORK, POST_PROCESSING, END_TO_END)


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """One recording and everything that the stages make of it.

    Args:
        path: The recording.
        sample_rate: Its own, in Hz.
        duration_s: Seconds that decode.
        n_samples: Samples at the model's rate.
        blocks: Mono blocks at the model's rate, as decoding gives them.
        own_blocks: The same at its own rate, only where that is not the model's.
        windows: Samples of each chunk with their context, as the engine cuts them.
        log_mels: What the engine makes of each of ``windows``.
        logits: What the engine makes of the recording.
    """

    path: Path
    sample_rate: int
    duration_s: float
    n_samples: int
    blocks: Sequence[Waveform]
    own_blocks: Sequence[Waveform]
    windows: Sequence[Waveform]
    log_mels: Sequence[Any]
    logits: Sequence[LogitChunk]


def prepare(path: Path, engine: StagedEngine) -> Material:
    """Run a recording through an engine, keeping what each stage gives.

    Raises:
        AudioError: The recording cannot be analysed.
    """
    config, stages = engine.config, engine.stages()
    windows, log_mels = [], []

    def run(window: Waveform) -> LogitChunk:
        windows.append(window)
        log_mels.append(stages.log_mel(window))
        return stages.network(log_mels[-1])

    with open_audio(path, sample_rate=config.features.sample_rate) as reader:
        blocks = list(reader)
    logits = list(stream_logits(blocks, run, config=config, context_frames=config.network.context_frames))
    own_rate, own_blocks = reader.info.sample_rate, []
    if own_rate != config.features.sample_rate:
        with open_audio(path, sample_rate=own_rate) as own_reader:
            own_blocks = list(own_reader)
    return Material(
        path=path,
        sample_rate=own_rate,
        duration_s=reader.decoded_s,
        n_samples=reader.n_samples,
        blocks=blocks,
        own_blocks=own_blocks,
        windows=windows,
        log_mels=log_mels,
        logits=logits,
    )


def reading_tasks(materials: Sequence[Material], *, sample_rate: int) -> dict[str, Task]:
    """Decoding, and resampling where a recording has another rate than the model, in Hz."""
    tasks: dict[str, Task] = {DECODE: lambda: [_decode(item) for item in materials]}
    others = [item for item in materials if item.own_blocks]
    if others:
        tasks[RESAMPLE] = lambda: [_resample(item, sample_rate) for item in others]
    return tasks


def engine_tasks(materials: Sequence[Material], engine: StagedEngine) -> dict[str, Task]:
    """The stages of the engine that prepared the recordings."""
    stages, plan = engine.stages(), inference.plan_detection(engine.config, detection=None, classes=None)

    def process_logits(item: Material) -> Findings:
        # a view of one zero: nobody reads the samples, but their number ends the recording
        silence = np.broadcast_to(np.float32(0), item.n_samples)
        return listen([silence], _ReadyEngine(engine, item.logits), plan=plan)

    return {
        LOG_MEL: lambda: [stages.log_mel(window) for item in materials for window in item.windows],
        NETWORK: lambda: [stages.network(log_mel) for item in materials for log_mel in item.log_mels],
        FEATURES_AND_NETWORK: lambda: [list(engine.stream(item.blocks)) for item in materials],
        POST_PROCESSING: lambda: [process_logits(item) for item in materials],
        END_TO_END: lambda: [inference.detect_recording(item.path, engine) for item in materials],
    }


def floor_tasks(materials: Sequence[Material], features: FeatureConfig) -> dict[str, Task]:
    """What the stages cannot leave out, by itself: libsndfile, and numpy's FFT of as many frames at a time."""
    windows = [window for item in materials for window in item.windows]
    count = sum((len(window) - features.n_fft) // features.hop_length + 1 for window in windows)
    frames = np.random.default_rng(0).standard_normal((BLOCK_FRAMES, features.n_fft), dtype=np.float32)

    def transform() -> None:
        for start in range(0, count, BLOCK_FRAMES):
            np.fft.rfft(frames[: count - start])

    return {DECODE: lambda: [decode_only(item.path) for item in materials], LOG_MEL: transform}


class _ReadyEngine:
    """An engine that has heard the recording already."""

    def __init__(self, engine: StagedEngine, logits: Sequence[LogitChunk]) -> None:
        self.config: ModelConfig = engine.config
        self.device = engine.device
        self.name = engine.name
        self._logits = logits

    def stream(self, blocks: Iterable[Waveform]) -> Iterator[LogitChunk]:
        for _ in blocks:
            yield from self._logits


def _decode(item: Material) -> int:
    with open_audio(item.path, sample_rate=item.sample_rate) as reader:
        return sum(len(block) for block in reader)


def _resample(item: Material, sample_rate: int) -> int:
    pieces = resample_blocks(item.own_blocks, from_rate=item.sample_rate, sample_rate=sample_rate)
    return sum(len(piece) for piece in pieces)
