"""Tables of embeddings are read, and what was found in them is reported."""

import contextlib
import errno
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from rich.console import Console
from rich.text import Text

from compactcli.checkpoint import list_models
from compactcli.cli.console import printable
from compactcli.cli.inputs import Input, collect_inputs, is_folder
from compactcli.cli.options import STDIN, name_of
from compactcli.cli.render import plain_table
from compactcli.clips import check_class_name
from compactcli.config import ModelConfig
from compactcli.errors import ConfigError, reason_of
from compactcli.formats import SUFFIXES, read_vectors
from compactcli.formats.tables import csv_row
from compactcli.formats.vectors import MAKE_ONE
from compactcli.records import Record
from compactcli.similarity import Hit

COLUMNS = ("path", "onset", "offset", "label", "score")
# vectors between two looks at a bar
SHOWN_EVERY = 1000
# the first of them counts where names differ in nothing else
TABLE_SUFFIXES = tuple(SUFFIXES[name] for name in ("csv", "jsonl", "json"))


def read_vector_tables(path: Path) -> Iterator[Record]:
    """What ``compact embed`` wrote, record by record.

    Args:
        path: A table; ``-`` is standard input. Or a folder of tables; of those of one recording in several formats, one
            is read.

    Yields:
        See ``compactcli.formats.read_vectors``; what is not valid UTF-8 in paths is as it is on disk.

    Raises:
        ConfigError: It cannot be read, or a folder holds no tables.
        ManifestError: It is no such table.
    """
    for table in _find_tables(path) if path != STDIN and is_folder(path) else [path]:
        name = name_of(table)
        try:
            with _open(table) as data:
                text = io.TextIOWrapper(data, encoding="utf-8", errors="surrogateescape", newline="")
                try:
                    yield from read_vectors(text, name)
                finally:
                    # whoever opened it closes it
                    text.detach()
        except OSError as error:
            raise ConfigError(
                f"{name} cannot be read ({reason_of(error)}), expected a table of vectors", hint="check the path"
            ) from error


def _find_tables(folder: Path) -> list[Path]:
    """The tables in a folder and those inside it, but for hidden ones and what standard output goes to."""
    found: dict[Path, Path] = {}
    files = [item.path for item in collect_inputs([folder], recursive=True) if item.path.is_file()]
    for suffix in TABLE_SUFFIXES:
        for path in files:
            if path.suffix.lower() == suffix:
                found.setdefault(path.with_suffix(""), path)
    if not found:
        raise ConfigError(
            f"{folder} holds no files that end in {', '.join(TABLE_SUFFIXES)}, expected tables of vectors",
            hint=MAKE_ONE,
        )
    return sorted(found.values())


def _open(table: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    if table != STDIN:
        return table.open("rb")
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return contextlib.nullcontext(cast(BinaryIO, sys.stdin.buffer))


class VectorTable:
    """The vectors of one model, read once and counted.

    Args:
        path: See ``read_vector_tables``.

    Attributes:
        name: What messages call it.
        model: Name of the model.
        model_version: Which release of it.
        n_vectors: Vectors read so far.
        n_failed: Recordings read so far that have none.

    Raises:
        ConfigError: It cannot be read, or holds no vectors.
        ManifestError: It is no such table.
    """

    def __init__(self, path: Path) -> None:
        self.name = name_of(path)
        self.n_vectors = self.n_failed = 0
        self._records = read_vector_tables(path)
        # which model it takes to hear examples shows before a long table is read
        for record in self._records:
            if record.vectors:
                # the reader has seen to it that both are there
                self.model, self.model_version = str(record.model), str(record.model_version)
                self._first = record
                return
            self.n_failed += 1
        raise ConfigError(f"{self.name} holds no vectors, expected those of a recording at least", hint=MAKE_ONE)

    def find_model(self, asked: str | None) -> str:
        """The model that examples have to be heard with, as ``load_embedder`` takes it.

        Args:
            asked: As the user named it; None takes what the table names, which has no path in it.

        Raises:
            ConfigError: Nobody named it, and none that is called so is installed.
        """
        if asked is not None:
            return asked
        installed = [path.name for path in list_models()]
        if self.model not in installed:
            raise ConfigError(
                f"{self.name} has vectors of model '{self.model}', expected one that is installed "
                f"({', '.join(installed) or 'none is'})",
                hint="name the folder of that model by --model",
            )
        return self.model

    def check_model(self, config: ModelConfig) -> None:
        """Refuse another model than the one that made the vectors, or another release of it.

        Raises:
            ConfigError: It is another.
        """
        if (config.name, config.release) != (self.model, self.model_version):
            raise ConfigError(
                f"{self.name} has vectors of model '{self.model}', version {self.model_version}, found model "
                f"'{config.name}', version {config.release}, expected the same one",
                hint="name the model that the vectors were made with by --model, or make them again",
            )

    def records(self, *, show: Callable[[int], None]) -> Iterator[Record]:
        """All records, once.

        Args:
            show: Called with the number of vectors now and then.

        Raises:
            ConfigError: There are vectors of two models.
            ManifestError: The table is damaged.
        """
        for record in itertools.chain([self._first], self._records):
            if record.vectors is None:
                self.n_failed += 1
            else:
                self._check_same(record)
                before = self.n_vectors
                self.n_vectors += len(record.vectors)
                if before // SHOWN_EVERY != self.n_vectors // SHOWN_EVERY:
                    show(self.n_vectors)
            yield record

    def _check_same(self, record: Record) -> None:
        if (record.model, record.model_version) != (self.model, self.model_version):
            raise ConfigError(
                f"{self.name} has vectors of model '{self.model}', version {self.model_version}, and of {record.path} "
                f"those of model '{record.model}', version {record.model_version}, expected one model",
                hint="search those of each model by themselves, or make them again with one",
            )


def label_examples(inputs: Sequence[Input], *, label: str | None) -> dict[Path, str]:
    """What each example is one of.

    Args:
        inputs: The examples.
        label: One name for all; None takes their own, of those in folders that of the folder that each is in.

    Raises:
        ConfigError: A name can be none of a folder, such as ``compact cut`` makes for it.
    """
    labels = {item.path: _label_of(item) if label is None else label for item in inputs}
    for path, name in labels.items():
        if label is None:
            check_class_name(name, found=f"{path} is called '{name}'", hint="name it by --label")
        else:
            check_class_name(name, found=f"--label is '{name}'", hint="choose another name")
    return labels


def _label_of(item: Input) -> str:
    # a folder may be called . or ..
    return (
        item.path.stem
        if item.root is None
        else Path(os.path.normpath(item.path.absolute())).parent.name or item.path.stem
    )


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """What came of a search.

    Args:
        model: Name of the model that made the vectors.
        model_version: Which release of it.
        hits: Best first.
        examples: Those that were heard, and of what.
        queries: What was looked for, in the order of the places that hits have.
        n_vectors: Vectors that were compared.
        n_failed: Recordings that have no vectors.
        failed: Examples that could not be read.
    """

    model: str
    model_version: str
    hits: tuple[Hit, ...]
    examples: Mapping[Path, str]
    queries: tuple[str, ...]
    n_vectors: int
    n_failed: int
    failed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values; seconds with 3 decimals, similarities with 4."""
        return {
            "model": self.model,
            "model_version": self.model_version,
            "vectors": self.n_vectors,
            "without_vectors": self.n_failed,
            "examples": [{"path": str(path), "label": label} for path, label in self.examples.items()],
            "hits": [self._values(hit) for hit in self.hits],
            "failed": list(self.failed),
        }

    def to_csv(self) -> str:
        """A row for each part, best first, as ``compact cut`` reads it."""
        rows = [csv_row(*map(str, self._values(hit).values())) for hit in self.hits]
        return csv_row(*COLUMNS) + "".join(rows)

    def print(self, console: Console) -> None:
        """Draw it for people, a row for each part."""
        headings = ("score", "recording", "onset (s)", "offset (s)")
        several = len(self.queries) > 1
        table = plain_table(
            *headings, *(["most like"] if several else []), numbers=("score", "onset (s)", "offset (s)")
        )
        for hit in self.hits:
            cells = (f"{hit.similarity:.2f}", printable(hit.path), f"{hit.start:.2f}", f"{hit.stop:.2f}")
            most_like = [printable(self.queries[hit.query])] if several else []
            table.add_row(*(Text(cell) for cell in (*cells, *most_like)))
        console.print(table)

    def _values(self, hit: Hit) -> dict[str, Any]:
        label = self.queries[hit.query]
        values = (hit.path, round(hit.start, 3), round(hit.stop, 3), label, hit.similarity)
        return dict(zip(COLUMNS, values, strict=True))
