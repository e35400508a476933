"""A recording as a picture: its log-mel above, the scores and events of its likeliest classes below.

Between them are the scenes of its stretches, where these are known.

matplotlib draws; it is imported when the first picture is wanted.
"""

import bisect
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from compactcli.canvas import plain_figure
from compactcli.pictures import Columns, Picture, scene_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WIDTH_IN, LEVELS_IN, ROW_IN, MARGINS_IN = 11.0, 2.8, 0.24, 1.3
# what a heading above rows takes
HEADING_IN = 0.25
DOTS_PER_INCH = 110
# rows of classes: all with events first, then the likeliest others
FEWEST_ROWS = 6
# of a row's height: how much the bar under an event takes, and of the picture's width: the shortest bar that is seen
BAR_HEIGHT, SHORTEST_BAR = 0.22, 1 / 700
# levels below the loudest one by more than this look alike; a recording with nothing above the other one stays dark
RANGE_DB, QUIET_DB = 80.0, -40.0
# of a palette that most colour-blind people can tell apart (Okabe and Ito)
EVENT_COLOUR = "#D55E00"
CAPTION_POINTS, CAPTION_WIDTH_IN = 10, 8.0
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
# seconds between ticks that people count in; the last ones are hours and days
STEPS_S: tuple[float, ...] = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
STEPS_S += (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
# from this step on ticks are hours, minutes and seconds
CLOCK_STEP_S = 15
MOST_TICKS = 12
# the same picture has the same bytes: no dates, no random identifiers
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


class PictureWriter:
    """One picture of one recording.

    Args:
        form: ``png``, ``svg`` or ``pdf``.
    """

    def __init__(self, form: str) -> None:
        self._form = form

    def frames(self, picture: Picture) -> bytes:
        """The whole picture."""
        return draw_picture(picture, self._form)

    def finish(self, file: BinaryIO) -> None:
        """Nothing."""


def draw_picture(picture: Picture, form: str) -> bytes:
    """Draw a picture.

    Args:
        picture: What to show.
        form: ``png``, ``svg`` or ``pdf``.

    Returns:
        The bytes of a file of that form; equal pictures give equal bytes.
    """
    rows = choose_rows(picture)
    scenes = None if picture.record.stretches is None else scene_columns(picture.record)
    heights_in = [LEVELS_IN, *([] if scenes is None else [ROW_IN * len(scenes[0])]), ROW_IN * len(rows)]
    headings_in = 0.0 if scenes is None else 2 * HEADING_IN
    with plain_figure(WIDTH_IN, MARGINS_IN + headings_in + sum(heights_in)) as figure:
        above, *between, below = figure.subplots(len(heights_in), 1, sharex=True, height_ratios=heights_in)
        _draw_levels(figure, above, picture)
        above.set_title("\n".join(_captions(picture)), fontsize=CAPTION_POINTS, loc="left", parse_math=False)
        if scenes is not None:
            _draw_rows(between[0], *scenes, duration_s=picture.record.duration or 0.0)
            # names may be those of scenes and of events
            for axes, heading in ((between[0], "scenes"), (below, "events")):
                axes.set_title(heading, fontsize=CAPTION_POINTS, loc="left")
        _draw_scores(figure, below, picture, rows)
        _draw_times(below, picture.record.duration or 0.0)
        file = io.BytesIO()
        figure.savefig(file, format=form, dpi=DOTS_PER_INCH, metadata=METADATA[form])
    return file.getvalue()


def choose_rows(picture: Picture) -> list[int]:
    """Columns of the classes to show, surest first: all with events, and the likeliest others where those are few."""
    with_events = {event.label for event in picture.record.events or ()}
    peaks = picture.probabilities.max(axis=0)
    order = sorted(
        range(len(picture.classes)), key=lambda column: (picture.classes[column] not in with_events, -peaks[column])
    )
    return order[: max(len(with_events), FEWEST_ROWS)]


def tick_step_s(duration_s: float) -> float:
    """Seconds between ticks: the shortest step that people count in and that gives few enough ticks."""
    return next((step for step in STEPS_S if duration_s / step <= MOST_TICKS), STEPS_S[-1])


def clock_time(time_s: float, step_s: float) -> str:
    """A tick's label: seconds where ticks are close, else hours, minutes and seconds.

    Example:
        >>> clock_time(2.5, 0.5), clock_time(90, 15), clock_time(5400, 1800)
        ('2.5', '0:01:30', '1:30:00')
    """
    if step_s < CLOCK_STEP_S:
        return f"{time_s:.6g}"
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def drawable(text: str) -> str:
    r"""A text that every picture can hold: an SVG with other characters in it is none.

    Control characters become the pictures that Unicode has for them; what is no character, such as the stray bytes of
    a file's name, becomes U+FFFD.

    Example:
        >>> drawable("a\nb\x07\udce9\uffff")
        'a␊b␇��'
    """
    text = re.sub("[\x00-\x1f]", lambda match: chr(0x2400 + ord(match[0])), text)
    return re.sub("[\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _draw_levels(figure: "Figure", axes: "Axes", picture: Picture) -> None:
    n_columns, n_mels = picture.levels_db.shape
    loudest_db = max(QUIET_DB, float(picture.levels_db.max()))
    image = axes.imshow(
        picture.levels_db.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=loudest_db - RANGE_DB,
        vmax=loudest_db,
        extent=(0.0, n_columns * picture.level_column_s, -0.5, n_mels - 0.5),
    )
    figure.colorbar(image, ax=axes, pad=0.01, label="level in dB")
    ticks = [hz for hz in TICKS_HZ if picture.centres_hz[0] <= hz <= picture.centres_hz[-1]]
    axes.set_yticks(_bands_of(ticks, picture.centres_hz), [f"{hz:,}" for hz in ticks])
    axes.set_ylabel("frequency in Hz")


def _draw_scores(figure: "Figure", axes: "Axes", picture: Picture, rows: Sequence[int]) -> None:
    names = [picture.classes[column] for column in rows]
    duration_s = len(picture.probabilities) * picture.score_column_s
    image = _draw_rows(axes, names, picture.probabilities[:, rows], duration_s=duration_s)
    # as wide as the other one, however many rows there are
    figure.colorbar(image, ax=axes, pad=0.01, label="score", aspect=20 * ROW_IN * len(rows) / LEVELS_IN)
    shortest_s = SHORTEST_BAR * (picture.record.duration or 0.0)
    for row, name in enumerate(names):
        # what is scored stays visible above the bars, however many there are
        spans = [
            (event.onset, max(event.duration_s, shortest_s))
            for event in picture.record.events or ()
            if event.label == name
        ]
        axes.broken_barh(spans, (row + 0.5 - BAR_HEIGHT, BAR_HEIGHT), facecolors=EVENT_COLOUR, linewidth=0)


def _draw_rows(axes: "Axes", names: Sequence[str], scores: Columns, *, duration_s: float) -> "AxesImage":
    """A row for each name, dark where its score is high."""
    axes.set_yticks(range(len(names)), map(drawable, names), parse_math=False)
    return axes.imshow(
        scores.T,
        origin="upper",
        aspect="auto",
        interpolation="nearest",
        cmap="Blues",
        vmin=0.0,
        vmax=1.0,
        extent=(0.0, duration_s, len(names) - 0.5, -0.5),
    )


def _draw_times(axes: "Axes", duration_s: float) -> None:
    axes.set_xlim(0.0, duration_s)
    step_s = tick_step_s(duration_s)
    ticks_s = np.arange(0.0, duration_s * (1 + 1e-9), step_s)
    axes.set_xticks(ticks_s, [clock_time(tick, step_s) for tick in ticks_s.tolist()])
    axes.set_xlabel(f"time in {'seconds' if step_s < CLOCK_STEP_S else 'h:mm:ss'}")


def _captions(picture: Picture) -> list[str]:
    """The recording's name, and what it is as a whole, each no wider than there is room."""
    record = picture.record
    name = drawable(record.path)
    ends = ["…" + name[start:] for start in range(1, len(name))]
    n_events = len(record.events or ())
    found = f"{n_events or 'no'} event{'' if n_events == 1 else 's'}"
    partial = "" if record.status == "ok" else "damaged · "
    scenes = [f"{drawable(label)} {score:.2f}" for label, score in record.scenes or ()]
    lists = [", ".join([*scenes[:n_named], *["…"] * (n_named < len(scenes))]) for n_named in range(len(scenes), -1, -1)]
    return [
        _widest_that_fits([name, *ends]),
        _widest_that_fits([f"{partial}{named} · {found} · {drawable(record.model or '')}" for named in lists]),
    ]


def _widest_that_fits(texts: Sequence[str]) -> str:
    """The first of ever shorter texts that fits in a line of the caption, else the last."""
    from matplotlib.textpath import TextPath

    def fits(text: str) -> bool:
        # two dollar signs would be the ends of a formula
        plain = text.replace("$", r"\$")
        width_points = TextPath((0.0, 0.0), plain, size=CAPTION_POINTS).get_extents().width
        return bool(width_points <= 72 * CAPTION_WIDTH_IN)

    return texts[min(bisect.bisect_left(texts, True, key=fits), len(texts) - 1)]


def _bands_of(frequencies_hz: Sequence[float], centres_hz: npt.NDArray[np.float64]) -> list[float]:
    """Where between the bands frequencies lie."""
    places: list[float] = np.interp(frequencies_hz, centres_hz, np.arange(len(centres_hz))).tolist()
    return places
