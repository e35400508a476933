"""``compact train``: a corpus and a recipe become a model folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.recipe import Recipe
    from compactcli.training import Progress


def train(
    recipe_path: Annotated[Path, typer.Argument(help="A recipe in TOML.", metavar="RECIPE", show_default=False)],
    corpus: options.Corpus,
    output: options.RunFolder,
    fold: Annotated[
        str | None,
        typer.Option("--fold", metavar="N", help="Official fold of ESC-50 to hold out, 1 to 5, not the recipe's."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of all randomness, not the recipe's.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="NAME|FOLDER", help="Begin with the weights of this model, not random ones."),
    ] = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train a model by a recipe, calibrate it and write it as a folder for --model.

    The recipe is copied into the folder, whole where it is based on another one or an option changes it.

    Example: compact train models/compactnet/recipe.toml --corpus corpus --output my-model
    """
    from compactcli.packages import require_package

    require_package("torch", purpose="compact train")
    import dataclasses

    from compactcli.checkpoint import find_model, read_config
    from compactcli.cli.console import say, say_warning
    from compactcli.cli.model_output import check_run_output
    from compactcli.cli.steps import StepProgress, cache_folder
    from compactcli.datasets import VALIDATION, doubts, read_corpus
    from compactcli.engine.torch import choose_device
    from compactcli.heldout import HeldOut
    from compactcli.recipe import read_recipe, with_fold
    from compactcli.training import train as train_network
    from compactcli.tuning import release

    recipe = read_recipe(recipe_path)
    if fold is not None:
        recipe = with_fold(recipe, fold)
    if seed is not None:
        recipe = dataclasses.replace(recipe, seed=seed)
    check_run_output(output)
    chosen = choose_device(device)
    if not quiet:
        for doubt in doubts(recipe, read_corpus(corpus, recipe)):
            say_warning(doubt)
    with StepProgress(active=not quiet) as progress:

        def report(state: "Progress") -> None:
            progress.show("training", state.step, state.steps, f"loss {sum(state.losses.values()):.2f}")
            if state.metrics and not quiet:
                figures = ", ".join(f"{name} {100 * value:.1f} %" for name, value in sorted(state.metrics.items()))
                progress.say(
                    f"step {state.step} of {state.steps}, {state.clips_per_s:.0f} clips/s; validation: {figures}"
                )

        held_out = None
        if recipe.split.validation_share > 0:
            # before the training: what there is nothing to calibrate on would be known too late
            held_out = HeldOut(
                corpus,
                recipe,
                split=VALIDATION,
                cache=cache_folder(cache),
                loading=progress.gauge("validation log-mels"),
            )
            held_out.check()
        network = train_network(
            recipe,
            corpus,
            output,
            cache=cache_folder(cache),
            device=chosen,
            report=report,
            loading=progress.gauge("log-mels"),
            start=None if start is None else find_model(start),
        )
        _keep_recipe(recipe_path, recipe, output / "recipe.toml")
        release(network, recipe, held_out, output, report=progress.counter("calibration"))
    if not quiet:
        config = read_config(output)
        say(f"wrote {output}: {len(config.scenes)} scenes, {len(config.events)} events")


def _keep_recipe(source: Path, recipe: "Recipe", kept: Path) -> None:
    from compactcli.plainjson import to_json
    from compactcli.recipe import read_recipe
    from compactcli.tomlfiles import is_whole, write_toml

    if is_whole(source) and read_recipe(source) == recipe:
        # with its comments
        text = source.read_text(encoding="utf-8")
    else:
        text = f"# {source.name} with everything that it is based on and all options\n\n{write_toml(to_json(recipe))}"
    kept.write_text(text, encoding="utf-8")
