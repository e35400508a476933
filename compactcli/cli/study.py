"""``compact study``: experiments around the method, which go on where they were stopped."""

from pathlib import Path
from typing import Annotated

import typer

from compactcli.cli import options

study = typer.Typer(help="Repeat the experiments behind the method.", no_args_is_help=True)

SEEDS, TASKS = 3, ("digits", "clips", "soundscapes")


@study.command()
def interchannel(
    output: options.RunFolder,
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus", metavar="FOLDER", help="Labelled recordings; not needed with --no-train, nor for digits alone."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of each network.")] = SEEDS,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", metavar="NAME", help="digits, clips or soundscapes; repeatable.", show_default="all three"
        ),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Do the missing runs, or only write what the results say so far.")
    ] = True,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure latencies again; where there are none, they are measured anyway.")
    ] = False,
    cache: options.Cache = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Compare interchannel operations and group sizes at equal width and at equal parameters, on three tasks.

    Writes results.jsonl, latency.json, table.md and interchannel.png, and prints the table.

    Example: compact study interchannel --corpus corpus --output models/interchannel
    """
    from compactcli.errors import ConfigError
    from compactcli.study import require_study_packages

    require_study_packages("compact study interchannel")
    names = tuple(task or TASKS)
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ConfigError(f"--task is '{unknown[0]}', expected one of {', '.join(TASKS)}")
    if train and corpus is None and set(names) != {"digits"}:
        raise ConfigError(
            "--corpus is missing, which training on clips and soundscapes needs",
            hint="give --corpus FOLDER, or --no-train",
        )

    from compactcli.cli.output import check_new_folder, open_output
    from compactcli.cli.steps import StepProgress, cache_folder
    from compactcli.engine.torch import choose_device
    from compactcli.study.latency import measure_latencies, read_latencies, write_latencies
    from compactcli.study.picture import draw_study
    from compactcli.study.results import read_runs
    from compactcli.study.running import DESIGNS, RESULTS, run_study
    from compactcli.study.tables import interchannel_table

    chosen = choose_device(device)
    check_new_folder(output)
    measured = output / "latency.json"
    with StepProgress(active=not quiet) as progress:
        if train:
            run_study(
                output,
                corpus=corpus,
                cache=cache_folder(cache),
                tasks=names,
                n_seeds=seeds,
                device=chosen,
                loading=progress.gauge("log-mels"),
                report=lambda done, total, run: progress.show("runs", done, total, f"{run.task} {run.score:.3f}"),
            )
        runs = read_runs(output / RESULTS, DESIGNS)
        if not runs:
            raise ConfigError(f"'{output / RESULTS}' holds no runs, expected some", hint="leave --no-train out")
        if latency or not measured.exists():
            gpu = chosen if chosen.type == "cuda" else None
            counter = progress.counter("rounds of latency")
            write_latencies(measured, measure_latencies(DESIGNS, gpu=gpu, on_round=counter))
    table = interchannel_table(runs, read_latencies(measured), DESIGNS)
    with open_output(output / "table.md") as write:
        write(table)
    draw_study(runs, DESIGNS, output / "interchannel.png")
    with open_output(None) as write:
        write(table)


@study.command()
def folds(
    corpus: options.Corpus,
    results: Annotated[
        Path, typer.Option("--results", metavar="FILE", help="JSON file with the figures so far; new ones are added.")
    ],
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER]...", help="Models, one a fold; none to write the table of what is there."),
    ] = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Measure models on the fold of ESC-50 that each was not trained on, and print the table of all folds as Markdown.

    Example: compact study folds fold-1 fold-2 --corpus corpus --results models/esc50/folds.json
    """
    from compactcli.packages import require_package

    require_package("torch", purpose="compact study folds")
    from compactcli import inference
    from compactcli.checkpoint import find_model
    from compactcli.cli.output import check_new_folder, open_output
    from compactcli.cli.steps import StepProgress, cache_folder
    from compactcli.errors import ConfigError
    from compactcli.recipe import read_recipe
    from compactcli.study.folds import fold_tables, measure_fold, read_figures, updated, write_figures
    from compactcli.study.tables import fold_markdown

    if models:
        check_new_folder(results.parent, option="--results in")
    elif not results.exists():
        raise ConfigError(f"--results {results} does not exist, expected figures", hint="name models to measure")
    figures = read_figures(results)
    with StepProgress(active=not quiet) as progress:
        for name in models or ():
            folder = find_model(name)
            recipe = read_recipe(folder / "recipe.toml")
            engine = inference.load_model(folder, device=device)
            figure = measure_fold(
                engine, recipe, corpus, cache=cache_folder(cache), report=progress.counter(f"clips, {folder.name}")
            )
            figures = updated(figures, figure)
            fold_tables(figures)  # refuses what does not belong together before it is written
            write_figures(results, figures)
    with open_output(None) as write:
        write(fold_markdown(fold_tables(figures)))
