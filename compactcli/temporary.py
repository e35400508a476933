"""Folders for files that nobody needs afterwards."""

import contextlib
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
