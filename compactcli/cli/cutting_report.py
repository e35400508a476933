"""What ``compact cut`` has written, as plain values, as a table of clips and as a table for eyes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from compactcli.cli.console import printable
from compactcli.cli.cutting import Clip
from compactcli.cli.render import plain_table
from compactcli.formats.tables import csv_row

COLUMNS = ("path", "recording", "label", "onset", "offset", "score", "start", "stop")


@dataclass(frozen=True, kw_only=True)
class CuttingReport:
    """What became of a run.

    Args:
        clips: In the order of the table of events.
        output: The folder that they are in.
        n_late: Events that begin after the end of their recording.
        failed: Recordings that could not be read.
    """

    clips: tuple[Clip, ...]
    output: Path
    n_late: int
    failed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values; seconds with 3 decimals, scores with 4."""
        return {
            "output": str(self.output),
            "clips": [_values(clip) for clip in self.clips],
            "late": self.n_late,
            "failed": list(self.failed),
        }

    def to_csv(self) -> str:
        """A row for each clip; the score of an event that people have labelled is empty."""
        rows = [["" if value is None else str(value) for value in _values(clip).values()] for clip in self.clips]
        return csv_row(*COLUMNS) + "".join(csv_row(*row) for row in rows)

    def print(self, console: Console) -> None:
        """Draw it for people, a row for each class."""
        table = plain_table("class", "clips", "seconds", numbers=("clips", "seconds"))
        for label in sorted({clip.event.label for clip in self.clips}):
            lengths = [clip.stop_s - clip.start_s for clip in self.clips if clip.event.label == label]
            table.add_row(Text(printable(label)), str(len(lengths)), f"{sum(lengths):.1f}")
        console.print(table)


def _values(clip: Clip) -> dict[str, Any]:
    event = clip.event
    return {
        "path": str(clip.path),
        "recording": str(clip.recording),
        "label": event.label,
        "onset": round(event.onset, 3),
        "offset": round(event.offset, 3),
        "score": None if event.score is None else round(event.score, 4),
        "start": round(clip.start_s, 3),
        "stop": round(clip.stop_s, 3),
    }
