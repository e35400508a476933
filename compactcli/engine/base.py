"""Waveform in pieces to logits in pieces, with the same numbers as for the whole recording.

A chunk of output frames is computed from its own samples and enough context on both sides that no
frame of it can see where the chunk was cut; the context's own frames are thrown away. Only the ends of
the recording are padded, with zeros.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compactcli.config import ModelConfig

Waveform = npt.NDArray[np.float32]
CHUNK_S = 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LogitChunk:
    """Consecutive output frames of one recording.

    Args:
        scenes: Scene logits, shape ``(n_frames, n_scenes)``.
        events: Event logits, shape ``(n_frames, n_events)``.
    """

    scenes: npt.NDArray[np.float32]
    events: npt.NDArray[np.float32]


class LoadedModel(Protocol):
    """A model, ready for what a command does with it."""

    @property
    def config(self) -> ModelConfig:
        """The model's settings."""

    @property
    def device(self) -> str:
        """Where it runs, such as ``cpu`` or ``cuda:0``."""

    @property
    def name(self) -> str:
        """What runs it, such as ``onnx``."""


class Engine(LoadedModel, Protocol):
    """Runs a model on a device."""

    def stream(self, blocks: Iterable[Waveform]) -> Iterator[LogitChunk]:
        """Logits of one recording.

        Args:
            blocks: The recording in consecutive pieces of any length: mono, at the model's sample rate.

        Yields:
            Chunks in order, together ``config.clock.n_frames(n_samples)`` output frames.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EngineStages:
    """What an engine does with one chunk, step by step; each step has ended when its function returns.

    Args:
        log_mel: Samples that carry their context to whatever ``network`` takes.
        network: That to logits.
    """

    log_mel: Callable[[Waveform], Any]
    network: Callable[[Any], LogitChunk]


class StagedEngine(Engine, Protocol):
    """An engine whose steps can be timed one by one."""

    @property
    def precision(self) -> str:
        """Numbers that the network computes with: ``fp32`` or ``bf16``."""

    def stages(self) -> EngineStages:
        """The steps of which ``stream`` is made."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Samples from which some output frames of a recording can be computed exactly.

    Args:
        waveform: Samples that start and end ``(n_fft - hop_length) / 2`` samples outside their frames.
        skip: Output frames at their beginning that are context.
        n_frames: Output frames after those that are wanted; whatever follows is context again.
    """

    waveform: Waveform
    skip: int
    n_frames: int

    def keep(self, logits: LogitChunk) -> LogitChunk:
        """The wanted frames, of the logits of all its frames."""
        wanted = slice(self.skip, self.skip + self.n_frames)
        return LogitChunk(scenes=logits.scenes[wanted], events=logits.events[wanted])


def cut_windows(
    blocks: Iterable[Waveform], *, config: ModelConfig, context_frames: int, chunk_s: float = CHUNK_S
) -> Iterator[Window]:
    """Cut a recording into overlapping windows, all of one length but those at its ends.

    Args:
        blocks: See `Engine.stream`; each is kept until its window is cut, and must not change meanwhile.
        config: The model's settings.
        context_frames: Log-mel frames that an output frame can see on either side.
        chunk_s: Seconds of wanted frames in a window.
    """
    hop, stride = config.features.hop_length, config.network.time_stride
    margin = config.features.n_fft - hop  # samples around the frames, both sides together
    context = -(-context_frames // stride) * stride
    chunk = max(1, config.clock.s_to_frames(chunk_s))
    # the buffer's first sample is `origin` after the recording's start less the left margin
    buffer, origin = np.zeros(margin // 2, dtype=np.float32), 0
    waiting: list[Waveform] = []  # blocks after the buffer, joined to it once for each window
    n_samples, done = 0, 0

    def cut(first: int, last: int, end: int | None) -> Window:
        start = max(0, first * stride - context)
        stop = last * stride + context if end is None else min(last * stride + context, end * stride)
        waveform = buffer[start * hop - origin : stop * hop + margin - origin]
        return Window(waveform=waveform, skip=first - start // stride, n_frames=last - first)

    for block in blocks:
        n_samples += len(block)
        waiting.append(block)
        while margin // 2 + n_samples >= ((done + chunk) * stride + context) * hop + margin:
            buffer, waiting = np.concatenate([buffer, *waiting]), []
            yield cut(done, done + chunk, None)
            done += chunk
            keep = max(0, done * stride - context) * hop
            buffer, origin = buffer[keep - origin :], keep
    end = config.clock.n_frames(n_samples)
    missing = end * stride * hop + margin - (margin // 2 + n_samples)
    buffer = np.concatenate([buffer, *waiting, np.zeros(max(0, missing), dtype=np.float32)])
    while done < end:
        last = min(done + chunk, end)
        yield cut(done, last, end)
        done = last


def stream_logits(
    blocks: Iterable[Waveform],
    run: Callable[[Waveform], LogitChunk],
    *,
    config: ModelConfig,
    context_frames: int,
    chunk_s: float = CHUNK_S,
) -> Iterator[LogitChunk]:
    """Cut a recording into windows, run one after the other, and keep what is exact of each.

    Args:
        blocks: See `Engine.stream`.
        run: Logits of all frames of a window's samples.
        config: The model's settings.
        context_frames: Log-mel frames that an output frame can see on either side.
        chunk_s: Length of a chunk in seconds.
    """
    for window in cut_windows(blocks, config=config, context_frames=context_frames, chunk_s=chunk_s):
        yield window.keep(run(window.waveform))
