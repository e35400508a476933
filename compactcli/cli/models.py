"""``compact models``: which models are installed, and what they are."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.config import ModelConfig

models = typer.Typer(invoke_without_command=True)


@models.callback()
def list_installed(context: typer.Context, result_format: options.ReportFormat = None) -> None:
    """List the installed models, or describe one.

    Example: compact models info compactnet
    """
    if context.invoked_subcommand is not None:
        return
    from compactcli.checkpoint import list_models, read_config

    _write(((folder, read_config(folder)) for folder in list_models()), result_format, as_list=True)


@models.command()
def info(
    model: Annotated[str, typer.Argument(help="An installed model or a model folder.", metavar="NAME|FOLDER")],
    result_format: options.ReportFormat = None,
) -> None:
    """Describe one model: its classes, its rates, its settings and how it was trained.

    Example: compact models info compactnet --format json
    """
    from compactcli.checkpoint import find_model, read_config

    folder = find_model(model)
    _write([(folder, read_config(folder))], result_format, as_list=False)


def _write(
    found: Iterable[tuple[Path, "ModelConfig"]], result_format: options.ListFormat | None, *, as_list: bool
) -> None:
    from compactcli.cli.output import write_report
    from compactcli.cli.render import model_details, model_table
    from compactcli.plainjson import to_json

    def plain() -> Any:
        described = [{"folder": str(folder), **to_json(config)} for folder, config in found]
        return described if as_list else described[0]

    for_people = model_table if as_list else model_details
    write_report(result_format, plain=plain, draw=lambda console: console.print(for_people(list(found))))
