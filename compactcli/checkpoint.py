"""A model folder explains itself: ``config.json``, ``model.safetensors``, ``README.md``, ``recipe.toml``.

Loading is strict: unknown or missing settings, missing, extra or misshapen tensors and a wrong
checksum are refused. Nothing here can run code from a model folder.
"""

import dataclasses
import hashlib
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from compactcli.config import ModelConfig, from_json, to_json
from compactcli.errors import CompactError, ConfigError, ModelError

if TYPE_CHECKING:
    from compactcli.model import CompactNet

DEFAULT_MODEL = "compactnet"
CONFIG, WEIGHTS = "config.json", "model.safetensors"


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
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"model settings '{path}' cannot be read: {error}", hint="reinstall the model") from error
    try:
        return from_json(ModelConfig, value, where=str(path))
    except ConfigError as error:
        raise ModelError(error.message, hint="use a model made for this version of compact") from error


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
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"model file '{path}' cannot be read: {error}", hint="reinstall the model") from error
        if found != expected:
            raise ModelError(
                f"model file '{path}' has sha256 {found[:12]}…, expected {expected[:12]}…", hint="reinstall the model"
            )


def save_model(folder: Path, config: ModelConfig, network: "CompactNet") -> ModelConfig:
    """Write settings and weights; other files of the folder stay.

    Args:
        folder: Made if it is missing.
        config: Settings; the checksum is filled in.
        network: Weights.

    Returns:
        The settings as written.
    """
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    data = save(weights)
    config = dataclasses.replace(config, sha256={WEIGHTS: hashlib.sha256(data).hexdigest()})
    text = json.dumps(to_json(config), indent=2, ensure_ascii=False) + "\n"
    for name, content in ((WEIGHTS, data), (CONFIG, text.encode())):
        temporary = folder / f".{name}.tmp"
        temporary.write_bytes(content)
        temporary.replace(folder / name)
    return config


def load_network(folder: Path) -> tuple[ModelConfig, "CompactNet"]:
    """Settings and network of a model folder, in evaluation mode on the CPU.

    Raises:
        ModelError: Anything is missing, altered or does not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from compactcli.model import CompactNet

    config = read_config(folder)
    verify(folder, config)
    try:
        network = CompactNet(
            config.network,
            n_mels=config.features.n_mels,
            n_scenes=len(config.scenes),
            n_events=len(config.events),
        )
        network.load_state_dict(load((folder / WEIGHTS).read_bytes()), strict=True)
    except (OSError, SafetensorError, RuntimeError, CompactError) as error:
        # torch lists every tensor, a line each
        reason = textwrap.shorten(str(error), 200, placeholder=" …")
        raise ModelError(
            f"weights '{folder / WEIGHTS}' do not fit the model's settings: {reason}",
            hint="reinstall the model",
        ) from error
    return config, network.eval()
