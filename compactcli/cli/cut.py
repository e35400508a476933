"""``compact cut``: events become clips, a folder for each class."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.cli.cutting import Clip
    from compactcli.cli.inputs import Input

# more than anybody listens to, and few enough clips of one recording at a time to keep their files open
LARGEST_MARGIN_S = 60.0


class ClipFormat(StrEnum):
    """What can be written about clips."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class ClipPick(StrEnum):
    """As in ``compactcli.clips``."""

    BEST = "best"
    RANDOM = "random"


def cut(
    events: Annotated[
        Path,
        typer.Argument(
            help="What compact detect wrote as jsonl, json, csv or tsv, labels in such a layout, or a selection table "
            "of Raven; - is standard input.",
            metavar="EVENTS",
            show_default=False,
            parser=options.parse_path,
        ),
    ],
    output_dir: Annotated[
        Path,
        typer.Option(
            "--output-dir",
            metavar="FOLDER",
            help="Write the clips here, in a folder for each class.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ],
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Where the recordings are, as files or folders; needed where EVENTS does not give their paths.",
            metavar="[RECORDINGS...]",
            show_default=False,
            parser=options.parse_path,
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            "--margin", metavar="SECONDS", min=0.0, max=LARGEST_MARGIN_S, help="Sound before and after each event."
        ),
    ] = 1.0,
    at_most: Annotated[
        int | None,
        typer.Option(
            "--at-most",
            metavar="N",
            min=1,
            help="Clips of each class.",
            show_default="all",
            rich_help_panel=options.EVENTS,
        ),
    ] = None,
    pick: Annotated[
        ClipPick,
        typer.Option(
            "--pick",
            help="Which events where there are more: those with the highest scores, or any, as a figure about all of "
            "them needs.",
            rich_help_panel=options.EVENTS,
        ),
    ] = ClipPick.BEST,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="X|CLASS=X",
            help="Lowest score, from 0 to 1: for all classes, or for one. Repeatable.",
            show_default="all events",
            rich_help_panel=options.EVENTS,
        ),
    ] = None,
    classes: options.Classes = None,
    exclude: options.Exclude = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace clips that are there.", rich_help_panel=options.OUTPUT)
    ] = False,
    result_format: Annotated[
        ClipFormat | None,
        typer.Option(
            "--format",
            help="How to write which clips there are; by default table on a terminal, json in a pipe.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Cut events out of their recordings: clips to listen to, or for compact learn.

    Example: compact cut events.jsonl --output-dir clips/ --at-most 20
    """
    from compactcli.cli.console import say_warning
    from compactcli.cli.cutting import check_clips, cut_recording, find_recordings, plan_clips
    from compactcli.cli.cutting_report import CuttingReport
    from compactcli.cli.hearing import hear_each, say_unheard
    from compactcli.cli.output import check_new_folder, open_output, write_report
    from compactcli.cli.references import read_event_table
    from compactcli.cli.steps import StepProgress
    from compactcli.clips import ClipChoice, Pick, choose_events

    for_all, for_one = options.parse_thresholds(threshold or [])
    wanted = options.parse_classes(classes)
    choice = ClipChoice(
        classes=None if wanted is None else tuple(wanted),
        exclude=tuple(options.parse_classes(exclude) or ()),
        threshold=0.0 if for_all is None else for_all,
        class_thresholds=for_one,
        at_most=at_most,
        pick=Pick(pick),
    )
    table = read_event_table(events)
    chosen = choose_events(table, choice)
    sources = find_recordings(table, chosen, recordings or [], leave_out=[events, output_dir], source=str(events))
    plans = plan_clips(chosen, sources, folder=output_dir, margin_s=margin)
    clips = [clip for plan in plans.values() for clip in plan.clips]
    check_new_folder(output_dir, option="--output-dir")
    check_clips(clips, overwrite=overwrite)
    labels = {event.label for listed in table.values() for event in listed}
    absent = [name for name in dict.fromkeys([*(wanted or ()), *for_one]) if name not in labels]
    if absent and not quiet:
        say_warning(f"no events in {events} of: {', '.join(absent)}")
    elif not clips and not quiet:
        say_warning(f"no events in {events} that are asked for")
    written: list[Clip] = []

    def hear(item: "Input") -> tuple[None, str | None]:
        return None, cut_recording(plans[item.path], on_written=written.append)

    with StepProgress(active=not quiet) as progress:
        heard = hear_each([plan.item for plan in plans.values()], hear, show=progress.gauge("recordings"))
    say_unheard(heard.failures, heard.damages, quiet=quiet)
    n_late = sum(len(plans[path].clips) for path in heard.results)
    n_late -= sum(clip.recording in heard.results for clip in written)
    if n_late:
        say_warning(f"events left out, which begin after the end of their recording: {n_late}")
    places = {clip.path: place for place, clip in enumerate(clips)}
    report = CuttingReport(
        clips=tuple(sorted(written, key=lambda clip: places[clip.path])),
        output=output_dir,
        n_late=n_late,
        failed=tuple(map(str, heard.failures)),
    )
    if result_format == ClipFormat.CSV:
        with open_output(None) as write:
            write(report.to_csv())
    else:
        as_listed = None if result_format is None else options.ListFormat(result_format)
        write_report(as_listed, plain=report.to_dict, draw=report.print)
    if heard.failures or n_late:
        raise typer.Exit(1)
