"""Where results are written: standard output piece by piece, or a file that appears whole or not at all."""

import contextlib
import errno
import io
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from compactcli.cli.options import STDIN, ListFormat, RowFormat
from compactcli.cli.stopping import EXIT_SIGNAL
from compactcli.errors import AudioError, ConfigError, unwritable, writing_to
from compactcli.formats import encode, json_text
from compactcli.temporary import name_token

if TYPE_CHECKING:
    from rich.console import Console

# of a program that a closed pipe ended; Windows has no such signal to take the number from
EXIT_CLOSED_PIPE = EXIT_SIGNAL + 13
# any will do for a look at a header
ANY_RATE_HZ = 16000

Write = Callable[[str | bytes], None]


class RawFile(Protocol):
    """What bytes can be written to, all or some of them."""

    def write(self, data: memoryview, /) -> int:
        """Write at least one byte; returns how many."""


def check_output(
    path: Path | None, *, overwrite: bool, inputs: Sequence[Path], option: str = "--output", complete: bool = False
) -> None:
    """Refuse an output that cannot or must not be written, before any work is done.

    Args:
        path: File for the results; None is standard output, which needs no check.
        overwrite: Whether the file may be there already.
        inputs: Paths of the recordings.
        option: What named the file.
        complete: Whether the user asked to go on with a run, of which nothing but this file is there.

    Raises:
        ConfigError: It is ``-``, or where standard output or standard error go; or the file is there already, is a
            recording, is no regular file, has no folder, has one that takes no files or may not be entered, or a name
            that is too long.
    """
    if path is None:
        return
    if path == STDIN:
        raise ConfigError(f"{option} - would be standard output, expected the name of a file", hint="name a file")
    if is_there(path):
        real = os.path.realpath(path)
        if any(os.path.realpath(item) == real for item in inputs):
            raise ConfigError(
                f"{option} {path} is one of the recordings, expected another file", hint="choose another name"
            )
        if path.exists() and any(os.path.samestat(path.stat(), stream) for stream in standard_streams()):
            raise ConfigError(
                f"{option} {path} is where standard output or standard error go, expected another file",
                hint="use --output -, or name another file",
            )
        if not path.is_file():
            raise ConfigError(f"{option} {path} is not a regular file, expected the name of a file", hint="name a file")
        if _is_recording(path):
            raise ConfigError(
                f"{option} {path} is a recording, expected the name of a file for results",
                hint="choose another name, or remove the recording first",
            )
        if not overwrite:
            finished = "; the run that --resume asks for seems to be complete" if complete else ""
            raise ConfigError(
                f"{option} {path} is there already, expected a new name",
                hint=f"add --overwrite to replace it, or choose another name{finished}",
                code="output-exists",
            )
    if not path.absolute().parent.is_dir():
        raise ConfigError(
            f"{option} {path} is in a folder that does not exist, expected one that does", hint="make the folder first"
        )
    check_folder(real_path(path).parent, name=str(path))


def real_path(path: Path) -> Path:
    """The file that a name stands for, which a link may have elsewhere."""
    return Path(os.path.realpath(path))


def standard_streams() -> list[os.stat_result]:
    """The files, pipes and terminals that standard output and standard error go into."""
    found = []
    for descriptor in (1, 2):
        # a closed one goes nowhere
        with contextlib.suppress(OSError):
            found.append(os.fstat(descriptor))
    return found


def _is_recording(path: Path) -> bool:
    from compactcli.audio import open_audio

    try:
        with open_audio(path, sample_rate=ANY_RATE_HZ):
            return True
    except AudioError:
        return False


def is_there(path: Path) -> bool:
    """Whether something has that name, be it a link that leads nowhere.

    Raises:
        ConfigError: A folder above it may not be entered, or the name is too long.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unopenable(str(path), error) from error
    return True


def check_folder(folder: Path, *, name: str) -> None:
    """Refuse a folder that takes no files, before any work is done; rights alone do not tell, on ``/proc`` for example.

    Args:
        folder: It is there.
        name: What was to be written, for the message.

    Raises:
        ConfigError: No file can be made in it.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unopenable(name, error) from error


def check_new_folder(folder: Path, *, option: str = "--output") -> None:
    """Refuse a folder that takes no files, or cannot be made, before any work is done.

    Args:
        folder: It may be there; else it will be made with the folders around it.
        option: What named it, or something in it.

    Raises:
        ConfigError: It, or what is in the place of a folder around it, is none, or takes no files.
    """
    around = folder.absolute()
    while not around.exists() and not around.is_symlink():
        around = around.parent
    if not around.is_dir():
        raise ConfigError(f"{option} {folder} is not a folder, expected the name of one", hint="choose another name")
    check_folder(around, name=str(folder))


@contextlib.contextmanager
def open_output(path: Path | None, *, alone: bool = False, durable: bool = False) -> Iterator[Write]:
    """Open the place for the results.

    Args:
        path: File, which is replaced when everything was written; None writes to standard output at once.
        alone: Whether no other process can be writing the same file, so that what one that was killed has left of it
            may be removed.
        durable: Whether the file has to be on the disk, and not on its way there, when this ends.

    Yields:
        Function that writes text, or bytes as they are.

    Raises:
        CompactError: The disk is full or the folder cannot be written to.
        typer.Exit: Whoever read standard output has gone.
    """
    with _stdout() if path is None else _whole_file(path, alone=alone, durable=durable) as write:
        yield write


def write_report(
    result_format: ListFormat | RowFormat | None,
    *,
    plain: Callable[[], Any],
    draw: Callable[["Console"], None],
    rows: Callable[[], str] | None = None,
    piped: RowFormat = RowFormat.JSON,
) -> None:
    """Write what a command has to report to standard output.

    Args:
        result_format: As asked for; None draws on a terminal and writes ``piped`` elsewhere.
        plain: Gives plain JSON values.
        draw: Prints for people.
        rows: Gives a table as CSV, where there is one.
        piped: What is written where nobody looks on.

    Raises:
        CompactError: Standard output takes nothing.
        typer.Exit: Whoever read standard output has gone.
    """
    from compactcli.cli.console import result_console, stdout_is_terminal

    on_terminal = stdout_is_terminal()
    chosen = result_format or (RowFormat.TABLE if on_terminal else piped)
    with open_output(None) as write:
        if chosen == RowFormat.JSON:
            # the report of an hour's work is written whatever is in it
            write(json_text(plain(), indent=2, allow_nan=True) + "\n")
            return
        if chosen == RowFormat.CSV and rows is not None:
            write(rows())
            return
        console = result_console(to_terminal=on_terminal)
        with console.capture() as capture:
            draw(console)
        write(capture.get())


@contextlib.contextmanager
def _stdout() -> Iterator[Write]:
    if sys.stdout is None:
        raise unwritable("standard output", OSError(errno.EBADF, "it is closed"))

    def write(data: str | bytes) -> None:
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(_as_bytes(data))
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            # the interpreter flushes standard output once more when it ends, and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(EXIT_CLOSED_PIPE) from error
        except OSError as error:
            raise unwritable("standard output", error) from error

    yield write


@contextlib.contextmanager
def _whole_file(path: Path, *, alone: bool, durable: bool) -> Iterator[Write]:
    # a link stays one, and what it leads to gets the results
    path = real_path(path)
    # not the file's own name with something behind it: that may be as long as names can be
    token = name_token(path) if alone else secrets.token_hex(8)
    part = path.with_name(f".compact-{token}.part")
    try:
        if alone:
            part.unlink(missing_ok=True)
        with _open_new(part, path) as file:

            def write(data: str | bytes) -> None:
                write_all(file, _as_bytes(data), name=str(path))

            yield write
            if durable:
                _sync(file, path)
        with writing_to(str(path)):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_result(path: Path) -> None:
    """Take away what an earlier run left, and would look like the result of this one.

    Raises:
        CompactError: It cannot be taken away.
    """
    with writing_to(str(path)):
        path.unlink(missing_ok=True)


def _sync(file: io.FileIO, path: Path) -> None:
    with writing_to(str(path)):
        os.fsync(file.fileno())


def _as_bytes(data: str | bytes) -> bytes:
    return encode(data) if isinstance(data, str) else data


def write_all(file: RawFile, data: bytes, *, name: str) -> None:
    """Write all of the data, also where the system takes it piece by piece.

    Args:
        file: Opened for writing.
        data: What to write.
        name: Of the file, for the message.

    Raises:
        CompactError: The disk is full, or the file cannot be written for another reason.
    """
    with writing_to(name):
        write_pieces(file, data)


def write_pieces(file: RawFile, data: bytes) -> None:
    """Write all of the data, also where the system takes it piece by piece.

    Raises:
        OSError: The disk is full, or the file cannot be written for another reason.
    """
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _open_new(part: Path, path: Path) -> io.FileIO:
    with writing_to(str(path)):
        # unbuffered: a full disk shows where the text is written, not when the file is closed
        return part.open("xb", buffering=0)


def unopenable(name: str, error: OSError) -> ConfigError:
    """The error of a file that cannot be written, and for which nothing was done yet."""
    failure = unwritable(name, error)
    return ConfigError(failure.message, hint=failure.hint, code=failure.code)
