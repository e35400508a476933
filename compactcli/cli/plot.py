"""``compact plot``: a picture of what was heard."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options
from compactcli.cli.batch_options import BatchOptions, takes_recordings
from compactcli.cli.detect import EventWork

if TYPE_CHECKING:
    from compactcli.records import Record


@dataclass(frozen=True, kw_only=True)
class PictureWork(EventWork):
    """What ``plot`` does with each recording: what ``detect`` does, and a picture of it.

    Args:
        every_s: Seconds of the stretches whose scenes are shown too; None shows those of the whole alone.
    """

    every_s: float | None = None
    command: str = "plot"
    can_resume: bool = False

    def analysis(self) -> "Callable[..., Record]":
        """See ``EventWork``."""
        from compactcli import inference

        return functools.partial(inference.picture_recording, every_s=self.every_s)


@functools.partial(takes_recordings, without=("resume",))
def plot(
    batch: BatchOptions,
    threshold: options.Threshold = None,
    step: options.Step = None,
    hysteresis: options.Hysteresis = None,
    classes: options.Classes = None,
    exclude: options.Exclude = None,
    min_duration: options.MinDuration = None,
    max_gap: options.MaxGap = None,
    median: options.Median = None,
    top_k: options.TopK = options.DEFAULT_TOP_K,
    every: options.Every = None,
    result_format: Annotated[
        list[options.PictureFormat] | None,
        typer.Option(
            "--format",
            help="How to write; repeatable with --output-dir.",
            show_default="by the name of the output, else png",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
) -> None:
    """Draw what each recording sounds like: spectrogram, scores and events over time, with --every scenes too.

    Example: compact plot clip.wav --output clip.png
    """
    from compactcli.canvas import require_canvas

    require_canvas("compact plot")
    work = PictureWork.from_options(
        threshold=threshold,
        step_s=step,
        hysteresis=hysteresis,
        classes=classes,
        exclude=exclude,
        min_duration_s=min_duration,
        max_gap_s=max_gap,
        median_s=median,
        top_k=top_k,
    )
    from compactcli.cli.batch import run_batch

    work = replace(work, every_s=every)
    raise typer.Exit(run_batch(batch, work, formats=result_format or []))
