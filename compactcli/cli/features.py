"""``compact features``: what the network hears."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options
from compactcli.cli.batch_options import BatchOptions, takes_recordings

if TYPE_CHECKING:
    from compactcli.cli.work import Prepared, Task


@dataclass(frozen=True, kw_only=True)
class LevelWork:
    """What ``features`` does with each recording."""

    command: str = "features"
    can_resume: bool = False

    def prepare(self, task: "Task") -> "Prepared":
        """See ``compactcli.cli.work.Work``; the network is not loaded."""
        from compactcli import inference
        from compactcli.cli.work import Prepared

        model = inference.load_log_mel(task.model)
        return Prepared(
            model=model,
            analyse=lambda path, listening: inference.measure_recording(path, model.config, listening=listening),
            settings={},
        )


@functools.partial(takes_recordings, without=("device", "engine", "batch_size", "precision", "resume"))
def features(
    batch: BatchOptions,
    result_format: Annotated[
        list[options.LevelFormat] | None,
        typer.Option(
            "--format",
            help="How to write; repeatable with --output-dir.",
            show_default="npy with --output-dir, else by the name of the output or levels-tsv",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
) -> None:
    """Write the log-mel frames that the network hears: dB in mel bands, 50 times a second.

    Example: compact features recordings/ --output-dir levels/
    """
    from compactcli.cli.batch import run_batch

    raise typer.Exit(run_batch(batch, LevelWork(), formats=result_format or []))
