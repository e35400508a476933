"""Which format the results get, the writer for it, and documents of one or of many recordings."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from compactcli.cli.console import result_console, stdout_is_terminal
from compactcli.cli.output import Write, open_output, remove_result
from compactcli.cli.work import Outcome
from compactcli.errors import ConfigError
from compactcli.formats import BINARY, FORMATS, FRAME_FORMATS, ONE_RECORDING, SUFFIXES, Writer

# where no format was asked for; of other commands it is table on a terminal and jsonl elsewhere
DEFAULT_FORMAT = {"embed": "csv", "features": "levels-tsv", "plot": "png"}
# what people may hope for
SPREADSHEETS = (".xls", ".xlsx", ".ods")
# where a recording has files of its own besides
DEFAULT_IN_FOLDER = {"embed": "csv", "features": "npy", "plot": "png"}


def choose_formats(
    command: str, asked: Sequence[str], *, output: Path | None, into_folder: bool, n_inputs: int
) -> tuple[str, ...]:
    """The formats asked for, else that of the output's suffix, else the command's own.

    Args:
        command: What writes.
        asked: Names of formats.
        output: File for the results, or None.
        into_folder: Whether each recording has files of its own.
        n_inputs: Recordings in all.

    Returns:
        Names of formats, each once; exactly one unless ``into_folder``.

    Raises:
        ConfigError: The formats do not fit the place, or one that holds a single recording got several.
    """
    names = tuple(dict.fromkeys(asked))
    if into_folder:
        if "table" in names:
            raise ConfigError(
                "--format table was asked for with --output-dir, expected a format for programs",
                hint="choose csv, for example",
            )
        return names or (DEFAULT_IN_FOLDER.get(command, "jsonl"),)
    if len(names) > 1:
        raise ConfigError(
            f"--format was given {len(names)} times, expected once without --output-dir",
            hint="add --output-dir to write several formats at once",
        )
    if not names:
        names = (_default_format(command, output),)
    if names[0] in ONE_RECORDING and n_inputs > 1:
        raise ConfigError(
            f"--format {names[0]} got {n_inputs} recordings, expected one: a document of this format is "
            "about a single one",
            hint="add --output-dir to write one file for each",
        )
    if names[0] in BINARY and output is None and stdout_is_terminal():
        raise ConfigError(
            f"--format {names[0]} is not for a terminal, expected a file or a pipe",
            hint=f"add --output FILE{SUFFIXES[names[0]]}",
        )
    return names


def _default_format(command: str, output: Path | None) -> str:
    name = "" if output is None else output.name.lower()
    own = {form: SUFFIXES[form] for form in (*FORMATS[command], *FRAME_FORMATS[command])}
    fitting = [form for form in own if name.endswith(own[form])]
    if fitting:
        # Raven's .selections.txt is no .txt of Audacity, and .tsv is the format of that name where there is one
        return max(fitting, key=lambda form: (len(own[form]), own[form] == f".{form}"))
    suffix = Path(name).suffix
    # a name such as run.out says nothing; one that people give to files of another format would be a lie
    if suffix and (command == "plot" or suffix in SUFFIXES.values() or suffix in SPREADSHEETS):
        raise ConfigError(
            f"--output {output} ends in {suffix}, which names no format of compact {command}, expected "
            f"{', '.join(dict.fromkeys(own.values()))}",
            hint="choose one of them, or add --format",
        )
    if command in DEFAULT_FORMAT:
        return DEFAULT_FORMAT[command]
    return "table" if output is None and stdout_is_terminal() else "jsonl"


def make_writer(command: str, name: str, *, output: Path | None) -> Writer:
    """The writer of one document."""
    if name != "table":
        return FORMATS[command][name]()
    from compactcli.cli.render import event_table, scene_table

    console = result_console(to_terminal=output is None and stdout_is_terminal())
    return scene_table(console) if command == "classify" else event_table(console)


@contextlib.contextmanager
def open_document(path: Path | None, command: str, name: str, *, alone: bool) -> Iterator[Callable[[Outcome], None]]:
    """Open one document for all recordings.

    Args:
        path: Its file; None is standard output.
        command: What writes.
        name: Of the format.
        alone: See ``open_output``.

    Yields:
        Function that writes one recording; a format that holds a single one gives no document when that failed.
    """
    if name in ONE_RECORDING:
        yield lambda outcome: write_recording(path, command, name, outcome, alone=alone)
        return
    writer = make_writer(command, name, output=path)
    # a journal that is removed afterwards would be missed if the results were lost
    with open_output(path, alone=alone, durable=True) as write:
        write(writer.begin())
        yield lambda outcome: write(writer.record(outcome.record))
        write(writer.end())


def write_recording(path: Path | None, command: str, name: str, outcome: Outcome, *, alone: bool) -> None:
    """Write the document of one recording; a failure only in a format that can tell it from silence.

    Args:
        path: Its file; None is standard output.
        command: What writes.
        name: Of the format.
        outcome: What came of the recording.
        alone: See ``open_output``.

    Raises:
        CompactError: The file cannot be written.
    """
    if outcome.record.status == "error" and name in ONE_RECORDING:
        if path is not None:
            remove_result(path)
        return
    with open_output(path, alone=alone) as write:
        if name in FRAME_FORMATS[command]:
            _copy(outcome.frames.get(name), write)
            return
        writer = make_writer(command, name, output=path)
        write(writer.begin() + writer.record(outcome.record) + writer.end())


def _copy(document: Path | None, write: Write) -> None:
    if document is None:
        return
    with document.open("rb") as file:
        while piece := file.read(1 << 20):
            write(piece)
