"""``compact embed``: recordings become vectors."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options
from compactcli.cli.batch_options import BatchOptions, takes_recordings

if TYPE_CHECKING:
    from compactcli.cli.work import Prepared, Task


@dataclass(frozen=True, kw_only=True)
class VectorWork:
    """What ``embed`` does with each recording.

    Args:
        every_s: Seconds of the stretches that have a vector each; None gives the whole recording one.
    """

    every_s: float | None = None
    command: str = "embed"
    can_resume: bool = False

    def prepare(self, task: "Task") -> "Prepared":
        """See ``compactcli.cli.work.Work``."""
        from compactcli import inference
        from compactcli.cli.work import Prepared

        embedder = inference.load_embedder(task.model, device=task.device)
        return Prepared(
            model=embedder,
            analyse=lambda path, listening: inference.embed_recording(
                path, embedder, every_s=self.every_s, listening=listening
            ),
            settings={"every_s": self.every_s},
        )


@functools.partial(takes_recordings, without=("engine", "batch_size", "precision", "resume"))
def embed(
    batch: BatchOptions,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="SECONDS",
            min=1.0,
            help="A vector for each stretch of so many seconds.",
            show_default="one for the whole recording",
        ),
    ] = None,
    result_format: Annotated[
        list[options.VectorFormat] | None,
        typer.Option(
            "--format",
            help="How to write; repeatable with --output-dir.",
            show_default="by the name of the output or csv",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
) -> None:
    """Turn recordings into vectors, the nearer to one another the more alike they sound: to find, sort and compare.

    Example: compact embed recordings/ --every 10 --output vectors.csv
    """
    from compactcli.cli.batch import run_batch
    from compactcli.heads import PACKAGES
    from compactcli.packages import require_package

    # before processes begin that would each say so
    for package in PACKAGES:
        require_package(package, purpose="compact embed")
    raise typer.Exit(run_batch(batch, VectorWork(every_s=every), formats=result_format or []))
