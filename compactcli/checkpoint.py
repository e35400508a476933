"""A model folder explains itself: settings, weights, a graph for onnxruntime, recipe, and card with its picture.

Loading is strict: unknown or missing settings, missing, extra or misshapen tensors and a wrong
checksum are refused. Nothing here can run code from a model folder.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactcli.config import WEIGHTS, ModelConfig
from compactcli.errors import CompactError, ConfigError, ModelError
from compactcli.packages import is_installed
from compactcli.plainjson import from_json, to_json
from compactcli.temporary import whole_file

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from compactcli.model import CompactNet

DEFAULT_MODEL = "compactnet"
CONFIG, GRAPH = "config.json", "model.onnx"
RECIPE, CARD, CARD_PICTURE = "recipe.toml", "README.md", "reliability.png"
# what a stopped training goes on from; a finished one is not trained again by accident
STATE = "state.pt"

# Neither a folder nor a way out of one; the first letter rules out "..".
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

# A network this much larger than its file is still built, in 64 MiB, so that torch can say which tensors do not fit.
_MAX_EXCESS_VALUES = 2**24
_MAX_EXCESS_BLOCKS = 100


def model_folders() -> tuple[Path, ...]:
    """Where installed models live: inside the package, and beside it in a source checkout."""
    package = Path(__file__).parent
    return (package / "models", package.parent / "models")


def list_models() -> list[Path]:
    """Folders of all installed models, sorted by name."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if (path / CONFIG).is_file():
                    found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]


def find_model(name: str) -> Path:
    """Folder of a model.

    Args:
        name: Name of an installed model, or path of a model folder.

    Raises:
        ModelError: There is neither.
    """
    installed = {path.name: path for path in list_models()}
    if name in installed:
        return installed[name]
    with contextlib.suppress(OSError):  # a folder that may not be entered, a name that is too long
        if (Path(name) / CONFIG).is_file():
            return Path(name)
    raise ModelError(
        f"model '{name}' was not found, expected an installed model ({', '.join(installed) or 'none is'})"
        f" or a folder with {CONFIG}",
        hint="list the installed models with: compact models",
    )


def read_config(folder: Path) -> ModelConfig:
    """Settings of a model.

    Raises:
        ModelError: ``config.json`` is missing, not JSON, or not what this version reads.
    """
    path = folder / CONFIG
    try:
        value = json.loads(_read_file(path).decode())
    except (OSError, ValueError, RecursionError) as error:  # not text, not JSON, too long a number; too deep
        raise ModelError(f"model settings '{path}' cannot be read: {error}", hint="reinstall the model") from error
    try:
        return from_json(ModelConfig, value, where=str(path))
    except ConfigError as error:
        raise ModelError(error.message, hint="use a model made for this version of compact") from error


def _read_file(path: Path) -> bytes:
    # a pipe would be waited for and a device read for ever
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    return path.read_bytes()


def verify(folder: Path, config: ModelConfig) -> None:
    """Check every file that ``config`` names against its sha256; the weights must be among them.

    Raises:
        ModelError: A file is missing or differs, or the weights have no checksum.
    """
    if WEIGHTS not in config.sha256:
        raise ModelError(
            f"model settings '{folder / CONFIG}' hold no sha256 of {WEIGHTS}, expected one",
            hint="write the model folder with compact train",
        )
    for name, expected in config.sha256.items():
        path = folder / name
        if not _PLAIN_NAME.fullmatch(name):
            raise ModelError(
                f"model settings '{folder / CONFIG}' hold a sha256 of {name!r}, expected names of files in the folder",
                hint="use a model from someone you trust",
            )
        try:
            found = hashlib.sha256(_read_file(path)).hexdigest()
        except OSError as error:
            raise ModelError(f"model file '{path}' cannot be read: {error}", hint="reinstall the model") from error
        if found != expected:
            raise ModelError(
                f"model file '{path}' has sha256 {found[:12]}…, expected {expected[:12]}…", hint="reinstall the model"
            )


def save_model(folder: Path, config: ModelConfig, network: "CompactNet") -> ModelConfig:
    """Write settings, weights and, where the package ``onnx`` is there, the graph; other files of the folder stay.

    Without that package the folder gets no graph, and the torch engine runs the model everywhere.

    Args:
        folder: Made if it is missing.
        config: Settings; the checksums are filled in.
        network: Weights.

    Returns:
        The settings as written.
    """
    from safetensors.torch import save

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return write_folder(folder, config, save(weights))


def write_folder(folder: Path, config: ModelConfig, weights: bytes) -> ModelConfig:
    """Write settings, weights and graph of a model, without torch; see ``save_model``.

    Args:
        folder: Made if it is missing.
        config: Settings; the checksums are filled in.
        weights: What ``model.safetensors`` will hold.

    Returns:
        The settings as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {WEIGHTS: weights}
    if is_installed("onnx"):
        from compactcli.graph import network_model

        files[GRAPH] = network_model(config, weights, location=WEIGHTS).SerializeToString(deterministic=True)
    else:
        (folder / GRAPH).unlink(missing_ok=True)  # that of other weights
    config = dataclasses.replace(
        config, sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    )
    _write_files(folder, {**files, CONFIG: _as_bytes(config)})
    return config


def copy_model(source: Path, folder: Path, config: ModelConfig) -> None:
    """Write a model that differs from another one in its settings alone: weights, graph and recipe are the same bytes.

    Card and picture stay behind: their figures are those of the other settings. Neither torch nor onnx is needed.

    Args:
        source: Folder of the other model.
        folder: Made if it is missing.
        config: Settings with the name, the detection and the training that the model shall have, and all else, the
            checksums too, as ``source`` has it.

    Raises:
        ModelError: A file of ``source`` is missing or altered.
    """
    verify(source, config)
    files = {name: _read_file(source / name) for name in config.sha256}
    if (source / RECIPE).is_file():
        files[RECIPE] = _read_file(source / RECIPE)
    folder.mkdir(parents=True, exist_ok=True)
    _write_files(folder, {**files, CONFIG: _as_bytes(config)})


def _as_bytes(config: ModelConfig) -> bytes:
    return (json.dumps(to_json(config), indent=2, ensure_ascii=False) + "\n").encode()


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        with whole_file(folder / name) as part:
            part.write_bytes(content)


def read_weights(folder: Path, config: ModelConfig) -> "dict[str, npt.NDArray[Any]]":
    """Tensors of a model folder without torch, for whoever puts them into another model.

    Args:
        folder: Model folder.
        config: Its settings.

    Raises:
        ModelError: The file is missing, altered or no safetensors file, or holds other than finite numbers.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    verify(folder, config)
    try:
        weights = load(_read_file(folder / WEIGHTS))
    except (OSError, SafetensorError, KeyError) as error:  # KeyError: numbers that numpy has no type for
        raise ModelError(f"weights '{folder / WEIGHTS}' cannot be read: {error}", hint="reinstall the model") from error
    for name, tensor in weights.items():
        # how many batches the normalisation has seen is a whole number
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise ModelError(
                f"weights '{folder / WEIGHTS}' hold values of {name} that are not finite", hint="reinstall the model"
            )
    return weights


def load_network(folder: Path) -> tuple[ModelConfig, "CompactNet"]:
    """Settings and network of a model folder, in evaluation mode on the CPU.

    Raises:
        ModelError: Anything is missing, altered or does not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    config = read_config(folder)
    verify(folder, config)
    try:
        weights = load(_read_file(folder / WEIGHTS))
        _check_size(config, weights)
        network = _build(config)
        network.load_state_dict(weights, strict=True)
        _check_numbers(network, weights)
    except (OSError, SafetensorError, RuntimeError, CompactError) as error:
        # torch lists every tensor, a line each
        reason = textwrap.shorten(str(error), 200, placeholder=" …")
        raise ModelError(
            f"weights '{folder / WEIGHTS}' do not fit the model's settings: {reason}",
            hint="reinstall the model",
        ) from error
    return config, network.eval()


def _build(config: ModelConfig) -> "CompactNet":
    from compactcli.model import CompactNet

    return CompactNet(
        config.network,
        n_mels=config.features.n_mels,
        n_scenes=len(config.scenes),
        n_events=len(config.events),
    )


def _check_size(config: ModelConfig, weights: Mapping[str, "Tensor"]) -> None:
    """Refuse settings that ask for far more than the file holds before memory is taken for it."""
    import torch

    n_blocks = sum(stage.n_blocks for stage in (*config.network.stages, *config.network.context))
    if n_blocks > len(weights) + _MAX_EXCESS_BLOCKS:
        raise ModelError(f"{n_blocks} blocks are set, expected fewer than the {len(weights)} tensors of the file")
    with torch.device("meta"):  # shapes alone
        n_set = sum(tensor.numel() for tensor in _build(config).state_dict().values())
    n_found = sum(tensor.numel() for tensor in weights.values())
    if n_set > n_found + _MAX_EXCESS_VALUES:
        raise ModelError(f"{n_set} values are set, expected about the {n_found} of the file")


def _check_numbers(network: "CompactNet", weights: Mapping[str, "Tensor"]) -> None:
    for name, expected in network.state_dict().items():
        if weights[name].dtype != expected.dtype:
            raise ModelError(f"'{name}' is stored as {weights[name].dtype}, expected {expected.dtype}")
        if not weights[name].isfinite().all():
            raise ModelError(f"'{name}' holds values that are not finite, expected finite numbers")
