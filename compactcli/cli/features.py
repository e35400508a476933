"""``compact features``: what the network hears."""

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compactcli.cli import options
from compactcli.cli.batch_options import BatchOptions, takes_recordings

if TYPE_CHECKING:
    from compactcli.cli.work import Analyse
    from compactcli.engine.base import Engine


@dataclass(frozen=True, kw_only=True)
class LevelWork:
    """What ``features`` does with each recording."""

    command: str = "features"

    def prepare(self, engine: "Engine") -> tuple["Analyse", dict[str, Any]]:
        """See ``compactcli.cli.work.Work``."""
        from compactcli import inference

        config = engine.config
        return lambda path, listening: inference.measure_recording(path, config, listening=listening), {}


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

    raise typer.Exit(run_batch(replace(batch, device="cpu"), LevelWork(), formats=result_format or []))
