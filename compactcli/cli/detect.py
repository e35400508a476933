"""``compact detect``: what happened when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from compactcli.cli import options
from compactcli.cli.batch_options import BatchOptions, takes_recordings

if TYPE_CHECKING:
    from compactcli.cli.work import Prepared, Task
    from compactcli.records import Record


@dataclass(frozen=True, kw_only=True)
class EventWork:
    """What ``detect`` does with each recording.

    Args:
        changes: Settings that take the place of the model's, by the names of ``inference.override_detection``.
        classes: Events to look for; None looks for all.
        exclude: Events not to look for.
        top_k: Scenes to name besides, best first, at least 1.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    top_k: int = options.DEFAULT_TOP_K
    command: str = "detect"
    can_resume: bool = True

    @classmethod
    def from_options(
        cls, *, threshold: Sequence[str] | None, classes: str | None, exclude: str | None, top_k: int, **changes: Any
    ) -> Self:
        """The work that options ask for.

        Args:
            threshold: Values of ``--threshold``.
            classes: Value of ``--classes``.
            exclude: Value of ``--exclude``.
            top_k: Scenes to name.
            changes: Other settings; None keeps the model's.

        Raises:
            ConfigError: A threshold cannot be read.
        """
        for_all, for_one = options.parse_thresholds(threshold or [])
        wanted = options.parse_classes(classes)
        return cls(
            changes={"threshold": for_all, "class_thresholds": for_one, **changes},
            classes=None if wanted is None else tuple(wanted),
            exclude=tuple(options.parse_classes(exclude) or ()),
            top_k=top_k,
        )

    def prepare(self, task: "Task") -> "Prepared":
        """See ``compactcli.cli.work.Work``."""
        from compactcli import inference
        from compactcli.cli.work import Prepared
        from compactcli.plainjson import to_json

        engine = task.load_engine()
        detection = inference.override_detection(engine.config.detection, **self.changes)
        plan = inference.plan_detection(engine.config, detection=detection, classes=self.classes, exclude=self.exclude)
        return Prepared(
            model=engine,
            analyse=lambda path, listening: self.analysis()(
                path,
                engine,
                detection=plan.detection,
                classes=plan.classes,
                top_k=self.top_k,
                listening=listening,
            ),
            settings={"detection": to_json(plan.detection), "classes": list(plan.classes), "top_k": self.top_k},
        )

    def analysis(self) -> "Callable[..., Record]":
        """What takes a path, an engine and the settings."""
        from compactcli import inference

        return inference.detect_recording


@takes_recordings
def detect(
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
    result_format: Annotated[
        list[options.EventFormat] | None,
        typer.Option("--format", help=options.FORMAT_HELP, show_default=False, rich_help_panel=options.OUTPUT),
    ] = None,
) -> None:
    """Say what happened when in each recording: events with onset and offset in seconds.

    Example: compact detect --threshold 0.5 --threshold dog=0.7 clip.wav
    """
    work = EventWork.from_options(
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

    raise typer.Exit(run_batch(batch, work, formats=result_format or []))
