"""Tables for eyes; what other programs read comes from ``formats``."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compactcli.cli.console import printable
from compactcli.config import ModelConfig
from compactcli.records import Record

STATUS_STYLES = {"partial": "yellow", "error": "red"}


def plain_table(*headings: str, numbers: Collection[str] = ()) -> Table:
    """An empty table without lines.

    Args:
        headings: Of its columns; the first column is not broken.
        numbers: Headings of columns that hold numbers.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(
            heading, justify="right" if heading in numbers else "left", overflow="fold", no_wrap=place == 0
        )
    return table


class TableWriter:
    """Collects records and draws them as one table, as the writers of ``formats`` do for other formats.

    Args:
        console: Decides about width and colour; nothing is printed on it.
        columns: Headings after the first, and whether the column is for numbers.
        rows: Turns one record into the cells after the first, row by row.
        optional: Headings of the first columns, which are left out where all their cells are empty.
    """

    def __init__(
        self,
        console: Console,
        columns: dict[str, bool],
        rows: Callable[[Record], Iterator[tuple[str, ...]]],
        *,
        optional: Collection[str] = (),
    ) -> None:
        self._console = console
        self._rows = rows
        self._columns = columns
        self._optional = optional
        self._lines: list[tuple[Text, ...]] = []

    def begin(self) -> str:
        """Nothing."""
        return ""

    def record(self, record: Record) -> str:
        """Nothing yet: columns and widths depend on all rows."""
        name = Text(printable(record.path))
        style = STATUS_STYLES.get(record.status)
        for cells in self._rows(record):
            self._lines.append((name, *(Text(cell, style=style or "") for cell in cells)))
            name = Text("")
        if style is not None:
            message = Text(f"{record.status}: {printable(str(record.error_code))}", style=style)
            before = [Text("") for heading in self._columns if heading in self._optional]
            self._lines.append((name, *before, message))
        return ""

    def end(self) -> str:
        """The table."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("recording", overflow="fold")
        kept = [0]
        for place, (heading, is_number) in enumerate(self._columns.items(), start=1):
            if heading not in self._optional or any(line[place] for line in self._lines):
                table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
                kept.append(place)
        for line in self._lines:
            table.add_row(*(line[place] for place in kept if place < len(line)))
        with self._console.capture() as capture:
            self._console.print(table)
        return capture.get()


def scene_table(console: Console) -> TableWriter:
    """One row for each recording, or stretch of one, and scene, best first."""
    columns = {"start (s)": True, "stop (s)": True, "scene": False, "score": True}
    return TableWriter(console, columns, _scene_rows, optional=("start (s)", "stop (s)"))


def event_table(console: Console) -> TableWriter:
    """One row for each event; a recording without events has one that says so."""
    columns = {"event": False, "onset (s)": True, "offset (s)": True, "score": True}
    return TableWriter(console, columns, _event_rows)


def model_table(found: Sequence[tuple[Path, ModelConfig]]) -> Table:
    """One row for each installed model."""
    table = plain_table("model", "version", "scenes", "events", "folder", numbers=("scenes", "events"))
    for folder, config in found:
        cells = (config.name, config.version, str(len(config.scenes)), str(len(config.events)), str(folder))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def model_details(found: Sequence[tuple[Path, ModelConfig]]) -> Table:
    """What one model is, a row for each fact."""
    [(folder, config)] = found
    detection = config.detection
    if detection.step_s:
        boundaries = {"step": f"{detection.step_s:g} s", "merged at": f"{detection.merge_share:g} of the score"}
    else:
        boundaries = {"hysteresis": f"{detection.hysteresis:g}", "median": f"{detection.median_s:g} s"}
    facts = {
        "model": config.name,
        "version": config.version,
        "folder": str(folder),
        "scenes": ", ".join(config.scenes),
        "events": ", ".join(config.events),
        "sample rate": f"{config.features.sample_rate} Hz",
        "output frame": f"{config.clock.frame_s * 1000:g} ms",
        "threshold": ", ".join(
            [f"{detection.threshold:g}", *(f"{name} {value:g}" for name, value in detection.class_thresholds.items())]
        ),
        **boundaries,
        "longest gap closed": f"{detection.max_gap_s:g} s",
        "shortest event": f"{detection.min_duration_s:g} s",
        **{f"training: {name}": str(value) for name, value in config.training.items()},
    }
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(printable(name)), Text(printable(value)))
    return table


def _scene_rows(record: Record) -> Iterator[tuple[str, ...]]:
    if record.stretches is None:
        for label, score in record.scenes or ():
            yield "", "", label, f"{score:.2f}"
    for stretch in record.stretches or ():
        start, stop = f"{stretch.start:.2f}", f"{stretch.stop:.2f}"
        for label, score in stretch.scenes:
            yield start, stop, label, f"{score:.2f}"
            start, stop = "", ""


def _event_rows(record: Record) -> Iterator[tuple[str, ...]]:
    for event in record.events or ():
        score = "" if event.score is None else f"{event.score:.2f}"
        yield event.label, f"{event.onset:.2f}", f"{event.offset:.2f}", score
    if record.status != "error" and not record.events:
        yield ("no events",)
