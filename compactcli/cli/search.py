"""``compact search``: what sounds like an example, in vectors that ``compact embed`` made."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compactcli.cli.inputs import Input


def search(
    vectors: Annotated[
        Path,
        typer.Argument(
            help="What compact embed wrote, as one table or a folder of them; - is standard input.",
            metavar="VECTORS",
            show_default=False,
            parser=options.parse_path,
        ),
    ],
    examples: Annotated[
        list[Path],
        typer.Argument(
            help="Recordings of what to look for, about as long as the stretches that have the vectors, or folders of "
            "them; those in one folder are taken for examples of one sound.",
            metavar="EXAMPLES...",
            show_default=False,
            parser=options.parse_path,
        ),
    ],
    top_k: Annotated[
        int,
        typer.Option("--top-k", min=1, help="Parts to name, the most similar first.", rich_help_panel=options.EVENTS),
    ] = 20,
    per_recording: Annotated[
        int | None,
        typer.Option(
            "--per-recording",
            metavar="N",
            min=1,
            help="Parts of each recording.",
            show_default="all",
            rich_help_panel=options.EVENTS,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold",
            metavar="X",
            min=0.0,
            max=1.0,
            help="Lowest similarity: the cosine of the angle between the vectors.",
            rich_help_panel=options.EVENTS,
        ),
    ] = 0.0,
    start: Annotated[
        float,
        typer.Option("--start", metavar="SECONDS", min=0.0, help="Where in the one example what to look for begins."),
    ] = 0.0,
    stop: Annotated[
        float | None,
        typer.Option(
            "--stop", metavar="SECONDS", min=0.0, help="Where it ends.", show_default="the end of the example"
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="CLASS",
            help="Take all examples for examples of one sound that is called so.",
            show_default="the example's name, or that of the folder it was found in",
            rich_help_panel=options.EVENTS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|FOLDER",
            help="The model that made the vectors.",
            show_default="as the vectors say",
        ),
    ] = None,
    device: options.Device = "auto",
    result_format: Annotated[
        options.RowFormat | None,
        typer.Option(
            "--format",
            help="How to write; by default table on a terminal, csv in a pipe, which compact cut reads.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Find what sounds like an example: a call, a machine, a tune that no class of a model stands for.

    Example: compact search vectors.csv owl.wav --top-k 50 | compact cut - --output-dir clips/
    """
    import numpy as np

    from compactcli.cli.console import say_error, say_warning
    from compactcli.cli.hearing import hear_each, say_unheard
    from compactcli.cli.inputs import check_named, collect_inputs
    from compactcli.cli.output import write_report
    from compactcli.cli.searching import SearchReport, VectorTable, label_examples
    from compactcli.cli.steps import StepProgress
    from compactcli.errors import ConfigError
    from compactcli.inference import check_part, embed_part, load_embedder
    from compactcli.similarity import SearchOptions, find_similar, mean_direction

    asked = SearchOptions(top_k=top_k, per_recording=per_recording, threshold=threshold)
    check_part(start, stop)
    check_named(examples)
    inputs = collect_inputs(examples, recursive=True, leave_out=[vectors])
    if len(inputs) > 1 and (start or stop is not None):
        raise ConfigError(
            f"--start and --stop with {len(inputs)} examples, expected one, of which they name a part",
            hint="cut the parts out first, with compact cut",
        )
    labels = label_examples(inputs, label=label)
    table = VectorTable(vectors)
    embedder = load_embedder(table.find_model(model), device=device)
    table.check_model(embedder.config)

    def hear(item: "Input") -> "tuple[Sequence[float], str | None]":
        record = embed_part(item.path, embedder, start_s=start, stop_s=stop)
        [vector] = record.vectors or ()
        return vector.values, record.error_message

    with StepProgress(active=not quiet) as progress:
        heard = hear_each(inputs, hear, show=progress.gauge("examples"))
    if not heard.results:
        *others, last = heard.failures.values()
        for error in others:
            say_error(error)
        raise last
    say_unheard(heard.failures, heard.damages, quiet=quiet)
    examples_of: dict[str, list[Sequence[float]]] = {}
    for path, values in heard.results.items():
        examples_of.setdefault(labels[path], []).append(values)
    queries = {name: mean_direction(np.array(found, np.float32)) for name, found in examples_of.items()}
    with StepProgress(active=not quiet) as progress:
        records = table.records(show=lambda done: progress.show("vectors", done, None))
        hits = find_similar(records, np.array(list(queries.values())), asked)
    report = SearchReport(
        model=table.model,
        model_version=table.model_version,
        hits=tuple(hits),
        examples={path: labels[path] for path in heard.results},
        queries=tuple(queries),
        n_vectors=table.n_vectors,
        n_failed=table.n_failed,
        failed=tuple(map(str, heard.failures)),
    )
    if table.n_failed and not quiet:
        say_warning(f"{table.name}: recordings without vectors: {table.n_failed}")
    if not hits and not quiet:
        say_warning(f"{table.name}: nothing is as similar as {threshold:g}, of {table.n_vectors} vectors")
    piped = options.RowFormat.CSV
    write_report(result_format, plain=report.to_dict, draw=report.print, rows=report.to_csv, piped=piped)
    if heard.failures:
        raise typer.Exit(1)
