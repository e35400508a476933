"""What a stopped training run goes on from, and how it knows that it is the same run."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from compactcli.checkpoint import WEIGHTS, read_config
from compactcli.errors import ConfigError
from compactcli.plainjson import to_json
from compactcli.recipe import Recipe


def made_by(recipe: Recipe, start: Path | None) -> str:
    """What a run is told, as one string: its recipe, and the checksum of the weights that it starts from."""
    weights = None if start is None else read_config(start).sha256[WEIGHTS]
    return json.dumps({"recipe": to_json(recipe), "start": weights})


def resume(path: Path, state: Mapping[str, Any], origin: str) -> int:
    """Load a saved state into networks and optimiser.

    Args:
        path: Where ``save`` put it; a run without one begins at step 0.
        state: Name to what has a ``load_state_dict``.
        origin: What ``made_by`` says of this run.

    Returns:
        Steps done.

    Raises:
        ConfigError: The state cannot be read, or is another run's.
    """
    if not path.exists():
        return 0
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"training state '{path}' cannot be read: {str(error).splitlines()[0] if str(error) else 'it is empty'}",
            hint="remove the file to start afresh",
        ) from error
    if saved["made_by"] != origin:
        raise ConfigError(
            f"'{path}' was saved by another recipe, or from another start, than this run's",
            hint="give an empty --output folder, or remove the file to start afresh",
        )
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def save(path: Path, state: Mapping[str, Any], origin: str, step: int) -> None:
    """Write the state after ``step`` steps, whole or not at all."""
    saved = {name: part.state_dict() for name, part in state.items()}
    temporary = path.with_suffix(".tmp")
    torch.save({**saved, "step": step, "made_by": origin}, temporary)
    temporary.replace(path)
