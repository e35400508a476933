"""matplotlib as every picture of this package wants it: silent, and without the settings that are lying about."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compactcli.errors import ConfigError
from compactcli.packages import require_package

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_canvas(purpose: str) -> None:
    """Refuse to begin what ends in a picture where none can be drawn.

    Args:
        purpose: What draws, as the subject of a sentence.

    Raises:
        ConfigError: matplotlib is not installed, or cannot be imported.
    """
    require_package("matplotlib", purpose=purpose)
    with _silence():
        _import_matplotlib()


@contextmanager
def plain_figure(width_in: float, height_in: float) -> "Iterator[Figure]":
    """An empty figure, to be drawn and saved by matplotlib's own settings, whatever ``matplotlibrc`` lies about.

    A picture is the same everywhere, and nothing but this package writes to standard error: matplotlib's remarks about
    its caches, its settings and letters that the font lacks are not the user's concern.

    Args:
        width_in: Width in inches.
        height_in: Height in inches.

    Raises:
        ConfigError: matplotlib cannot be imported.
    """
    with _silence():
        _import_matplotlib()
        from matplotlib import rc_context, style

        with style.context("default"), rc_context({"svg.hashsalt": "compact", "svg.fonttype": "none"}):
            # no pyplot: it would choose a display for the whole process
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure

            figure = Figure(figsize=(width_in, height_in), layout="constrained")
            FigureCanvasAgg(figure)
            yield figure


@contextmanager
def _silence() -> Iterator[None]:
    # it speaks while it is imported
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _import_matplotlib() -> None:
    """Import it; it reads the user's settings meanwhile, and fails on some of them."""
    display = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"  # a display that it does not know would end the import
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"matplotlib cannot be imported: {error}",
            hint="install it again: pip install --force-reinstall matplotlib",
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"matplotlib cannot be imported: {error}",
            hint="mend or remove the file matplotlibrc in this folder, or in your settings",
        ) from error
    finally:
        if display is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = display
