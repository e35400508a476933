"""The interchannel study as one picture: a panel for each task, a row for each operation and group size."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compactcli.canvas import plain_figure
from compactcli.errors import writing_to
from compactcli.study.results import Run
from compactcli.study.tables import mean_and_spread, scores_of
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import BASELINE, PARAMETERS, WIDTH, Variant, variants

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# of the palette by Okabe and Ito, which most colour-blind people can tell apart; the markers differ as well
STYLES = {WIDTH: ("#0072B2", "o", "as wide as separable"), PARAMETERS: ("#D55E00", "s", "as many parameters")}
DOTS_PER_INCH = 110


def draw_study(runs: Sequence[Run], designs: Iterable[TaskDesign], path: Path) -> None:
    """Write the picture of all tasks that have a run.

    Points are means over seeds, bars reach one standard deviation to either side, the line and the band are those of
    the depth-wise separable convolution.

    Args:
        runs: In any order.
        designs: Tasks in the order of the panels.
        path: PNG file.

    Raises:
        CompactError: The file cannot be written.
    """
    shown = [design for design in designs if any(run.task == design.name for run in runs)]
    with plain_figure(4.2 * len(shown) + 1.2, 4.8) as figure:
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for panel, design in zip(panels, shown, strict=True):
            _draw_panel(panel, runs, design)
        panels[0].set_ylabel("operation and group size")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        with writing_to(str(path)):
            figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def rows() -> list[str]:
    """Labels of the picture's rows from top to bottom, without the baseline."""
    return list(dict.fromkeys(variant.label for variant in variants() if variant != BASELINE))


def _draw_panel(panel: "Axes", runs: Sequence[Run], design: TaskDesign) -> None:
    labels = rows()
    baseline = _percents(runs, design, BASELINE)
    if baseline:
        mean, spread = mean_and_spread(baseline)
        panel.axvline(mean, color="black", linewidth=1, linestyle="--", label="separable (g = 1)")
        if spread is not None:
            panel.axvspan(mean - spread, mean + spread, color="black", alpha=0.1, linewidth=0)
    for matched, (colour, marker, label) in STYLES.items():
        points = []
        for variant in variants():
            values = _percents(runs, design, variant)
            if variant != BASELINE and variant.matched == matched and values:
                mean, spread = mean_and_spread(values)
                points.append((mean, labels.index(variant.label) + (0.14 if matched == PARAMETERS else -0.14), spread))
        if points:
            panel.errorbar(
                [mean for mean, _, _ in points],
                [row for _, row, _ in points],
                xerr=[spread or 0.0 for _, _, spread in points],
                fmt=marker,
                color=colour,
                markersize=5,
                capsize=2,
                label=label,
            )
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.set_xlabel(f"{design.metric}, %")
    panel.set_title(design.title, fontsize=10)
    panel.grid(axis="x", alpha=0.3)


def _percents(runs: Sequence[Run], design: TaskDesign, variant: Variant) -> list[float]:
    return [100 * score for score in scores_of(runs, design.name, variant).values()]
