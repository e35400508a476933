"""The torch engine: features and network on CPU or CUDA."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from compactcli.checkpoint import load_network
from compactcli.engine.base import EngineStages, LogitChunk, Waveform, stream_logits
from compactcli.engine.devices import check_device
from compactcli.errors import DeviceError
from compactcli.features import LogMel


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

    Args:
        folder: Model folder.
        device: See `choose_device`.

    Raises:
        ModelError: The folder cannot be loaded.
        DeviceError: The device is not there.
    """

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        self._device = choose_device(device)
        self.device = str(self._device)
        self.config, network = load_network(folder)
        self._network = network.to(self._device)
        self._log_mel = LogMel(self.config.features).to(self._device)

    def stream(self, blocks: Iterable[Waveform]) -> Iterator[LogitChunk]:
        """See `compactcli.engine.base.Engine.stream`."""
        return stream_logits(blocks, self._run, config=self.config, context_frames=self._network.context_frames)

    def stages(self) -> EngineStages:
        """See `compactcli.engine.base.StagedEngine.stages`."""

        def log_mel(waveform: Waveform) -> torch.Tensor:
            features = self._features(waveform)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            return features

        return EngineStages(log_mel=log_mel, network=self._logits)

    def _run(self, waveform: Waveform) -> LogitChunk:
        return self._logits(self._features(waveform))

    @torch.inference_mode()
    def _features(self, waveform: Waveform) -> torch.Tensor:
        features: torch.Tensor = self._log_mel.of_padded(torch.from_numpy(waveform).to(self._device)[None])
        return features

    @torch.inference_mode()
    def _logits(self, log_mel: torch.Tensor) -> LogitChunk:
        scenes, events = self._network(log_mel)
        return LogitChunk(scenes=scenes[0].cpu().numpy(), events=events[0].cpu().numpy())
