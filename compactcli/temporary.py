"""Folders for files that nobody needs afterwards, and files that appear whole or not at all."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from compactcli.errors import ConfigError, reason_of


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, which goes with what is in it when the context ends.

    Raises:
        ConfigError: The system has no place for one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="compact-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(
            f"no temporary folder can be made ({reason_of(error)}), expected a place that takes files",
            hint="set TMPDIR to a folder with room",
            code="unwritable",
        ) from error
    with folder as name:
        yield Path(name)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place beside a file for its new content, which takes the file's name when the context ends without an error.

    Raises:
        OSError: It cannot take the name.
    """
    part = path.with_name(f".{path.name}.tmp")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def name_token(path: Path) -> str:
    """A short word for a file's name, always the same one: a name with something behind it may be too long."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
