"""Tables of embeddings are read, and what was found in them is reported."""

import contextlib
import errno
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from rich.console import Console
from rich.text import Text

from compactcli.cli.console import printable
from compactcli.cli.inputs import is_folder
from compactcli.cli.options import STDIN
from compactcli.cli.render import plain_table
from compactcli.errors import ConfigError, reason_of
from compactcli.formats import SUFFIXES, read_vectors
from compactcli.formats.tables import csv_row
from compactcli.formats.vectors import MAKE_ONE
from compactcli.records import Record
from compactcli.similarity import Hit

COLUMNS = ("path", "onset", "offset", "label", "score", "example")
# vectors between two looks at a bar
SHOWN_EVERY = 1000
# a folder that has several of them has the same vectors in each
TABLE_SUFFIXES = tuple(SUFFIXES[name] for name in ("csv", "jsonl", "json"))


def read_vector_tables(path: Path) -> Iterator[Record]:
    """What ``compact embed`` wrote, record by record.

    Args:
        path: A table; ``-`` is standard input. Or a folder of tables, of which those in one format are read.

    Yields:
        See ``compactcli.formats.read_vectors``; what is not valid UTF-8 in paths is as it is on disk.

    Raises:
        ConfigError: It cannot be read, or a folder holds no tables.
        ManifestError: It is no such table.
    """
    for table in _find_tables(path) if path != STDIN and is_folder(path) else [path]:
        name = "standard input" if table == STDIN else str(table)
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
    for suffix in TABLE_SUFFIXES:
        if found := sorted(path for path in folder.rglob(f"*{suffix}") if not is_folder(path)):
            return found
    raise ConfigError(
        f"{folder} holds no files that end in {', '.join(TABLE_SUFFIXES)}, expected tables of vectors", hint=MAKE_ONE
    )


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
        self.name = "standard input" if path == STDIN else str(path)
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

    def check_model(self, name: str, version: str) -> None:
        """Refuse another model than the one that made the vectors, or another release of it.

        Raises:
            ConfigError: It is another.
        """
        if (name, version) != (self.model, self.model_version):
            raise ConfigError(
                f"{self.name} has vectors of model '{self.model}', version {self.model_version}, found model '{name}', "
                f"version {version}, expected the same one",
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
                self.check_model(str(record.model), str(record.model_version))
                before = self.n_vectors
                self.n_vectors += len(record.vectors)
                if before // SHOWN_EVERY != self.n_vectors // SHOWN_EVERY:
                    show(self.n_vectors)
            yield record


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """What came of a search.

    Args:
        model: Name of the model that made the vectors.
        model_version: Which release of it.
        hits: Best first.
        examples: Paths of those that were heard, in the order of the places that hits have.
        label: What all that was found is called; None names it by the example that it is most similar to.
        n_vectors: Vectors that were compared.
        n_failed: Recordings that have no vectors.
        failed: Examples that could not be read.
    """

    model: str
    model_version: str
    hits: tuple[Hit, ...]
    examples: tuple[Path, ...]
    label: str | None
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
        several = len(self.examples) > 1
        table = plain_table(
            *headings, *(["most like"] if several else []), numbers=("score", "onset (s)", "offset (s)")
        )
        for hit in self.hits:
            cells = (f"{hit.similarity:.2f}", printable(hit.path), f"{hit.start:.2f}", f"{hit.stop:.2f}")
            most_like = [printable(str(self.examples[hit.example]))] if several else []
            table.add_row(*(Text(cell) for cell in (*cells, *most_like)))
        console.print(table)

    def _values(self, hit: Hit) -> dict[str, Any]:
        example = self.examples[hit.example]
        values = (hit.path, round(hit.start, 3), round(hit.stop, 3), self.label or example.stem)
        # the cosine of an angle of nothing may be a little more than 1
        return dict(zip(COLUMNS, (*values, round(min(max(hit.similarity, 0.0), 1.0), 4), str(example)), strict=True))
