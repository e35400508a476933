"""``compact evaluate``: a model's figures on held-out recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from compactcli.figures import Evaluation


def evaluate(
    corpus: options.Corpus,
    model: options.ModelName = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            metavar="FILE",
            help="Measure this file in place of the model's network: what compact export --no-frontend wrote of it.",
            show_default=False,
        ),
    ] = None,
    soundscapes: Annotated[
        int, typer.Option("--soundscapes", min=1, help="Ten-second soundscapes to mix for event detection.")
    ] = 300,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            metavar="NAME",
            help="What happens to every recording first: clean, phone, mp3-64, telephone, quiet, loud, noise, or all; "
            "repeatable. The result is then a list, one block per condition.",
        ),
    ] = None,
    result_format: options.ReportFormat = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Draw how often scores are right here, as PNG, of the first condition; a file that is there is "
            "replaced.",
            show_default=False,
        ),
    ] = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    precision: options.Precision = options.PrecisionName.FP32,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model on the recordings that its recipe holds out.

    Example: compact evaluate --model compactnet --corpus corpus
    """
    from compactcli.packages import require_package

    require_package("torch", purpose="compact evaluate")
    from compactcli.canvas import require_canvas
    from compactcli.checkpoint import DEFAULT_MODEL, RECIPE, find_model
    from compactcli.cli.output import check_output, open_output, write_report
    from compactcli.cli.steps import StepProgress, cache_folder
    from compactcli.conditions import CLEAN, make_conditions
    from compactcli.datasets import TEST
    from compactcli.engine import load_engine
    from compactcli.errors import ConfigError
    from compactcli.evaluation import evaluate as measure
    from compactcli.heldout import HeldOut
    from compactcli.recipe import read_recipe

    if picture is not None:
        require_canvas("compact evaluate --picture")
    check_output(picture, overwrite=True, inputs=(), option="--picture")
    if picture is not None and picture.suffix.lower() != ".png":
        raise ConfigError(f"--picture {picture} has another suffix than .png", hint="pictures of scores are PNG files")
    folder = find_model(model or DEFAULT_MODEL)
    if not (folder / RECIPE).is_file():
        raise ConfigError(
            f"model {folder.name} has no {RECIPE}, which says what is held out; expected one that compact train wrote",
            hint="a model of compact learn was judged when it was learned",
        )
    recipe = read_recipe(folder / RECIPE)
    engine = load_engine(folder, device=device, graph=graph, precision=precision)
    conditions = make_conditions(condition or [CLEAN.name], corpus=corpus, sample_rate=recipe.features.sample_rate)
    with StepProgress(active=not quiet) as progress:
        held_out = HeldOut(
            corpus,
            recipe,
            split=TEST,
            cache=cache_folder(cache),
            loading=progress.gauge("log-mels"),
        )
        blocks = [
            measure(
                engine,
                held_out,
                n_soundscapes=soundscapes,
                condition=item,
                report=progress.counter(f"clips, {item.name}"),
            )
            for item in conditions
        ]
    if picture is not None:
        from compactcli.diagrams import draw_reliability

        with open_output(picture) as write:
            write(draw_reliability(blocks[0]))

    def plain() -> Any:
        values = [figures.to_dict() for figures in blocks]
        return values if condition else values[0]

    def draw(console: "Console") -> None:
        for figures in blocks:
            _print_table(console, figures, titled=bool(condition))

    write_report(result_format, plain=plain, draw=draw)


def _print_table(console: "Console", figures: "Evaluation", *, titled: bool) -> None:
    from rich.text import Text

    from compactcli.cli.render import plain_table

    if titled:
        console.print(Text(f"{figures.condition.name}: {figures.condition.description}"))
    table = plain_table("figure", "value", "over", numbers=("value",))
    for name, value, over in figures.summary():
        table.add_row(name, value, over)
    console.print(table)
    console.print()
    if figures.scenes is None:
        return
    confusions = plain_table("true scene", "heard as", "recordings", numbers=("recordings",))
    for truth, heard, recordings in figures.scene_confusions(10):
        confusions.add_row(truth, heard, str(recordings))
    console.print(confusions)
    if titled:
        console.print()
