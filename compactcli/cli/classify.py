"""``compact classify``: where was this recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from compactcli.cli import options


def classify(
    recordings: options.Recordings,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Scenes to name for each recording, best first.")] = 3,
    result_format: Annotated[
        options.SceneFormat | None, typer.Option("--format", help=options.FORMAT_HELP, show_default=False)
    ] = None,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = True,
    model: options.ModelName = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say where each recording was made: beach, train, office ...

    Example: compact classify --top-k 1 recordings/ --output scenes.csv
    """
    from compactcli import inference
    from compactcli.cli.batch import BatchOptions, run_batch
    from compactcli.cli.console import say_loaded
    from compactcli.cli.output import check_output
    from compactcli.cli.writing import choose_format, make_writer
    from compactcli.records import Record

    check_output(output, overwrite=overwrite, inputs=recordings)
    engine = inference.load_model(model, device=device)
    if verbose:
        say_loaded(engine.config, engine.device)

    def analyse(path: Path, on_progress: Callable[[float, float | None], None]) -> Record:
        return inference.classify_recording(path, engine, top_k=top_k, on_progress=on_progress)

    name = choose_format("classify", result_format, output=output)
    code = run_batch(
        BatchOptions(paths=recordings, recursive=recursive, output=output, quiet=quiet),
        analyse,
        writer=make_writer("classify", name, output=output),
        model=engine.config.name,
        streams=name != "table",
    )
    raise typer.Exit(code)
