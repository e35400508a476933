"""What ``compact tune`` found, as plain values, as a table for eyes, and as options of ``compact detect``."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compactcli.cli.console import printable
from compactcli.cli.render import plain_table
from compactcli.config import DetectionConfig
from compactcli.operating_point import ClassFit, OperatingPoint
from compactcli.plainjson import to_json

# fields of DetectionConfig that are fitted for all classes, and their options; in this order
OPTIONS = {
    "step_s": "--step",
    "median_s": "--median",
    "hysteresis": "--hysteresis",
    "max_gap_s": "--max-gap",
    "min_duration_s": "--min-duration",
}


@dataclass(frozen=True, kw_only=True)
class TuningReport:
    """What became of a run.

    Args:
        point: The fitted settings and what they are worth.
        model: Name of the model in its settings.
        asked_model: As the user named the model; None where they did not.
        duration_s: Seconds of labelled audio.
        output: The folder that was written, or None.
        unlabelled: Files that the table does not name.
        unknown_labels: Labels that the model does not know.
        failed: Recordings that could not be heard.
    """

    point: OperatingPoint
    model: str
    asked_model: str | None
    duration_s: float
    output: Path | None
    unlabelled: int
    unknown_labels: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def options(self) -> str:
        """What ``compact detect`` has to be told to detect with the chosen settings, ready for a shell."""
        model = [] if self.asked_model is None else ["--model", self.asked_model]
        return shlex.join([*model, *detection_options(self.point.before, self.point.chosen)])

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values; F1 with 4 decimals."""
        point = self.point
        return {
            "model": self.model,
            "metric": point.metric,
            "recordings": point.n_recordings,
            "duration": round(self.duration_s, 3),
            "folds": point.n_folds,
            "improved": point.is_better,
            "f1": {
                "before": round(point.f1_before, 4),
                "after_same_recordings": round(point.f1_after, 4),
                "after_cross_validated": round(point.f1_cross_validated, 4),
            },
            "detection": {
                "before": to_json(point.before),
                "fitted": to_json(point.fitted),
                "chosen": to_json(point.chosen),
            },
            "classes": {item.label: _class_values(item) for item in point.classes},
            "options": self.options,
            "output": None if self.output is None else str(self.output),
            "unlabelled": self.unlabelled,
            "unknown_labels": list(self.unknown_labels),
            "failed": list(self.failed),
        }

    def print(self, console: Console) -> None:
        """Draw it for people."""
        console.print(_settings_table(self.point))
        console.print()
        console.print(_class_table(self.point))
        console.print()
        console.print(_figures_table(self.point))
        console.print()
        for line in self._conclusion():
            console.print(Text(printable(line)), soft_wrap=True)

    def _conclusion(self) -> Iterator[str]:
        point = self.point
        if point.is_better:
            yield f"compact detect {self.options}"
        elif point.fitted == point.before:
            yield "no other settings do better: the model's own stay"
        else:
            yield (
                f"on recordings that they were not fitted on, fitted settings reach {point.f1_cross_validated:.3f}, "
                f"not above the {point.f1_before:.3f} of the model's own, which stay"
            )


def detection_options(before: DetectionConfig, after: DetectionConfig) -> list[str]:
    """Words that turn one detection into another on the command line of ``compact detect``.

    Args:
        before: The model's own.
        after: With the same threshold for all classes, and thresholds for at least the same single ones.

    Example:
        >>> from dataclasses import replace
        >>> own = DetectionConfig()
        >>> detection_options(own, replace(own, max_gap_s=0.4, class_thresholds={"dog": 0.35}))
        ['--max-gap', '0.4', '--threshold', 'dog=0.35']
    """
    words = []
    for name, option in OPTIONS.items():
        if after.step_s and name in ("median_s", "hysteresis"):  # which have no part in events at steps
            continue
        if getattr(after, name) != getattr(before, name):
            words += [option, str(getattr(after, name))]
    for label, threshold in after.class_thresholds.items():
        if threshold != before.class_thresholds.get(label):
            words += ["--threshold", f"{label}={threshold}"]
    return words


def _class_values(item: ClassFit) -> dict[str, Any]:
    return {
        "events": item.n_events,
        "threshold": {"before": item.threshold_before, "fitted": item.threshold_fitted},
        "kept": item.kept,
        "f1": {
            "before": round(item.f1_before, 4),
            "after_same_recordings": round(item.f1_after, 4),
            "after_cross_validated": round(item.f1_cross_validated, 4),
        },
    }


def _settings_table(point: OperatingPoint) -> Table:
    table = plain_table("setting", "before", "fitted", numbers=("before", "fitted"))
    names = {
        "step_s": "step, s",
        "median_s": "median, s",
        "hysteresis": "hysteresis",
        "max_gap_s": "longest gap closed, s",
        "min_duration_s": "shortest event, s",
    }
    for field, name in names.items():
        table.add_row(name, f"{getattr(point.before, field):g}", f"{getattr(point.fitted, field):g}")
    return table


def _class_table(point: OperatingPoint) -> Table:
    numbers = ("labels", "threshold", "fitted", "F1", "after", "held out")
    table = plain_table("event", *numbers, "kept for", numbers=numbers)
    for item in point.classes:
        table.add_row(
            Text(printable(item.label)),
            str(item.n_events),
            f"{item.threshold_before:g}",
            f"{item.threshold_fitted:g}",
            f"{item.f1_before:.3f}",
            f"{item.f1_after:.3f}",
            f"{item.f1_cross_validated:.3f}",
            item.kept or "",
        )
    return table


def _figures_table(point: OperatingPoint) -> Table:
    kind = {"segment": "segment-based (1 s)", "event": "event-based (200 ms)"}[point.metric]
    table = plain_table(f"{kind} macro F1", "value", "over", numbers=("value",))
    over = f"{point.n_recordings} recordings, {len(point.classes)} classes"
    table.add_row("before", f"{point.f1_before:.3f}", over)
    table.add_row("after, fitted on the same recordings", f"{point.f1_after:.3f}", over)
    table.add_row(
        "after, cross-validated",
        f"{point.f1_cross_validated:.3f}",
        f"{over}, fitted without each of {point.n_folds} parts",
    )
    return table
