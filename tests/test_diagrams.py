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


def drawn_right(figures):
    """Rows of the right half, of 1, in which a point of a line is drawn."""
    pixels = pixels_of(figures)
    coloured = np.abs(pixels[:, pixels.shape[1] // 2 :] - to_rgb(COLOUR)).max(axis=2) < 0.02
    return np.flatnonzero(coloured.any(axis=1)) / len(pixels)


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


def test_bins_without_scores_have_no_point():
    assert len(drawn_right(with_events([], []))) == 0
