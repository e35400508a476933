"""How far a run is: files, hours of audio, speed and time left, on a terminal's standard error only."""

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from compactcli.cli.console import talk_console

REFRESH_S = 0.2


class RunProgress:
    """Progress of one run over many recordings; does nothing unless ``active`` and on a terminal.

    Redrawn from the loop itself, never from a thread: the decoder may have standard error redirected while it works.

    Args:
        n_files: Recordings in all.
        n_bytes: Size of all recordings, by which the time left is judged.
        active: Whether to show anything at all.
    """

    def __init__(self, *, n_files: int, n_bytes: int, active: bool) -> None:
        console = talk_console()
        self._progress = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.fields[files]} of {task.fields[n_files]} files"),
            TextColumn("{task.fields[hours]:.2f} h of audio"),
            TextColumn("{task.fields[speed]:.0f} x real time"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not (active and console.is_terminal),
        )
        self._task: TaskID = self._progress.add_task(
            "", total=max(1, n_bytes), files=0, n_files=n_files, hours=0.0, speed=0.0
        )
        self._started = time.monotonic()
        self._drawn = -REFRESH_S
        self._files = 0
        self._bytes = 0.0
        self._audio_s = 0.0

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def inside(self, n_bytes: int, audio_s: float, promised_s: float | None) -> None:
        """Show how far the recording at hand is.

        Args:
            n_bytes: Its size.
            audio_s: Seconds analysed so far.
            promised_s: Its length as the header says, or None.
        """
        share = 0.0 if not promised_s else min(1.0, audio_s / promised_s)
        self._show(self._bytes + share * n_bytes, self._audio_s + audio_s)

    def done(self, n_bytes: int, audio_s: float) -> None:
        """Count one recording that is finished, in whatever way."""
        self._files += 1
        self._bytes += n_bytes
        self._audio_s += audio_s
        self._show(self._bytes, self._audio_s)

    def _show(self, n_bytes: float, audio_s: float) -> None:
        now = time.monotonic()
        if now - self._drawn < REFRESH_S:
            return
        self._drawn = now
        speed = audio_s / max(now - self._started, 1e-3)
        self._progress.update(self._task, completed=n_bytes, files=self._files, hours=audio_s / 3600, speed=speed)
        self._progress.refresh()
