"""``compact learn``: a user's own classes, from folders of recordings."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.cli.inputs import Input
    from compactcli.learning import Example


def learn(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder with a folder of recordings for each class, called as the class shall be.",
            metavar="FOLDER",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the model here.", show_default=False),
    ],
    background: Annotated[
        list[str] | None,
        typer.Option(
            "--background",
            metavar="CLASS",
            help="Class that is no event, such as places where nothing happens; repeatable.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that --output names.")] = False,
    model: options.ModelName = None,
    device: options.Device = "auto",
    result_format: options.ReportFormat = None,
    quiet: options.Quiet = False,
) -> None:
    """Learn classes of your own from folders of recordings, in seconds.

    The network of a model stays as it is; new are its classes, for compact classify and compact detect. What they are
    worth is told by recordings that they were not learned from.

    Example: compact learn sounds/ --output my-model
    """
    import functools

    from compactcli.checkpoint import DEFAULT_MODEL, find_model, read_config
    from compactcli.cli.console import say, say_warning
    from compactcli.cli.hearing import hear_each, say_unheard
    from compactcli.cli.learning_report import LearningReport
    from compactcli.cli.model_output import check_model_output, write_model
    from compactcli.cli.output import real_path, write_report
    from compactcli.cli.steps import StepProgress
    from compactcli.packages import require_package

    for package in ("safetensors", "scipy", "threadpoolctl", "onnx"):
        require_package(package, purpose="compact learn")
    from compactcli.heads import load_embedder, write_heads
    from compactcli.learning import check_classes, frames_each, hear_example, hear_noise, learn_heads

    found, n_outside = _find_classes(folder, output=output)
    recordings = [item for items in found.values() for item in items]
    label_of = {item.path: label for label, items in found.items() for item in items}
    source = find_model(model or DEFAULT_MODEL)
    config = read_config(source)
    check_model_output(output, overwrite=overwrite, model=source, inputs=[item.path for item in recordings])
    names = tuple(dict.fromkeys(background or ()))
    check_classes({label: sum(item.error is None for item in items) for label, items in found.items()}, names)
    if n_outside and not quiet:
        say_warning(f"left out, which is no folder of a class: {n_outside}")
    embedder = load_embedder(source, device=device)
    with StepProgress(active=not quiet) as progress:
        n_frames = frames_each(len(recordings))

        def hear(item: "Input") -> "tuple[Example, str | None]":
            example = hear_example(item.path, embedder, label=label_of[item.path], n_frames=n_frames)
            return example, example.damage

        heard = hear_each(recordings, hear, show=progress.gauge("recordings"))
        noise = hear_noise(embedder, n_frames=n_frames)
    say_unheard(heard.failures, heard.damages, quiet=quiet)
    examples = list(heard.results.values())
    counts = Counter(item.label for item in examples)
    check_classes({label: counts[label] for label in found}, names)
    with StepProgress(active=not quiet) as progress:
        learned = learn_heads([*examples, *noise], background=names, report=progress.gauge("fits"))
    report = LearningReport(
        learned=learned,
        model=config.name,
        background=names,
        duration_s=sum(item.duration_s for item in examples),
        output=output,
        outside=n_outside,
        failed=tuple(map(str, heard.failures)),
    )
    settings = report.settings(config, name=real_path(output).name)
    write_model(
        output,
        functools.partial(write_heads, source, config=settings, scenes=learned.scenes, events=learned.events),
    )
    write_report(result_format, plain=report.to_dict, draw=report.print)
    if not quiet:
        say(f"wrote {output}")
    if heard.failures:
        raise typer.Exit(1)


def _find_classes(folder: Path, *, output: Path) -> "tuple[dict[str, list[Input]], int]":
    """Recordings of each class by its name, in the order of names, and how much lies beside the classes.

    Raises:
        ConfigError: The folder cannot be read, a class has a name that no model or option can hold, or a recording is
            in two classes.
    """
    from compactcli.checkpoint import CONFIG
    from compactcli.cli.inputs import check_here, collect_inputs, is_folder
    from compactcli.cli.output import is_there, real_path
    from compactcli.errors import ConfigError, reason_of

    check_here([folder, output])
    try:
        children = sorted(folder.iterdir(), key=lambda child: child.name)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be read ({reason_of(error)}), expected a folder with a folder for each class",
            hint="check the path",
        ) from error
    children = [child for child in children if not child.name.startswith(".") and real_path(child) != real_path(output)]
    found: dict[str, list[Input]] = {}
    seen: dict[Path, Path] = {}
    for child in children:
        # a model that was learned before is no class
        if not is_folder(child) or is_there(child / CONFIG):
            continue
        _check_name(child)
        found[child.name] = collect_inputs([child], recursive=True, leave_out=[output])
        for item in found[child.name]:
            other = seen.setdefault(real_path(item.path), child)
            if other != child:
                raise ConfigError(
                    f"{item.path} is in {other} too, expected recordings of one class", hint="leave it in one of them"
                )
    return found, len(children) - len(found)


def _check_name(child: Path) -> None:
    from compactcli.errors import ConfigError

    try:
        child.name.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{child} is not UTF-8, expected a name that the model's settings can hold", hint="rename it"
        ) from error
    if "," in child.name:
        raise ConfigError(
            f"class '{child.name}' has a comma in its name, expected one that --classes can hold",
            hint="rename its folder",
        )
