"""What a stopped training run goes on from, and how it knows that it is the same run."""

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from compactcli.bank import LogMelBank
from compactcli.checkpoint import read_config
from compactcli.config import WEIGHTS
from compactcli.errors import ConfigError, unwritable
from compactcli.plainjson import to_json
from compactcli.recipe import Recipe
from compactcli.temporary import whole_file


def made_by(recipe: Recipe, start: Path | None, bank: LogMelBank) -> str:
    """What a run is told, as one string.

    Args:
        recipe: Its recipe.
        start: Model that it starts from, known by the checksum of its weights.
        bank: Its recordings, known by their names, labels, sides and lengths: not by where the corpus lies.
    """
    weights = None if start is None else read_config(start).sha256[WEIGHTS]
    recordings = [[to_json(item), length] for item, length in zip(bank.recordings, bank.length.tolist(), strict=True)]
    corpus = hashlib.sha256(json.dumps(recordings).encode()).hexdigest()
    return json.dumps({"recipe": to_json(recipe), "start": weights, "corpus": corpus})


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
    if not isinstance(saved, Mapping) or not {*state, "step", "made_by"} <= set(saved):
        raise ConfigError(f"'{path}' is no training state", hint="remove the file to start afresh")
    if saved["made_by"] != origin:
        raise ConfigError(
            f"'{path}' was saved by another recipe, from another start or on another corpus than this run's",
            hint="give an empty --output folder, or remove the file to start afresh",
        )
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def save(path: Path, state: Mapping[str, Any], origin: str, step: int) -> None:
    """Write the state after ``step`` steps, whole or not at all.

    Raises:
        CompactError: It cannot be written.
    """
    # in memory first: torch's own writer turns a full disk into an error of its own kind
    content = io.BytesIO()
    torch.save({**{name: part.state_dict() for name, part in state.items()}, "step": step, "made_by": origin}, content)
    try:
        with whole_file(path) as part:
            part.write_bytes(content.getbuffer())
    except OSError as error:
        hint = "make room and give the same command again: it goes on from what was saved last"
        raise unwritable(f"'{path}'", error, hint=hint) from error
