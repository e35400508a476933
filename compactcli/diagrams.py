"""A reliability diagram: how often scores of each size are right, for both heads of a model."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from compactcli.canvas import plain_figure
from compactcli.figures import Evaluation
from compactcli.metrics.reliability import ReliabilityBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_IN = (8.0, 4.0)
DOTS_PER_INCH = 80
COLOUR = "#0072B2"
# height of the numbers of scores, below all points
COUNTS_AT = -0.06


def draw_reliability(figures: Evaluation) -> bytes:
    """Draw the bins of both heads, with the number of scores in each; a trustworthy score lies on the diagonal.

    Returns:
        A PNG file; equal figures give equal bytes.

    Source:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017; points at the mean score of each bin, where
        they have bars at its middle.
    """
    with plain_figure(*SIZE_IN) as figure:
        scenes, events = figure.subplots(1, 2, sharey=True)
        calibration = figures.event_calibration
        if figures.scenes is None:
            _draw_bins(scenes, (), "scenes: no recordings")
        else:
            error = figures.scenes.calibration_error
            _draw_bins(scenes, figures.scenes.reliability, f"scenes of recordings, ECE {error:.3f}")
        _draw_bins(events, calibration.reliability, f"events of frames, ECE {calibration.error:.3f}")
        scenes.set_xlabel("score of the best scene (numbers: how many)")
        scenes.set_ylabel("share right")
        events.set_xlabel("score of a class in a frame (numbers: how many)")
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()


def short_count(number: int) -> str:
    """A count in three digits at most.

    Example:
        >>> [short_count(number) for number in (7, 999, 1000, 59417, 999_999, 4098788)]
        ['7', '999', '1k', '59k', '999k', '4M']
    """
    if number < 1000:
        return str(number)
    return f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"


def _draw_bins(axes: "Axes", bins: Sequence[ReliabilityBin], title: str) -> None:
    filled = [item for item in bins if item.n_scores]
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--")
    axes.plot(
        [item.mean_score for item in filled], [item.share_right for item in filled], "o-", color=COLOUR, markersize=5
    )
    for item in filled:
        axes.text(
            min(max(item.mean_score, 0.05), 0.95),
            COUNTS_AT,
            short_count(item.n_scores),
            ha="center",
            va="center",
            fontsize=8,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(2 * COUNTS_AT, 1.02)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
