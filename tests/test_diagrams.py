import io
from dataclasses import replace

import numpy as np
from matplotlib import image
from matplotlib.colors import to_rgb
from test_figures import FIGURES

from compactcli.diagrams import COLOUR, draw_reliability
from compactcli.metrics.reliability import reliability


def pixels_of(figures):
    return image.imread(io.BytesIO(draw_reliability(figures)))[..., :3]


def coloured(figures):
    """Where points and their line are, for the left and the right half."""
    pixels = pixels_of(figures)
    return np.split(np.abs(pixels - to_rgb(COLOUR)).max(axis=2) < 0.02, 2, axis=1)


def drawn_right(figures):
    """Rows of the right half, of 1, in which a point of a line is drawn."""
    right = coloured(figures)[1]
    return np.flatnonzero(right.any(axis=1)) / len(right)


def with_events(scores, right):
    return replace(
        FIGURES, event_calibration=replace(FIGURES.event_calibration, reliability=reliability(scores, right))
    )


def test_equal_figures_are_equal_bytes():
    assert draw_reliability(FIGURES) == draw_reliability(FIGURES)
    assert draw_reliability(FIGURES).startswith(b"\x89PNG")


def test_points_are_as_high_as_scores_are_right():
    wrong, right = (drawn_right(with_events([0.55] * 4, [hit] * 4)) for hit in (False, True))
    assert wrong.min() > 0.7
    assert right.max() < 0.3
    half = drawn_right(with_events([0.55] * 4, [False, False, True, True]))
    assert 0.35 < half.mean() < 0.6


def test_scenes_are_on_the_left():
    few = [item for item in FIGURES.scenes.reliability if item.n_scores][:1]
    assert few
    others = [
        replace(
            FIGURES, scenes=replace(FIGURES.scenes, reliability=[replace(few[0], mean_score=score, share_right=right)])
        )
        for score, right in ((0.25, 0.25), (0.75, 0.75))
    ]
    low, high = (np.argwhere(coloured(figures)[0]).mean(axis=0) for figures in others)
    (low_right, high_right) = (coloured(figures)[1] for figures in others)
    assert low[0] > high[0] + 50
    assert low[1] < high[1] - 50
    assert (low_right == high_right).all()


def test_bins_without_scores_have_no_point():
    assert len(drawn_right(with_events([], []))) == 0
