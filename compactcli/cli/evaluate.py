"""``compact evaluate``: a model's figures on held-out recordings."""

from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from compactcli.evaluation import Evaluation


def evaluate(
    corpus: options.Corpus,
    model: options.ModelName = None,
    soundscapes: Annotated[
        int, typer.Option("--soundscapes", min=1, help="Ten-second soundscapes to mix for event detection.")
    ] = 300,
    result_format: Annotated[
        options.ListFormat | None,
        typer.Option("--format", help="How to write; by default table on a terminal, json in a pipe."),
    ] = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Measure a model on the recordings that its recipe holds out.

    Example: compact evaluate --model compactnet --corpus corpus
    """
    import json

    from rich.console import Console

    from compactcli import inference
    from compactcli.checkpoint import DEFAULT_MODEL, find_model
    from compactcli.cli.console import stdout_is_terminal
    from compactcli.cli.output import open_output
    from compactcli.cli.steps import StepProgress, cache_folder
    from compactcli.datasets import TEST
    from compactcli.evaluation import evaluate as measure
    from compactcli.heldout import HeldOut
    from compactcli.recipe import read_recipe

    folder = find_model(model or DEFAULT_MODEL)
    recipe = read_recipe(folder / "recipe.toml")
    engine = inference.load_model(folder, device=device)
    with StepProgress(active=not quiet) as progress:
        held_out = HeldOut(
            corpus,
            recipe,
            split=TEST,
            cache=cache_folder(cache),
            loading=lambda done, total: progress.show("log-mels", done, total),
        )
        figures = measure(engine, held_out, n_soundscapes=soundscapes, report=progress.counter("clips"))
    as_table = result_format == "table" or (result_format is None and stdout_is_terminal())
    with open_output(None) as write:
        if not as_table:
            write(json.dumps(figures.to_dict(), indent=2) + "\n")
            return
        console = Console()
        with console.capture() as capture:
            _print_table(console, figures)
        write(capture.get())


def _print_table(console: "Console", figures: "Evaluation") -> None:
    from rich.table import Table

    table = Table("figure", "value", "over")
    for name, value, over in figures.summary():
        table.add_row(name, value, over)
    console.print(table)
    confusions = Table("true scene", "heard as", "clips")
    for truth, heard, clips in figures.scene_confusions(10):
        confusions.add_row(truth, heard, str(clips))
    console.print(confusions)
