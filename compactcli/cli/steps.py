"""Progress of long work that is not a batch of recordings, and where such work keeps its cache."""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from compactcli.cli.console import say, talk_console
from compactcli.cli.progress import start


class StepProgress:
    """One bar per stage of a long run, on a terminal's standard error only.

    Args:
        active: Whether to show anything at all.
    """

    def __init__(self, *, active: bool) -> None:
        console = talk_console()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not (active and console.is_terminal),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StepProgress":
        start(self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Set how far a stage is; a stage appears when it is first shown."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note="")
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)

    def counter(self, stage: str) -> Callable[[], None]:
        """A function that counts one more step of a stage whose length is not known."""
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            self.show(stage, done, None)

        return count

    def gauge(self, stage: str) -> Callable[[int, int], None]:
        """A function that sets how far a stage is, told steps done and in all."""
        return lambda done, total: self.show(stage, done, total)

    def say(self, message: str) -> None:
        """One line of talk above the bars."""
        if self._progress.disable:
            say(message)
        else:
            self._progress.console.print(message)


def cache_folder(asked: Path | None) -> Path:
    """Where log-mels are kept: as asked, else ``compact`` in the user's cache folder."""
    if asked is not None:
        return asked
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "compact"
