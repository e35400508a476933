"""Files and folders that the user named become a list of recordings."""

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compactcli.cli.options import STDIN, no_folder
from compactcli.cli.output import standard_streams
from compactcli.errors import AudioError, ConfigError, reason_of

# whether a file is no recording: as it was found, its real path, and the folder that the user named
IsOther = Callable[[Path, str, Path], bool]
# number of the walk that has seen where results go
OUTPUT = -1


@dataclass(frozen=True, kw_only=True)
class Input:
    """One thing that gets one record.

    Args:
        path: As the user named it.
        root: Folder that the user named and the recording was found in, or None for what was named itself.
        source: File that holds the audio where ``path`` does not: what standard input was copied into.
        n_bytes: Size, 0 where it is unknown.
        mtime_ns: Time of the last change in nanoseconds, 0 where it is unknown.
        error: Why it cannot be a recording, or None where only its content can tell.
    """

    path: Path
    root: Path | None = None
    source: Path | None = None
    n_bytes: int = 0
    mtime_ns: int = 0
    error: AudioError | None = None

    @property
    def is_stdin(self) -> bool:
        """Whether it is the recording on standard input; a file that a folder holds may have the same name."""
        return self.path == STDIN and self.root is None

    @property
    def name(self) -> str:
        """What messages call it; records have the path."""
        return "standard input" if self.is_stdin else str(self.path)

    @property
    def word(self) -> str:
        """What a list of paths calls it; a file with the name ``-`` is not standard input."""
        return f"{os.curdir}/{self.path}" if self.path == STDIN and not self.is_stdin else str(self.path)

    @property
    def inner_path(self) -> Path:
        """Path below the folder that the user named; the bare name where a recording was named itself."""
        if self.is_stdin:
            return Path("stdin")
        if self.root is not None and self.path != self.root:
            return self.path.relative_to(self.root)
        return Path(self.path.name if self.path.name not in ("", "..") else self.path.resolve().name or "root")


@dataclass(frozen=True, kw_only=True)
class ResultNames:
    """Files that an earlier run may have left in a folder, by what their names end in.

    Args:
        folder: Where results go.
        suffixes: What the names of results end in.
    """

    folder: Path
    suffixes: tuple[str, ...]

    def has(self, real_path: str, root: Path) -> bool:
        """Whether a file is one of them.

        Args:
            real_path: Of the file.
            root: Folder that the user named and the file was found in. Where it is the folder of results, or inside
                it, results stand beside recordings, and names alone do not tell them apart.
        """
        if not real_path.endswith(self.suffixes):
            return False
        folder = os.path.realpath(self.folder)
        return _is_inside(real_path, folder) and _is_inside(folder, os.path.realpath(root))


def collect_inputs(
    paths: Sequence[Path],
    *,
    recursive: bool,
    include: Sequence[str] = (),
    leave_out: Sequence[Path] = (),
    results: ResultNames | None = None,
) -> list[Input]:
    """List the recordings that the user means.

    Every file in a folder counts, whatever its name, except those that begin with a dot; whether it is audio shows
    when it is opened. A folder that is reached twice, by a link for example, is read once.

    Args:
        paths: Files and folders, in the order of the command line.
        recursive: Whether to go into folders inside folders.
        include: Patterns as of a shell, in capitals or not, one of which the name of a file in a folder has to match;
            none takes all files.
        leave_out: Files and folders that the results go to; they are no inputs when a folder holds them, and nor is a
            file that the shell has put in the place of standard output or standard error.
        results: Files inside a folder with results that are no inputs either.

    Returns:
        Each input once, in the order of ``paths``, the files of a folder by name. A folder that holds no files is an
        input too, with its error.

    Raises:
        ConfigError: A path is relative to a folder that was removed. Other errors are kept in the inputs, so that one
            cannot stop the others.
    """
    check_here([*paths, *leave_out])
    found: dict[str, Input] = {}
    named = {os.path.realpath(path) for path in paths if path != STDIN}
    seen = dict.fromkeys({os.path.realpath(path) for path in leave_out} - named, OUTPUT)
    streams = [status for status in standard_streams() if stat.S_ISREG(status.st_mode)]

    def is_other(path: Path, real_path: str, root: Path) -> bool:
        return (
            (bool(include) and not _matches(path.name, include))
            or _is_one_of(path, streams)
            or (results is not None and results.has(real_path, root))
        )

    for number, path in enumerate(paths):
        for item in (
            _Walk(root=path, number=number, recursive=recursive, include=include, seen=seen, is_other=is_other)
            if path != STDIN and is_folder(path)
            else [_file(path, None)]
        ):
            found.setdefault(str(STDIN) if item.is_stdin else os.path.realpath(item.path), item)
    return list(found.values())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; not where nobody may look."""
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, or a folder above it that may not be read: opening it will say so
        return False


def is_missing(path: Path) -> bool:
    """Whether nothing has that name; what may not be looked at is not missing."""
    try:
        path.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def check_here(paths: Sequence[Path]) -> None:
    """Refuse relative paths where there is no folder any more that they could start from; ``-`` is none.

    Raises:
        ConfigError: There are some.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        relative = [path for path in paths if path != STDIN and not path.is_absolute()]
        if relative:
            raise no_folder(str(relative[0])) from error


def check_named(paths: Sequence[Path]) -> None:
    """Refuse standard input where names of recordings matter.

    Raises:
        ConfigError: It is one of the paths.
    """
    if STDIN in paths:
        raise ConfigError("- is standard input, expected recordings that have names", hint="write it into a file first")


@dataclass(kw_only=True)
class _Walk:
    """A folder that the user named, and what is in it.

    Args:
        root: The folder.
        number: Which of the folders that were named.
        recursive: Whether to go into folders inside folders.
        include: Patterns of names, for the message.
        seen: Real paths that no walk enters or lists, and the number of the walk that did.
        is_other: Whether a file is no recording.
    """

    root: Path
    number: int
    recursive: bool
    include: Sequence[str]
    seen: dict[str, int]
    is_other: IsOther
    _meets_others: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[Input]:
        key = os.path.realpath(self.root)
        if key in self.seen:
            return
        self.seen[key] = self.number
        n_found = 0
        for item in self._visible(self.root):
            n_found += 1
            yield item
        if n_found == 0 and not self._meets_others:
            names = f" with a name like {' or '.join(map(repr, self.include))}" if self.include else ""
            error = AudioError(
                f"{self.root} is a folder without recordings, expected at least one file in it{names}",
                hint=None if self.recursive else "leave --no-recursive out to look into the folders inside it",
                code="no-audio",
            )
            yield Input(path=self.root, root=self.root, error=error)

    def _visible(self, folder: Path) -> Iterator[Input]:
        """Files of one folder by name, those of a folder inside it in the place of its name."""
        try:
            children = sorted(folder.iterdir(), key=lambda child: child.name)
        except OSError as error:
            reason = reason_of(error)
            refusal = AudioError(
                f"{folder} cannot be read ({reason}), expected a folder of recordings",
                hint="give yourself the right to read it",
                code="unreadable",
            )
            yield Input(path=folder, root=self.root, error=refusal)
            return
        for child in children:
            key = os.path.realpath(child)
            if child.name.startswith("."):
                continue
            if key in self.seen:
                # what another walk has read is not missing here
                self._meets_others |= OUTPUT < self.seen[key] < self.number
            elif not is_folder(child):
                if not self.is_other(child, key, self.root):
                    yield _file(child, self.root)
            elif self.recursive:
                self.seen[key] = self.number
                yield from self._visible(child)


def _file(path: Path, root: Path | None) -> Input:
    try:
        status = path.stat()
    except (OSError, ValueError):  # opening it will say why
        return Input(path=path, root=root)
    return Input(path=path, root=root, n_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def _is_one_of(path: Path, files: Sequence[os.stat_result]) -> bool:
    if not files:
        return False
    try:
        status = path.stat()
    except (OSError, ValueError):  # opening it will say why
        return False
    return any(os.path.samestat(status, other) for other in files)
