"""The heads of a model, taken off and put on: its network stays as it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compactcli.audio import Waveform
from compactcli.checkpoint import read_config, read_weights, write_folder
from compactcli.config import WEIGHTS, CalibrationConfig, DetectionConfig, ModelConfig
from compactcli.engine import Engine, load_engine
from compactcli.errors import ModelError
from compactcli.packages import require_package
from compactcli.temporary import temporary_folder

# that putting on heads needs
PACKAGES = ("safetensors", "onnx")
SCENE_HEAD, EVENT_HEAD = "scene_head", "event_head"


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """Logits of classes as ``weight @ embedding + bias``.

    Args:
        classes: Their names.
        weight: Shape ``(n_classes, embedding_size)``.
        bias: Shape ``(n_classes,)``.
    """

    classes: tuple[str, ...]
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def tensors(self, name: str) -> dict[str, npt.NDArray[np.float32]]:
        """As a model's file holds it: a convolution of one frame."""
        # safetensors writes the memory of an array as it lies, whatever order its axes are in
        return {f"{name}.weight": np.ascontiguousarray(self.weight)[:, :, None], f"{name}.bias": self.bias}


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedder:
    """A network without the heads of its model.

    Args:
        engine: Gives the embeddings of frames for their event logits.
        config: Settings of the model that the network is of.
    """

    engine: Engine
    config: ModelConfig

    @property
    def name(self) -> str:
        """Name of the engine."""
        return self.engine.name

    @property
    def device(self) -> str:
        """Where the network runs."""
        return self.engine.device

    def stream(self, blocks: Iterable[Waveform]) -> Iterator[npt.NDArray[np.float32]]:
        """Embeddings of consecutive frames, shape ``(n_output_frames, embedding_size)``; see ``Engine.stream``."""
        for chunk in self.engine.stream(blocks):
            yield chunk.events


def load_embedder(folder: Path, *, device: str = "auto") -> Embedder:
    """The network of a model.

    The embedding is what both heads of a model see of a frame. An event head that is the identity lets it through, so
    recordings of any length are embedded by the engine that hears them.

    Args:
        folder: Model folder.
        device: See ``compactcli.engine.load_engine``.

    Raises:
        ModelError: The folder cannot be loaded.
        DeviceError: The device is not there.
        ConfigError: A package is not installed.
    """
    for package in PACKAGES:
        require_package(package, purpose="an embedding")
    # what this refuses, it refuses in the words of every other command
    config = load_engine(folder, device=device).config
    size = config.network.embedding_size
    nothing = LinearHead(classes=("any",), weight=np.zeros((1, size), np.float32), bias=np.zeros(1, np.float32))
    identity = LinearHead(
        classes=tuple(f"channel {number}" for number in range(size)),
        weight=np.eye(size, dtype=np.float32),
        bias=np.zeros(size, dtype=np.float32),
    )
    with temporary_folder() as place:
        write_heads(folder, place, config, scenes=nothing, events=identity)
        return Embedder(engine=load_engine(place, device=device), config=config)


def write_heads(source: Path, folder: Path, config: ModelConfig, *, scenes: LinearHead, events: LinearHead) -> None:
    """Write a model that differs from another one in its heads: the network's weights are the same.

    Args:
        source: Folder of the other model.
        folder: Made if it is missing.
        config: Settings that the model shall have, but for classes, calibration and thresholds: those are the heads',
            whose logits are those of probabilities with their operating point at 0.5.
        scenes: Scene head.
        events: Event head.

    Raises:
        ModelError: A file of ``source`` is missing or altered, or does not fit its settings.
    """
    from safetensors.numpy import save

    heads = {**scenes.tensors(SCENE_HEAD), **events.tensors(EVENT_HEAD)}
    weights = save({**read_weights(source, read_config(source)), **heads})
    own = replace(
        config,
        scenes=scenes.classes,
        events=events.classes,
        detection=replace(config.detection, threshold=DetectionConfig().threshold, class_thresholds={}),
        calibration=CalibrationConfig(),
    )
    try:
        write_folder(folder, own, weights)
    except KeyError as error:
        raise ModelError(
            f"weights '{source / WEIGHTS}' do not fit the model's settings: {error} is missing, expected in float32",
            hint="reinstall the model",
        ) from error
