"""``compact tune``: a model's detection settings, fitted to recordings that a user has labelled."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.cli.inputs import Input


class Metric(StrEnum):
    """What the settings are fitted for."""

    SEGMENT = "segment"
    EVENT = "event"


def tune(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Labelled recordings, and folders of them.",
            metavar="PATH...",
            show_default=False,
            parser=options.parse_path,
        ),
    ],
    reference: Annotated[
        Path,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="The true events: filename, onset, offset and event_label between tabs, in seconds; or JSON or CSV of "
            "detect, a selection table of Raven, or a folder of label tracks of Audacity. A recording without events "
            "has a row with the three others empty; one without a row is left out.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        Metric,
        typer.Option(
            "--metric",
            help="F1 to fit for: of whole seconds, or of events that begin within 0.2 s of the labelled ones and end "
            "within 0.2 s or half their length.",
        ),
    ] = Metric.SEGMENT,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Whether to look into folders inside folders.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write a copy of the model with the fitted settings here, its recipe too; not its card, whose figures "
            "are those of other settings.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that --output names.")] = False,
    model: options.ModelName = None,
    device: options.Device = "auto",
    result_format: options.ReportFormat = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit a model's detection settings, not its weights, to recordings that you have labelled.

    What is fitted has to prove itself on recordings that it was not fitted on; else the model's own settings stay, and
    where --output was to be written, the exit code is 1.

    Example: compact tune recordings/ --reference events.tsv --output my-model
    """
    import dataclasses
    import functools

    from compactcli import inference
    from compactcli.checkpoint import DEFAULT_MODEL, copy_model, find_model
    from compactcli.cli.console import say, say_warning
    from compactcli.cli.hearing import hear_labelled, say_unheard
    from compactcli.cli.inputs import check_named, collect_inputs
    from compactcli.cli.output import real_path, write_report
    from compactcli.cli.references import describe_unknown, known_events, match_recordings, read_event_table
    from compactcli.cli.steps import StepProgress
    from compactcli.cli.tuning_report import TuningReport
    from compactcli.errors import ConfigError
    from compactcli.events import join_events
    from compactcli.operating_point import check_references, fit_detection

    check_named(paths)
    table = read_event_table(reference, option="--reference")
    inputs = collect_inputs(
        paths, recursive=recursive, leave_out=[reference] if output is None else [reference, output]
    )
    if all(map(_is_missing, inputs)):
        raise ConfigError(
            f"{inputs[0].path} does not exist, expected labelled recordings or a folder of them", hint="check the path"
        )
    found = match_recordings(inputs, table, source=str(reference))
    if output is not None:
        from compactcli.cli.model_output import check_model_output, write_model

        folder = find_model(model or DEFAULT_MODEL)
        check_model_output(output, overwrite=overwrite, model=folder, inputs=[item.path for item in found.values()])
    engine = inference.load_model(model, device=device)
    known, unknown = known_events(table, engine.config, source=str(reference))
    if unknown and not quiet:
        say_warning(
            f"labels left out, which {engine.config.name} does not know: "
            f"{describe_unknown(unknown, engine.config.events)}"
        )
    joined = {name: join_events(events) for name, events in known.items()}
    n_joined = sum(map(len, known.values())) - sum(map(len, joined.values()))
    if n_joined and not quiet:
        say_warning(f"labels joined with another of their class, which they touch: {n_joined}")
    check_references(list(joined.values()))
    events_of = {found[name].path: events for name, events in joined.items()}
    # what is no recording at all is told of in any case, and so is what the user named and is not there
    to_hear = [item for item in inputs if item.path in events_of or item.error or _is_missing(item)]
    unlabelled = len(inputs) - len(to_hear)
    if unlabelled and not quiet:
        say_warning(f"files left out, which {reference} does not name: {unlabelled}")
    with StepProgress(active=not quiet) as progress:
        heard = hear_labelled(to_hear, events_of, engine, show=progress.gauge("recordings"))
    say_unheard(heard.failures, heard.damages, quiet=quiet)
    if heard.n_late and not quiet:
        say_warning(f"labels left out, which begin after the end of their recording: {heard.n_late}")
    with StepProgress(active=not quiet) as progress:
        point = fit_detection(
            heard.recordings,
            engine.config.detection,
            metric=metric,
            report=progress.gauge("fits"),
        )
    written = output if output is not None and point.is_better else None
    if written is not None:
        config = dataclasses.replace(engine.config, name=real_path(written).name, detection=point.chosen)
        write_model(written, functools.partial(copy_model, folder, config=config))
    report = TuningReport(
        point=point,
        model=engine.config.name,
        asked_model=model,
        duration_s=heard.duration_s,
        output=written,
        unlabelled=unlabelled,
        unknown_labels=tuple(unknown),
        failed=tuple(map(str, heard.failures)),
    )
    write_report(result_format, plain=report.to_dict, draw=report.print)
    if written is not None and not quiet:
        say(f"wrote {written}")
    if written != output:
        say(f"{output} was not written: the model's own settings stay")
    if heard.failures or written != output:
        raise typer.Exit(1)


def _is_missing(item: "Input") -> bool:
    """Whether it is what the user named, and not there."""
    from compactcli.cli.inputs import is_missing

    return item.root is None and is_missing(item.path)
