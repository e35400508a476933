"""``compact detect``: what happened when."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from compactcli.cli import options


def detect(
    recordings: options.Recordings,
    threshold: options.Threshold = None,
    classes: options.Classes = None,
    min_duration: options.MinDuration = None,
    max_gap: options.MaxGap = None,
    median: options.Median = None,
    result_format: Annotated[
        options.EventFormat | None, typer.Option("--format", help=options.FORMAT_HELP, show_default=False)
    ] = None,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = True,
    model: options.ModelName = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what happened when in each recording: events with onset and offset in seconds.

    Example: compact detect --threshold 0.5 --threshold dog=0.7 clip.wav
    """
    from compactcli import inference
    from compactcli.cli.batch import BatchOptions, run_batch
    from compactcli.cli.console import say_loaded
    from compactcli.cli.output import check_output
    from compactcli.cli.writing import choose_format, make_writer
    from compactcli.records import Record

    check_output(output, overwrite=overwrite, inputs=recordings)
    for_all, for_one = options.parse_thresholds(threshold or [])
    wanted = options.parse_classes(classes)
    engine = inference.load_model(model, device=device)
    detection = inference.override_detection(
        engine.config.detection,
        threshold=for_all,
        class_thresholds=for_one,
        min_duration_s=min_duration,
        max_gap_s=max_gap,
        median_s=median,
    )
    inference.plan_detection(engine.config, detection=detection, classes=wanted)  # refuses before any work is done
    if verbose:
        say_loaded(engine.config, engine.device)

    def analyse(path: Path, on_progress: Callable[[float, float | None], None]) -> Record:
        return inference.detect_recording(path, engine, detection=detection, classes=wanted, on_progress=on_progress)

    name = choose_format("detect", result_format, output=output)
    code = run_batch(
        BatchOptions(paths=recordings, recursive=recursive, output=output, quiet=quiet),
        analyse,
        writer=make_writer("detect", name, output=output),
        model=engine.config.name,
        streams=name != "table",
    )
    raise typer.Exit(code)
