"""How far a run is: files, hours of audio, speed and time left, on a terminal's standard error only."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from compactcli.cli.inputs import Input

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

REFRESH_S = 0.2


class Progress(Protocol):
    """Told how far a run is, as a context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def inside(self, item: Input, audio_s: float, promised_s: float | None) -> None:
        """Seconds of a recording that are analysed, and its length as the header says, or None."""

    def done(self, item: Input, audio_s: float) -> None:
        """A recording is finished, in whatever way."""


def watch(inputs: Sequence[Input], *, n_before: int, active: bool) -> Progress:
    """Progress on a terminal, or what shows nothing; see ``RunProgress``."""
    if active and sys.stderr is not None and sys.stderr.isatty():
        return RunProgress(inputs, n_before=n_before)
    return Silence()


def start(bars: "Bars") -> None:
    """Show bars; an interrupt on the way leaves the cursor, which they hide, as it was."""
    try:
        bars.start()
    except BaseException:
        bars.stop()
        raise


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def inside(self, item: Input, audio_s: float, promised_s: float | None) -> None:
        """Nothing."""

    def done(self, item: Input, audio_s: float) -> None:
        """Nothing."""


class RunProgress:
    """A line that shows how far a run over many recordings is.

    Redrawn from the loop itself, never from a thread: the decoder may have standard error redirected while it works.

    Args:
        inputs: The recordings to analyse; their sizes say how much time is left.
        n_before: Recordings that an interrupted run has done before.
    """

    def __init__(self, inputs: Sequence[Input], *, n_before: int) -> None:
        # takes longer to import than all else on the way to the first result, so only where somebody looks
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from compactcli.cli.console import talk_console

        self._progress = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.fields[files]} of {task.fields[n_files]} files"),
            TextColumn("{task.fields[hours]:.2f} h of audio"),
            TextColumn("{task.fields[speed]:.0f} x real time"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=talk_console(),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        n_bytes = sum(item.n_bytes for item in inputs)
        self._task = self._progress.add_task(
            "", total=max(1, n_bytes), files=n_before, n_files=n_before + len(inputs), hours=0.0, speed=0.0
        )
        self._started = time.monotonic()
        self._drawn = -REFRESH_S
        self._files = n_before
        self._bytes = 0.0
        self._audio_s = 0.0
        # bytes and seconds of each recording that is at work
        self._open: dict[Input, tuple[float, float]] = {}

    def __enter__(self) -> Self:
        start(self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def inside(self, item: Input, audio_s: float, promised_s: float | None) -> None:
        """See ``Progress``."""
        share = 0.0 if not promised_s else min(1.0, audio_s / promised_s)
        self._open[item] = (share * item.n_bytes, audio_s)
        self._show()

    def done(self, item: Input, audio_s: float) -> None:
        """See ``Progress``."""
        self._open.pop(item, None)
        self._files += 1
        self._bytes += item.n_bytes
        self._audio_s += audio_s
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._drawn < REFRESH_S:
            return
        self._drawn = now
        n_bytes = self._bytes + sum(n_bytes for n_bytes, _ in self._open.values())
        audio_s = self._audio_s + sum(audio_s for _, audio_s in self._open.values())
        speed = audio_s / max(now - self._started, 1e-3)
        self._progress.update(self._task, completed=n_bytes, files=self._files, hours=audio_s / 3600, speed=speed)
        self._progress.refresh()
