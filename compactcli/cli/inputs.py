"""Files and folders that the user named become a list of recordings."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compactcli.errors import AudioError


@dataclass(frozen=True, kw_only=True)
class Input:
    """One thing that gets one record.

    Args:
        path: As the user named it.
        n_bytes: Size, 0 where it is unknown.
        error: Why it cannot be a recording, or None where only its content can tell.
    """

    path: Path
    n_bytes: int = 0
    error: AudioError | None = None


def collect_inputs(paths: Sequence[Path], *, recursive: bool, leave_out: Path | None = None) -> list[Input]:
    """List the recordings that the user means.

    Every file in a folder counts, whatever its name, except those that begin with a dot; whether it is audio shows
    when it is opened. A folder that is reached twice, by a link for example, is read once.

    Args:
        paths: Files and folders, in the order of the command line.
        recursive: Whether to go into folders inside folders.
        leave_out: File that the results go to; it is no input when a folder holds it.

    Returns:
        Each input once, in the order of ``paths``, the files of a folder by name. A folder that holds no files is an
        input too, with its error.

    Raises:
        AudioError: Never; errors are kept in the inputs, so that one cannot stop the others.
    """
    found: dict[str, Input] = {}
    # real paths that no walk enters or lists: the output, and every folder once it was read
    seen = set() if leave_out is None else {os.path.realpath(leave_out)}
    for path in paths:
        for item in _walk(path, recursive=recursive, seen=seen) if path.is_dir() else [_file(path)]:
            found.setdefault(os.path.realpath(item.path), item)
    return list(found.values())


def _walk(folder: Path, *, recursive: bool, seen: set[str]) -> Iterator[Input]:
    key = os.path.realpath(folder)
    if key in seen:
        return
    seen.add(key)
    n_found = 0
    for item in _visible(folder, recursive=recursive, seen=seen):
        n_found += 1
        yield item
    if n_found == 0:
        error = AudioError(
            f"{folder} is a folder without recordings, expected at least one file in it",
            hint=None if recursive else "leave --no-recursive out to look into the folders inside it",
            code="no-audio",
        )
        yield Input(path=folder, error=error)


def _visible(folder: Path, *, recursive: bool, seen: set[str]) -> Iterator[Input]:
    """Files of one folder by name, those of a folder inside it in the place of its name."""
    try:
        children = sorted(folder.iterdir(), key=lambda child: child.name)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        refusal = AudioError(
            f"{folder} cannot be read ({reason}), expected a folder of recordings",
            hint="give yourself the right to read it",
            code="unreadable",
        )
        yield Input(path=folder, error=refusal)
        return
    for child in children:
        key = os.path.realpath(child)
        if child.name.startswith(".") or key in seen:
            continue
        if not child.is_dir():
            yield _file(child)
        elif recursive:
            seen.add(key)
            yield from _visible(child, recursive=True, seen=seen)


def _file(path: Path) -> Input:
    try:
        return Input(path=path, n_bytes=path.stat().st_size)
    except (OSError, ValueError):  # opening it will say why
        return Input(path=path)
