"""Engines turn waveforms into logits. `load_engine` chooses one."""

from pathlib import Path

from compactcli.engine.base import Engine, LogitChunk

__all__ = ["Engine", "LogitChunk", "load_engine"]


def load_engine(folder: Path, *, device: str = "auto") -> Engine:
    """Load a model folder onto a device.

    Args:
        folder: Model folder, see `compactcli.checkpoint.find_model`.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ModelError: The folder cannot be loaded.
        DeviceError: The device is not there.
    """
    # torch takes over a second to import, so only what runs a model does
    from compactcli.engine.torch import TorchEngine

    return TorchEngine(folder, device=device)
