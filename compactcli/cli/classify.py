"""``compact classify``: where was this recorded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options
from compactcli.cli.batch_options import BatchOptions, takes_recordings

if TYPE_CHECKING:
    from compactcli.cli.work import Prepared, Task


@dataclass(frozen=True, kw_only=True)
class SceneWork:
    """What ``classify`` does with each recording.

    Args:
        top_k: Scenes to name, best first, at least 1.
        every_s: Seconds of the stretches whose scenes are named too; None names those of the whole alone.
    """

    top_k: int
    every_s: float | None = None
    command: str = "classify"
    can_resume: bool = True

    def prepare(self, task: "Task") -> "Prepared":
        """See ``compactcli.cli.work.Work``."""
        from compactcli import inference
        from compactcli.cli.work import Prepared

        engine = task.load_engine()
        return Prepared(
            model=engine,
            analyse=lambda path, listening: inference.classify_recording(
                path, engine, top_k=self.top_k, every_s=self.every_s, listening=listening
            ),
            settings={"top_k": self.top_k, "every_s": self.every_s},
        )


@takes_recordings
def classify(
    batch: BatchOptions,
    top_k: options.TopK = options.DEFAULT_TOP_K,
    every: options.Every = None,
    result_format: Annotated[
        list[options.SceneFormat] | None,
        typer.Option("--format", help=options.FORMAT_HELP, show_default=False, rich_help_panel=options.OUTPUT),
    ] = None,
) -> None:
    """Say where each recording was made: beach, train, office ...

    Example: compact classify --top-k 1 recordings/ --output scenes.csv
    """
    from compactcli.cli.batch import run_batch

    raise typer.Exit(run_batch(batch, SceneWork(top_k=top_k, every_s=every), formats=result_format or []))
