"""``compact cut``: events become clips, a folder for each class."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from compactcli.cli.cutting import Clip
    from compactcli.cli.inputs import Input
    from compactcli.events import Event

# more than anybody listens to
LARGEST_MARGIN_S = 60.0


class ClipPick(StrEnum):
    """As in ``compactcli.clips``."""

    BEST = "best"
    RANDOM = "random"


def cut(
    events: Annotated[
        Path,
        typer.Argument(
            help="What compact detect wrote as jsonl, json, csv or tsv, labels in such a layout, a selection table of "
            "Raven, or a folder of label tracks of Audacity; - is standard input.",
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
    rest: Annotated[
        str | None,
        typer.Option(
            "--rest",
            metavar="CLASS",
            help="Cut what lies between the events too, up to 10 s a clip, and, beside --classes, events of all other "
            "classes, as this class; for the --background of compact learn, where all that sounds is labelled.",
            show_default=False,
            rich_help_panel=options.EVENTS,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace clips that are there.", rich_help_panel=options.OUTPUT)
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep clips that are there, as those of a run that was stopped, and write the others.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    result_format: Annotated[
        options.RowFormat | None,
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
    from compactcli.cli.cutting import add_rest, check_clips, cut_recording, find_recordings, plan_clips
    from compactcli.cli.cutting_report import CuttingReport
    from compactcli.cli.folder import check_not_stdout
    from compactcli.cli.hearing import hear_each, say_unheard
    from compactcli.cli.inputs import check_here
    from compactcli.cli.output import check_new_folder, write_report
    from compactcli.cli.references import read_event_table
    from compactcli.cli.steps import StepProgress
    from compactcli.clips import ClipChoice, Pick, as_rest, choose_events
    from compactcli.errors import ConfigError, require

    require(0 <= margin <= LARGEST_MARGIN_S, f"--margin is {margin}, expected 0 to {LARGEST_MARGIN_S:g} seconds")
    options.check_replacing(overwrite=overwrite, skip_existing=skip_existing)
    for_all, for_one = options.parse_thresholds(threshold or [])
    wanted = options.parse_classes(classes)
    choice = ClipChoice(
        classes=None if wanted is None else (*wanted, *([] if rest is None else [rest])),
        exclude=tuple(options.parse_classes(exclude) or ()),
        threshold=0.0 if for_all is None else for_all,
        class_thresholds=for_one,
        at_most=at_most,
        pick=Pick(pick),
    )
    if rest is not None:
        _check_rest(rest, [*(wanted or ()), *choice.exclude])
    check_here([output_dir, *(recordings or [])])
    check_not_stdout(output_dir)
    check_new_folder(output_dir, option="--output-dir")
    name = options.name_of(events)
    table = read_event_table(events)
    sources = find_recordings(list(table), recordings or [], leave_out=[events, output_dir], source=name)
    if rest is not None and any(event.label == rest for found in table.values() for event in found):
        raise ConfigError(
            f"--rest {rest} is a class in {name} already, expected another name", hint="choose another name"
        )
    doubts = _doubts(
        table,
        named=[*(wanted or ()), *for_one],
        has_threshold=bool(threshold),
        best=at_most if choice.pick == Pick.BEST else None,
        takes=choice.takes,
    )
    if rest is not None:
        with StepProgress(active=not quiet) as progress:
            table, sources = add_rest(table, sources, label=rest, show=progress.gauge("lengths"))
        if wanted is not None:
            table = as_rest(table, classes=wanted, exclude=choice.exclude, label=rest)
    plans = plan_clips(
        choose_events(table, choice),
        sources,
        folder=output_dir,
        margin_s=lambda event: 0.0 if event.label == rest else margin,
    )
    clips = [clip for plan in plans.values() for clip in plan.clips]
    if not clips and not doubts:
        doubts.append("no events that are asked for")
    for doubt in [] if quiet else doubts:
        say_warning(f"{name}: {doubt}")
    check_clips(clips, overwrite=overwrite or skip_existing)
    written: list[Clip] = []

    def hear(item: "Input") -> tuple[float, str | None]:
        cut = cut_recording(plans[item.path], keep=skip_existing, on_written=written.append)
        return cut.decoded_s, cut.damage

    with StepProgress(active=not quiet) as progress:
        heard = hear_each([plan.item for plan in plans.values()], hear, show=progress.gauge("recordings"))
    say_unheard(heard.failures, heard.damages, quiet=quiet)
    there = {clip.path for clip in written}
    late = {path: sum(clip.path not in there for clip in plans[path].clips) for path in heard.results}
    for path, n_late in late.items():
        if n_late:
            say_warning(f"{path} ends at {heard.results[path]:.2f} s; events that begin later have no clip: {n_late}")
    places = {clip.path: place for place, clip in enumerate(clips)}
    report = CuttingReport(
        clips=tuple(sorted(written, key=lambda clip: places[clip.path])),
        output=output_dir,
        n_late=sum(late.values()),
        failed=tuple(map(str, heard.failures)),
    )
    write_report(result_format, plain=report.to_dict, draw=report.print, rows=report.to_csv)
    if heard.failures or report.n_late:
        raise typer.Exit(1)


def _check_rest(rest: str, named: "Sequence[str]") -> None:
    from compactcli.clips import check_class_name
    from compactcli.errors import ConfigError

    check_class_name(rest, found=f"--rest is '{rest}'", hint="choose another name")
    if rest in named:
        raise ConfigError(
            f"--rest {rest} is named by --classes or --exclude too, expected a class of its own",
            hint="choose another name",
        )


def _doubts(
    table: "Mapping[str, Sequence[Event]]",
    *,
    named: "Sequence[str]",
    has_threshold: bool,
    best: int | None,
    takes: "Callable[[Event], bool]",
) -> list[str]:
    """What a user may not know of a table who asked for classes, scores or so many of the best of each class."""
    events = [event for found in table.values() for event in found]
    labels = {event.label for event in events}
    absent = [name for name in dict.fromkeys(named) if name not in labels]
    doubts = [f"no events of {', '.join(absent)}"] if absent else []
    if events and all(event.score is None for event in events):
        doubts += ["no event has a score, so that --threshold leaves none out"] * has_threshold
        counts = Counter(event.label for event in events if takes(event))
        if best is not None and max(counts.values(), default=0) > best:
            doubts.append("no event has a score, so that --at-most takes any")
    return doubts
