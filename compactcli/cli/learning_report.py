"""What ``compact learn`` has learned, as plain values, as a table for eyes, and as a line in the model's settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compactcli.cli.console import printable
from compactcli.cli.render import plain_table
from compactcli.config import ModelConfig
from compactcli.learning import ClassFigures, Learned


@dataclass(frozen=True, kw_only=True)
class LearningReport:
    """What became of a run.

    Args:
        learned: The heads and what they are worth.
        model: Name of the model that the new one is made from.
        background: Classes that are no events.
        duration_s: Seconds of recordings.
        output: The folder that was written.
        outside: Files and models that lie beside the folders of classes.
        failed: Recordings that could not be heard.
    """

    learned: Learned
    model: str
    background: tuple[str, ...]
    duration_s: float
    output: Path
    outside: int
    failed: tuple[str, ...]

    @property
    def n_recordings(self) -> int:
        """That were learned from."""
        return sum(item.n_recordings for item in self.learned.figures)

    def settings(self, config: ModelConfig, *, name: str) -> ModelConfig:
        """Settings of the new model, from those of the one whose network it has; classes come with the heads."""
        training = {
            # of a model that was learned itself, the one that had the network first
            "network": config.training.get("network", f"{config.name} {config.version}"),
            "recordings": self.n_recordings,
            "seconds": round(self.duration_s),
            "accuracy_cross_validated": round(self.learned.accuracy, 4),
        }
        return replace(config, name=name, version="1", training=training)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values; shares with 4 decimals."""
        return {
            "model": self.model,
            "recordings": self.n_recordings,
            "duration": round(self.duration_s, 3),
            "folds": self.learned.n_folds,
            "accuracy_cross_validated": round(self.learned.accuracy, 4),
            "classes": {item.label: _class_values(item) for item in self.learned.figures},
            "background": list(self.background),
            "output": str(self.output),
            "outside": self.outside,
            "failed": list(self.failed),
        }

    def print(self, console: Console) -> None:
        """Draw it for people."""
        console.print(_class_table(self.learned))
        console.print()
        n_classes = len(self.learned.figures)
        line = (
            f"macro accuracy of scenes {self.learned.accuracy:.3f} (by chance {1 / n_classes:.3f}), over "
            f"{self.n_recordings} recordings, learned without each of {self.learned.n_folds} parts"
        )
        console.print(Text(line), soft_wrap=True)


def _class_values(item: ClassFigures) -> dict[str, Any]:
    return {
        "recordings": item.n_recordings,
        "recall": round(item.recall, 4),
        "precision": round(item.precision, 4),
        "event_f1": None if item.event_f1 is None else round(item.event_f1, 4),
    }


def _class_table(learned: Learned) -> Table:
    numbers = ("recordings", "recall", "precision", "event F1 of frames")
    table = plain_table("class", *numbers, numbers=numbers)
    for item in learned.figures:
        table.add_row(
            Text(printable(item.label)),
            str(item.n_recordings),
            f"{item.recall:.3f}",
            f"{item.precision:.3f}",
            "" if item.event_f1 is None else f"{item.event_f1:.3f}",
        )
    return table
