"""The torch engine: features and network on CPU or CUDA."""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from compactcli.checkpoint import load_network
from compactcli.engine.base import EngineStages, LogitChunk, Waveform, Window, cut_windows
from compactcli.engine.devices import check_device
from compactcli.errors import DeviceError, DeviceWarning
from compactcli.features import LogMel

# windows of 30 s and their context: a gigabyte or so for a network of this size
CUDA_BATCH_SIZE = 16


def choose_device(device: str) -> torch.device:
    """The torch device behind ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: The name is none of these, or there is no such CUDA device.
    """
    check_device(device)
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not available):
        return torch.device("cpu")
    number = device.partition(":")[2]
    if int(number or 0) >= available:
        raise DeviceError(
            f"device '{device}' was asked for, {available} CUDA devices were found",
            hint="use --device cpu, or --device auto to take CUDA only where it is there",
        )
    return torch.device("cuda", int(number or 0))


class TorchEngine:
    """Runs a model folder with torch.

    A GPU gets several windows of a recording at a time. When its memory does not hold them their number halves, and
    when it does not hold one the engine goes on on the CPU; either is said with a `DeviceWarning`.

    Args:
        folder: Model folder.
        device: See `choose_device`.
        batch_size: Windows at a time; None takes what suits the device.
        precision: ``fp32`` or ``bf16``: the numbers that convolutions take and give. The log-mel is fp32 either way.

    Raises:
        ModelError: The folder cannot be loaded.
        DeviceError: The device is not there.
    """

    name = "torch"

    def __init__(
        self, folder: Path, *, device: str = "auto", batch_size: int | None = None, precision: str = "fp32"
    ) -> None:
        self.precision = precision
        self._device = choose_device(device)
        self.device = str(self._device)
        # a core works fastest on what its cache holds
        self._batch_size = batch_size or (1 if self._device.type == "cpu" else CUDA_BATCH_SIZE)
        self.config, self._network = load_network(folder)
        self._log_mel = LogMel(self.config.features)
        try:
            self._move()
        except torch.OutOfMemoryError:
            self._go_on_on_the_cpu("the model")

    def stream(self, blocks: Iterable[Waveform]) -> Iterator[LogitChunk]:
        """See `compactcli.engine.base.Engine.stream`."""
        windows = cut_windows(blocks, config=self.config, context_frames=self._network.context_frames)
        for _, alike in itertools.groupby(windows, key=lambda window: len(window.waveform)):
            while batch := list(itertools.islice(alike, self._batch_size)):
                yield from self._run(batch)

    def stages(self) -> EngineStages:
        """See `compactcli.engine.base.StagedEngine.stages`."""

        def log_mel(waveform: Waveform) -> torch.Tensor:
            features = self._features(waveform[None])
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            return features

        return EngineStages(log_mel=log_mel, network=lambda features: self._logits(features)[0])

    def _run(self, batch: Sequence[Window]) -> Iterator[LogitChunk]:
        while batch:
            now = batch[: self._batch_size]
            try:
                found = self._logits(self._features(np.stack([window.waveform for window in now])))
            except torch.OutOfMemoryError:
                if self.device == "cpu":
                    raise
            else:
                yield from (window.keep(logits) for window, logits in zip(now, found, strict=True))
                batch = batch[len(now) :]
                continue
            # after the error, which holds on to the memory that it was raised in
            self._use_less_memory(len(now))

    def _use_less_memory(self, tried: int) -> None:
        torch.cuda.empty_cache()
        if tried == 1:
            self._go_on_on_the_cpu("30 s of sound")
            return
        self._batch_size = tried // 2
        warnings.warn(
            f"the memory of '{self.device}' is full: going on with {self._batch_size} x 30 s at a time",
            DeviceWarning,
            stacklevel=2,
        )

    def _go_on_on_the_cpu(self, burden: str) -> None:
        warnings.warn(
            f"the memory of '{self.device}' does not hold {burden}: going on on the CPU", DeviceWarning, stacklevel=2
        )
        self._device, self.device, self._batch_size = torch.device("cpu"), "cpu", 1
        self._move()

    def _move(self) -> None:
        self._network = self._network.to(self._device)
        self._log_mel = self._log_mel.to(self._device)

    @torch.inference_mode()
    def _features(self, waveforms: Waveform) -> torch.Tensor:
        features: torch.Tensor = self._log_mel.of_padded(torch.from_numpy(waveforms).to(self._device))
        return features

    @torch.inference_mode()
    def _logits(self, log_mel: torch.Tensor) -> list[LogitChunk]:
        # the 10 bits to which CUDA would round what its convolutions multiply are too few for the CPU's scores
        with (
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            scenes, events = (logits.float().cpu().numpy() for logits in self._network(log_mel))
        return [
            LogitChunk(scenes=of_scenes, events=of_events) for of_scenes, of_events in zip(scenes, events, strict=True)
        ]
