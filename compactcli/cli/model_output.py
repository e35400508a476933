"""Model folders that a command writes: whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from compactcli.checkpoint import CARD, CARD_PICTURE, CONFIG, GRAPH, RECIPE, STATE
from compactcli.cli.options import STDIN
from compactcli.cli.output import check_folder, check_new_folder, is_there, real_path
from compactcli.config import WEIGHTS
from compactcli.errors import ConfigError, unwritable

PARTS = {CONFIG, WEIGHTS, GRAPH, RECIPE, CARD, CARD_PICTURE}


def check_model_output(folder: Path, *, overwrite: bool, model: Path, inputs: Sequence[Path]) -> None:
    """Refuse a model folder that cannot or must not be written, before any work is done.

    Args:
        folder: What will be written.
        overwrite: Whether a model may be there already.
        model: Folder of the model that it is made from.
        inputs: Paths of the recordings.

    Raises:
        ConfigError: It is ``-`` or has a name that no model can have or that is too long, something is there that may
            not be replaced, or the folder around it is missing, may not be entered or takes no files.
    """
    _check_name(folder)
    if is_there(folder):
        _check_existing(folder, overwrite=overwrite, model=model)
    real = real_path(folder)
    if any(Path(os.path.realpath(item)).is_relative_to(real) for item in inputs):
        raise ConfigError(f"--output {folder} holds recordings, expected another folder", hint="choose another name")
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise ConfigError(
            f"--output {folder} is in a folder that does not exist, expected one that does",
            hint="make the folder first",
        )
    check_folder(parent, name=str(folder))


def check_run_output(folder: Path) -> None:
    """Refuse a folder that no training can write or go on in, before any work is done.

    Args:
        folder: Where the state, the log and the model will be.

    Raises:
        ConfigError: It is ``-``, no folder, takes no files, or holds a model that was not trained there.
    """
    _check_name(folder)
    if is_there(folder) and is_there(folder / CONFIG) and not is_there(folder / STATE):
        raise ConfigError(
            f"--output {folder} holds a model, and no state of a training to go on from; expected a new folder",
            hint="choose another name",
            code="output-exists",
        )
    check_new_folder(folder)


def _check_name(folder: Path) -> None:
    if folder == STDIN:
        raise ConfigError("--output - would be standard output, expected the name of a folder", hint="name a folder")
    if not real_path(folder).name:
        raise ConfigError(f"--output {folder} has no name, expected one for the model", hint="name a new folder")
    try:
        real_path(folder).name.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"--output {folder} is not UTF-8, expected a name that the model's settings can hold",
            hint="choose another name",
        ) from error


def _check_existing(folder: Path, *, overwrite: bool, model: Path) -> None:
    if not overwrite:
        raise ConfigError(
            f"--output {folder} is there already, expected a new name",
            hint="add --overwrite to replace it, or choose another name",
            code="output-exists",
        )
    if folder.is_symlink() or not folder.is_dir():
        raise ConfigError(f"--output {folder} is not a folder, expected the name of one", hint="choose another name")
    if real_path(folder) == real_path(model):
        raise ConfigError(
            f"--output {folder} is the model that this one is made from, expected another folder",
            hint="choose another name",
        )
    try:
        strange = sorted({path.name for path in folder.iterdir()} - PARTS)
    except OSError as error:
        raise ConfigError(f"--output {folder} cannot be read: {error}", hint="choose another name") from error
    if strange:
        raise ConfigError(
            f"--output {folder} holds {strange[0]}, which is no part of a model and would be lost",
            hint="choose another name",
        )


def write_model(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a model.

    The new folder is finished under another name first. What stands in its place goes when it is.

    Args:
        folder: To write, and to replace where it is there.
        write: Writes the model into a folder, which it makes.

    Raises:
        CompactError: It cannot be written.
    """
    token = secrets.token_hex(8)
    part, old = (folder.with_name(f".compact-{token}.{kind}") for kind in ("part", "old"))
    try:
        write(part)
        if folder.exists():
            folder.replace(old)
        part.replace(folder)
    except OSError as error:
        raise unwritable(str(folder), error) from error
    finally:
        if old.exists() and not folder.exists():  # stopped between the two
            old.replace(folder)
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
