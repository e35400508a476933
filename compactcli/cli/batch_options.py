"""What every command over recordings is told: one object, declared once, from the command line to the last function."""

import functools
import inspect
import math
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from compactcli.cli import options
from compactcli.cli.options import STDIN
from compactcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What every command over recordings is told; ``takes_recordings`` turns the fields into arguments and options.

    Args:
        paths: Files and folders; ``-`` is one recording on standard input.
        recursive: Whether to go into folders inside folders.
        include: Patterns that the names of files in folders have to match, one of them; none takes all files.
        files_from: List of more paths; ``-`` is standard input.
        null: Whether lists of paths are separated by NUL instead of line feeds.
        max_duration: Longest recording that is analysed, in seconds; None sets no limit.
        gain: By how many dB recordings are raised before they are listened to.
        output: File for the results; None is standard output.
        output_dir: Folder for one file per recording and format.
        overwrite: Whether files that are there may be replaced.
        skip_existing: Whether to leave out recordings whose results are all in ``output_dir``.
        resume: Whether to go on with a run that was interrupted.
        failures: File for the paths of recordings that failed.
        model: Name or folder of the model; None takes the default.
        device: Where the network runs.
        engine: What runs the network.
        batch_size: Windows of 30 s that the network hears at once; None takes what suits the device.
        precision: Numbers that the network computes with.
        jobs: Processes that analyse recordings.
        timeout: Seconds that one recording may take; None sets no limit.
        quiet: Whether to say nothing but why a recording failed when it was the only one.
        verbose: Whether to say which model runs and how long each stage took.

    Raises:
        ConfigError: Two options contradict each other, one needs another, a limit is not above 0, or the gain is out
            of its range.
    """

    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recordings, and folders of recordings; - reads one recording from standard input. "
            "Content decides what is audio, not the name.",
            metavar="PATH...",
            show_default=False,
            parser=options.parse_path,
        ),
    ] = None
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive/--no-recursive",
            help="Whether to look into folders inside folders.",
            rich_help_panel=options.INPUT,
        ),
    ] = True
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="PATTERN",
            help="Of the files in folders, take those with such a name, for example '*.wav', in capitals or not. "
            "Repeatable.",
            show_default="all files",
            rich_help_panel=options.INPUT,
        ),
    ] = None
    files_from: Annotated[
        Path | None,
        typer.Option(
            "--files-from",
            metavar="FILE|-",
            help="Read more paths from this file, one a line; - reads them from standard input.",
            show_default=False,
            rich_help_panel=options.INPUT,
            parser=options.to_path,
        ),
    ] = None
    null: Annotated[
        bool,
        typer.Option(
            "--null",
            "-0",
            help="Paths in --files-from and --failures end with NUL, as find -print0 writes them.",
            rich_help_panel=options.INPUT,
        ),
    ] = False
    max_duration: Annotated[
        float | None,
        typer.Option(
            "--max-duration",
            metavar="SECONDS",
            help="Refuse recordings longer than this.",
            show_default="no limit",
            rich_help_panel=options.INPUT,
        ),
    ] = None
    gain: Annotated[
        float,
        typer.Option(
            "--gain",
            metavar="DB",
            help="Raise every recording by this before listening, -60 to 60; quiet ones are heard better near the "
            "level of others, and nothing clips.",
            rich_help_panel=options.INPUT,
        ),
    ] = 0.0
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|-",
            help="Write the results here, whole or not at all; - is standard output.",
            show_default="stdout",
            rich_help_panel=options.OUTPUT,
            parser=options.to_path,
        ),
    ] = None
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            metavar="FOLDER",
            help="Write one file for each recording and format into this folder, in folders as the recordings are.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
            parser=options.parse_path,
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.", rich_help_panel=options.OUTPUT)
    ] = False
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out recordings whose files are all in --output-dir and write what the others lack; a JSON file "
            "that tells of a failure or is cut is made again.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run that had the same output, model and options.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False
    failures: Annotated[
        Path | None,
        typer.Option(
            "--failures",
            metavar="FILE",
            help="Write the paths of recordings that failed here; --files-from reads them again.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    model: options.ModelName = None
    device: options.Device = "auto"
    engine: Annotated[
        options.EngineName,
        typer.Option("--engine", help="What runs the network; auto takes the quickest there is."),
    ] = options.EngineName.AUTO
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            metavar="N",
            help="Windows of 30 s of one recording that the torch engine hears at once; fewer take less memory. "
            "The onnx engine hears one after the other.",
            show_default="16 on a GPU, else 1",
        ),
    ] = None
    precision: options.Precision = options.PrecisionName.FP32
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Analyse this many recordings at once, each in a process of its own.",
        ),
    ] = 1
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Give up a recording that takes longer than this.",
            show_default="no limit",
        ),
    ] = None
    quiet: options.Quiet = False
    verbose: options.Verbose = False

    def __post_init__(self) -> None:
        if STDIN in self.recordings and self.files_from == STDIN:
            raise ConfigError(
                "- and --files-from - both read standard input, expected one of them",
                hint="write the list into a file first",
            )
        if self.output is not None and self.output_dir is not None:
            raise ConfigError("--output and --output-dir were both given, expected one of them", hint="leave one out")
        options.check_replacing(overwrite=self.overwrite, skip_existing=self.skip_existing)
        self._differ("--output", self.output, "--failures", self.failures)
        self._differ("--output", self.output, "--files-from", self.files_from)
        self._need("--null", self.null, "--files-from or --failures", self.files_from, self.failures)
        self._need("--skip-existing", self.skip_existing, "--output-dir", self.output_dir)
        self._need("--resume", self.resume, "--output or --output-dir", self.output, self.output_dir)
        for name, value in (("--timeout", self.timeout), ("--max-duration", self.max_duration)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value:g}, expected seconds above 0", hint="leave it out for no limit")
        largest = options.LARGEST_GAIN_DB
        if not abs(self.gain) <= largest:
            raise ConfigError(
                f"--gain is {self.gain:g}, expected dB from {-largest:g} to {largest:g}",
                hint="20 makes a recording ten times as large",
            )

    @staticmethod
    def _need(name: str, given: bool, needed: str, *values: Path | None) -> None:
        if given and not any(value is not None for value in values):
            raise ConfigError(f"{name} was given without {needed}, expected one to go with it", hint=f"add {needed}")

    @staticmethod
    def _differ(name: str, path: Path | None, other_name: str, other: Path | None) -> None:
        if path is not None and other is not None and os.path.realpath(path) == os.path.realpath(other):
            raise ConfigError(
                f"{name} and {other_name} are both {path}, expected two files", hint="choose another name for one"
            )

    @property
    def recordings(self) -> list[Path]:
        """Files and folders named as arguments."""
        return self.paths or []


def takes_recordings(command: Callable[..., None], *, without: Collection[str] = ()) -> Callable[..., None]:
    """Give a command the arguments and options of ``BatchOptions``; they reach it as one object, ``batch``.

    Args:
        command: A function with a parameter ``batch`` beside those of its own options.
        without: Fields that mean nothing to the command and keep their defaults.
    """
    own = [
        parameter for name, parameter in inspect.signature(command, eval_str=True).parameters.items() if name != "batch"
    ]
    hints = get_type_hints(BatchOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(BatchOptions)
        if field.name not in without
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [*(item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own), *shared, context]

    @functools.wraps(command)
    def with_batch(*, context: typer.Context, **values: Any) -> None:
        given = {item.name: values.pop(item.name) for item in shared}
        if given["output"] == STDIN:  # which other programs take for standard output too
            given["output"] = None
        if not given["paths"] and given["files_from"] is None:
            raise typer.BadParameter("name at least one recording or folder, or give --files-from", ctx=context)
        command(**values, batch=BatchOptions(**given))

    with_batch.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # where typer looks
    with_batch.__annotations__ = {item.name: item.annotation for item in parameters}
    return with_batch
