"""What every writer offers, and the refusal of a second recording by formats that hold one."""

from typing import Any, BinaryIO, Protocol

from compactcli.errors import ConfigError
from compactcli.records import Record

# with a place for recordings that failed
TELLS_FAILURES = frozenset({"table", "json", "jsonl", "csv"})


class Writer(Protocol):
    """Turns records into the text of one document, piece by piece."""

    def begin(self) -> str:
        """Text before the first record."""

    def record(self, record: Record) -> str:
        """Text of one record."""

    def end(self) -> str:
        """Text after the last record."""


class FrameWriter(Protocol):
    """Turns the frames of one recording into one document while they are computed."""

    def frames(self, piece: Any) -> str | bytes:
        """What the next frames add to the document."""

    def finish(self, file: BinaryIO) -> None:
        """Complete the document, which is all there is in the file."""


class OneRecording:
    """Refuses a second recording in a document that does not say which recording a line is about.

    Args:
        form: Name of the format.
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._path: str | None = None

    def take(self, path: str) -> None:
        """Note a recording.

        Raises:
            ConfigError: It is the second one.
        """
        if self._path is not None:
            raise ConfigError(
                f"{self._form} has room for one recording, got '{path}' after '{self._path}'",
                hint="write one file for each recording with --output-dir, or choose csv, jsonl or tsv",
            )
        self._path = path
