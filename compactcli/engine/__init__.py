"""Engines turn waveforms into logits. `load_engine` chooses one."""

from pathlib import Path

from compactcli.checkpoint import GRAPH
from compactcli.engine.base import Engine, LoadedModel, LogitChunk, StagedEngine
from compactcli.engine.devices import check_device, may_have_cuda
from compactcli.errors import ConfigError
from compactcli.packages import require_package

__all__ = ["ENGINES", "PRECISIONS", "Engine", "LoadedModel", "LogitChunk", "StagedEngine", "load_engine"]

ENGINES = ("auto", "onnx", "torch")
PRECISIONS = ("fp32", "bf16")


def load_engine(
    folder: Path,
    *,
    device: str = "auto",
    engine: str = "auto",
    graph: Path | None = None,
    batch_size: int | None = None,
    precision: str = "fp32",
) -> StagedEngine:
    """Load a model folder onto a device.

    Args:
        folder: Model folder, see `compactcli.checkpoint.find_model`.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` takes CUDA where it is there.
        engine: ``onnx``, for the CPU alone; ``torch``; or ``auto``: torch on CUDA, and on the CPU onnx where the folder
            holds a graph for it.
        graph: A network alone that ``compact export`` wrote of the model, for the onnx engine to run in place of the
            folder's own.
        batch_size: Windows of 30 s that the torch engine hears at once, at least 1; None takes what suits the device.
            The onnx engine hears one after the other.
        precision: Numbers that the network computes with: ``fp32``, or ``bf16`` for the torch engine, which is quicker
            where the device has units for it, and less exact. The log-mel is computed in fp32 either way.

    Raises:
        ModelError: The folder or the graph cannot be loaded.
        DeviceError: The device is not there.
        ConfigError: The engine or the precision is unknown, they do not run together or on that device, or the engine
            is not installed, or the batch size is less than 1.
    """
    if engine not in ENGINES:
        raise ConfigError(f"engine '{engine}' is unknown, expected one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision '{precision}' is unknown, expected one of {', '.join(PRECISIONS)}")
    check_device(device)
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}, expected at least 1 window")
    if graph is not None:
        if engine == "torch":
            raise ConfigError(
                f"engine 'torch' was asked for with the graph '{graph}', which engine 'onnx' runs",
                hint="leave one of them out",
            )
        if precision != "fp32":
            raise ConfigError(
                f"precision '{precision}' was asked for with the graph '{graph}', which computes as it was exported",
                hint="leave one of them out",
            )
        engine = "onnx"
    if engine == "onnx" and precision != "fp32":
        raise ConfigError(
            f"engine 'onnx' was asked for with precision '{precision}', it computes in fp32 alone",
            hint="use --engine torch, or --precision fp32",
        )
    if engine == "onnx" and device not in ("auto", "cpu"):
        raise ConfigError(
            f"engine 'onnx' was asked for with device '{device}', it runs on the CPU alone",
            hint="use --engine torch, or --device cpu",
        )
    if engine == "auto" and precision != "fp32":
        engine = "torch"
    if engine == "auto":
        engine = "onnx" if _runs_on_cpu(device) and (folder / GRAPH).exists() else "torch"
        # a GPU that was asked for is torch's to find, and "auto" has been decided by now
        device = "cpu" if engine == "onnx" else device
    # each engine imports what it runs on, and only the one that is used
    if engine == "onnx":
        require_package("onnxruntime", purpose="engine 'onnx'")
        from compactcli.engine.onnx import OnnxEngine

        return OnnxEngine(folder, graph=graph)
    require_package("torch", purpose=f"device '{device}'" if device.startswith("cuda") else "engine 'torch'")
    from compactcli.engine.torch import TorchEngine

    return TorchEngine(folder, device=device, batch_size=batch_size, precision=precision)


def _runs_on_cpu(device: str) -> bool:
    if device == "cpu":
        return True
    if device != "auto" or not may_have_cuda():
        return device == "auto"
    from compactcli.engine.torch import choose_device

    return choose_device("auto").type == "cpu"
