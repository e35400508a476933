"""``compact models``: which models are installed, and what they are."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.config import ModelConfig

models = typer.Typer(invoke_without_command=True)

FormatOption = Annotated[
    options.ListFormat | None,
    typer.Option("--format", help="How to write; by default table on a terminal, json in a pipe.", show_default=False),
]


@models.callback()
def list_installed(context: typer.Context, result_format: FormatOption = None) -> None:
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
    result_format: FormatOption = None,
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
    import json

    from compactcli.cli.console import result_console, stdout_is_terminal
    from compactcli.cli.output import open_output
    from compactcli.cli.render import model_details, model_table
    from compactcli.plainjson import to_json

    on_terminal = stdout_is_terminal()
    with open_output(None) as write:
        if result_format == "json" or (result_format is None and not on_terminal):
            described = [{"folder": str(folder), **to_json(config)} for folder, config in found]
            write(json.dumps(described if as_list else described[0], indent=2) + "\n")
            return
        console = result_console(to_terminal=on_terminal)
        for_people = model_table if as_list else model_details
        with console.capture() as capture:
            console.print(for_people(list(found)))
        write(capture.get())
