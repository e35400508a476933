"""Where results are written: standard output piece by piece, or a file that appears whole or not at all."""

import contextlib
import io
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from compactcli.errors import CompactError, ConfigError
from compactcli.formats import encode

Write = Callable[[str], None]


def check_output(path: Path | None, *, overwrite: bool, inputs: Sequence[Path]) -> None:
    """Refuse an output that cannot or must not be written, before any work is done.

    Args:
        path: File for the results; None is standard output, which needs no check.
        overwrite: Whether the file may be there already.
        inputs: Paths that the user named as recordings.

    Raises:
        ConfigError: The file is there already, is one of the recordings, is no regular file, or has no folder.
    """
    if path is None:
        return
    if any(os.path.realpath(path) == os.path.realpath(item) for item in inputs):
        raise ConfigError(
            f"--output {path} is one of the recordings, expected another file", hint="choose another name"
        )
    if path.exists() and not path.is_file():
        raise ConfigError(f"--output {path} is not a regular file, expected the name of a file", hint="name a file")
    if path.exists() and not overwrite:
        raise ConfigError(
            f"--output {path} is there already, expected a new name",
            hint="add --overwrite to replace it, or choose another name",
            code="output-exists",
        )
    if not path.absolute().parent.is_dir():
        raise ConfigError(
            f"--output {path} is in a folder that does not exist, expected one that does", hint="make the folder first"
        )


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[Write]:
    """Open the place for the results.

    Args:
        path: File, which is replaced when everything was written; None writes to standard output at once.

    Yields:
        Function that writes text.

    Raises:
        CompactError: The disk is full or the folder cannot be written to.
        typer.Exit: Whoever read standard output has gone.
    """
    with _stdout() if path is None else _whole_file(path) as write:
        yield write


@contextlib.contextmanager
def _stdout() -> Iterator[Write]:
    def write(text: str) -> None:
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(encode(text))
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            # the interpreter flushes standard output once more when it ends, and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from error
        except OSError as error:
            raise _unwritable("standard output", error) from error

    yield write


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[Write]:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _open_new(part, path) as file:

            def write(text: str) -> None:
                left = memoryview(encode(text))
                while left:
                    try:
                        left = left[file.write(left) :]
                    except OSError as error:
                        raise _unwritable(str(path), error) from error

            yield write
        try:
            part.replace(path)
        except OSError as error:
            raise _unwritable(str(path), error) from error
    finally:
        part.unlink(missing_ok=True)


def _open_new(part: Path, path: Path) -> io.FileIO:
    try:
        # unbuffered: a full disk shows where the text is written, not when the file is closed
        return part.open("xb", buffering=0)
    except OSError as error:
        raise _unwritable(str(path), error) from error


def _unwritable(name: str, error: OSError) -> CompactError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return CompactError(
        f"{name} cannot be written ({reason}), expected room and the right to write",
        hint="choose another place with --output",
        code="unwritable",
    )
