"""Arguments and options that commands share: one spelling, one help text, one check."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compactcli.errors import ConfigError


class SceneFormat(StrEnum):
    """What ``classify`` can write."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    AUDACITY = "audacity"
    RAVEN = "raven"


class EventFormat(StrEnum):
    """What ``detect`` can write."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    AUDACITY = "audacity"
    RAVEN = "raven"
    VTT = "vtt"
    SRT = "srt"
    RTTM = "rttm"
    SCORES_TSV = "scores-tsv"


class VectorFormat(StrEnum):
    """What ``embed`` can write."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


class LevelFormat(StrEnum):
    """What ``features`` can write."""

    NPY = "npy"
    LEVELS_TSV = "levels-tsv"
    JSON = "json"
    JSONL = "jsonl"


class PictureFormat(StrEnum):
    """What ``plot`` can write."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"
    JSON = "json"
    JSONL = "jsonl"


class EngineName(StrEnum):
    """What can run the network."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


class PrecisionName(StrEnum):
    """Numbers that the network can compute with."""

    FP32 = "fp32"
    BF16 = "bf16"


class ListFormat(StrEnum):
    """What commands can write that have one thing to report."""

    TABLE = "table"
    JSON = "json"


class RowFormat(StrEnum):
    """What commands can write that have rows of one kind to report."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


ReportFormat = Annotated[
    ListFormat | None,
    typer.Option("--format", help="How to write; by default table on a terminal, json in a pipe.", show_default=False),
]

FORMAT_HELP = (
    "How to write the results; by default the suffix of --output, else table on a terminal and jsonl elsewhere. "
    "Repeatable with --output-dir."
)
# the word for standard input and output
STDIN = Path("-")
# panels of --help
INPUT, EVENTS, OUTPUT = "Which recordings", "Which events", "Where results go"

TopK = Annotated[int, typer.Option("--top-k", min=1, help="Scenes to name for each recording, best first.")]
Every = Annotated[
    float | None,
    typer.Option(
        "--every",
        metavar="SECONDS",
        min=1.0,
        help="Name the scenes of each stretch of so many seconds too.",
        show_default="the whole recording alone",
    ),
]
DEFAULT_TOP_K = 3  # as in compactcli.inference, whose import takes time
LARGEST_GAIN_DB = 60.0  # the same
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|FOLDER", help="An installed model or a model folder.", show_default="compactnet"
    ),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", help="Where the network runs: auto, cpu, cuda or cuda:N."),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        help="Numbers that the network computes with; bf16 is quicker where a GPU or processor has units for it, and "
        "less exact. Of the torch engine.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, warnings or summary on standard error.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error; show where a bug struck.")]
Corpus = Annotated[
    Path,
    typer.Option("--corpus", metavar="FOLDER", help="Labelled recordings, one folder per source.", show_default=False),
]
RunFolder = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write; a stopped run goes on there.")
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FOLDER", help="Where log-mels are kept.", show_default="~/.cache/compact"),
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        metavar="X|CLASS=X",
        help="Lowest score of an event, from 0 to 1: for all classes, or for one. Repeatable.",
        show_default="the model's, 0.5",
        rich_help_panel=EVENTS,
    ),
]
Step = Annotated[
    float | None,
    typer.Option(
        "--step",
        metavar="SECONDS",
        help="Let events begin and end where their score rises and falls most steeply over this long; 0 lets them "
        "begin and end at their threshold. Up to 60.",
        show_default="the model's",
        rich_help_panel=EVENTS,
    ),
]
Hysteresis = Annotated[
    float | None,
    typer.Option(
        "--hysteresis",
        metavar="X",
        help="With --step 0: a class stays active until its score falls more than this below the threshold; from 0 to "
        "1.",
        show_default="the model's",
        rich_help_panel=EVENTS,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="A,B,...",
        help="These events only.",
        show_default="all",
        rich_help_panel=EVENTS,
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        metavar="A,B,...",
        help="All events but these.",
        show_default="none",
        rich_help_panel=EVENTS,
    ),
]
MinDuration = Annotated[
    float | None,
    typer.Option(
        "--min-duration",
        metavar="SECONDS",
        help="Drop events shorter than this.",
        show_default="the model's",
        rich_help_panel=EVENTS,
    ),
]
MaxGap = Annotated[
    float | None,
    typer.Option(
        "--max-gap",
        metavar="SECONDS",
        help="Close gaps up to this inside one class.",
        show_default="the model's",
        rich_help_panel=EVENTS,
    ),
]
Median = Annotated[
    float | None,
    typer.Option(
        "--median",
        metavar="SECONDS",
        help="With --step 0: length of the smoothing, from 0 for none to 60.",
        show_default="the model's",
        rich_help_panel=EVENTS,
    ),
]


def parse_path(value: str) -> Path:
    """Read the path of a recording, of a list or of a folder for results.

    Raises:
        typer.BadParameter: It is empty, as a variable of a script is that was never set; taken for the folder that
            the command runs in, it would stand for everything there.
    """
    if not value:
        raise typer.BadParameter("an empty path stands for nothing, expected a file or a folder")
    return to_path(value)


def to_path(word: str) -> Path:
    """The path that a word names; ``-`` alone stays ``STDIN``, and ``./-`` is the file of that name.

    Raises:
        ConfigError: The word is ``./-`` in a folder that was removed.
    """
    path = Path(word)
    if path != STDIN or word == str(STDIN):
        return path
    # pathlib drops the ./ that tells the file from standard input
    try:
        return path.absolute()
    except FileNotFoundError as error:
        raise no_folder(word) from error


def name_of(path: Path) -> str:
    """What messages call a path: ``-`` is standard input."""
    return "standard input" if path == STDIN else str(path)


def no_folder(name: str) -> ConfigError:
    """The error of a relative path where there is no folder any more that it could start from."""
    return ConfigError(
        f"{name} is relative to a folder that was removed, expected to be in one that is there",
        hint="change into another folder",
    )


def check_replacing(*, overwrite: bool, skip_existing: bool) -> None:
    """Refuse both ways to deal with results that are there.

    Raises:
        ConfigError: They are both asked for.
    """
    if skip_existing and overwrite:
        raise ConfigError(
            "--skip-existing and --overwrite contradict each other, expected one of them", hint="leave one out"
        )


def parse_thresholds(values: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """Read the values of ``--threshold``.

    Args:
        values: ``X`` at most once, ``CLASS=X`` at most once for each class.

    Returns:
        Threshold for all classes, or None, and the thresholds of single classes.

    Raises:
        ConfigError: A value is not a number from 0 to 1, or two values are for the same classes.

    Example:
        >>> parse_thresholds(["0.4", "dog=0.7"])
        (0.4, {'dog': 0.7})
    """
    found: dict[str, float] = {}
    for value in values:
        label, _, number = value.rpartition("=")
        label = label.strip()
        threshold = _read_threshold(value, number)
        if label in found:
            classes = f"'{label}'" if label else "all classes"
            raise ConfigError(
                f"--threshold {value} is the second for {classes}, expected one", hint="leave one of them out"
            )
        found[label] = threshold
    return found.pop("", None), found


def _read_threshold(value: str, number: str) -> float:
    hint = "for example: --threshold 0.5 --threshold dog=0.7"
    try:
        threshold = float(number)
    except ValueError as error:
        raise ConfigError(f"--threshold is '{value}', expected X or CLASS=X with a number X", hint=hint) from error
    if not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold is '{value}', expected a number from 0 to 1", hint=hint)
    return threshold


def parse_classes(value: str | None) -> list[str] | None:
    """Read the value of ``--classes``: names between commas; None stays None.

    Example:
        >>> parse_classes("dog, siren")
        ['dog', 'siren']
    """
    return None if value is None else [name for part in value.split(",") if (name := part.strip())]
