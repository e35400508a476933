"""matplotlib as every picture of this package wants it: silent, and without the settings that are lying about."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_canvas() -> Iterator[None]:
    """Draw by matplotlib's own settings, whatever ``matplotlibrc`` the user or the current folder has.

    A picture is the same everywhere, and nothing but this package writes to standard error: matplotlib's remarks about
    its caches, its settings and letters that the font lacks are not the user's concern.
    """
    # it speaks while it is imported
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from matplotlib import rc_context, style

        with style.context("default"), rc_context({"svg.hashsalt": "compact", "svg.fonttype": "none"}):
            yield
