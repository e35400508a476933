"""``compact export``: a model becomes one file that other programs can run."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compactcli.cli import options

if TYPE_CHECKING:
    from compactcli.audio import Waveform

# enough of a recording to compare on; the exported graph takes it in one piece
CHECK_S = 60


class Target(StrEnum):
    """What ``export`` can write."""

    ONNX = "onnx"


class Precision(StrEnum):
    """Numbers that the 1x1 convolutions, nearly all of the network, are stored and computed in."""

    FP32 = "fp32"
    INT8 = "int8"


def export(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Write the graph here.", show_default=False),
    ],
    model: Annotated[
        str,
        typer.Argument(metavar="[MODEL]", help="An installed model or a model folder.", show_default="compactnet"),
    ] = "compactnet",
    to: Annotated[Target, typer.Option("--to", help="Format of the file.")] = Target.ONNX,
    precision: Annotated[
        Precision, typer.Option("--precision", help="int8 is less than half the size, less exact, and needs --ranges.")
    ] = Precision.FP32,
    frontend: Annotated[
        bool,
        typer.Option(
            "--frontend/--no-frontend",
            help="Whether it takes a waveform and gives probabilities, or takes a log-mel and gives logits.",
        ),
    ] = True,
    check: Annotated[
        list[Path] | None,
        typer.Option(
            "--check",
            metavar="PATH",
            parser=options.parse_path,
            help="Compare it with torch on these recordings, the first minute of each. Repeatable.",
            show_default="sample_audio",
        ),
    ] = None,
    ranges: Annotated[
        list[Path] | None,
        typer.Option(
            "--ranges",
            metavar="PATH",
            parser=options.parse_path,
            help="Recordings like those it will hear, other than those of --check; for int8. Repeatable.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that --output names.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model as one ONNX file with its weights, classes and settings inside, and compare it with torch.

    Example: compact export compactnet --output compactnet.onnx
    """
    from compactcli.checkpoint import find_model, read_config
    from compactcli.cli.console import say
    from compactcli.cli.output import check_output, open_output
    from compactcli.errors import ConfigError
    from compactcli.packages import require_package

    for package in ("onnx", "torch"):
        require_package(package, purpose="compact export")
    if precision is Precision.INT8 and not ranges:
        raise ConfigError(
            "--precision int8 came without --ranges, expected recordings that show how large its numbers get",
            hint="for example: --ranges my-recordings --check other-recordings",
        )
    if precision is Precision.FP32 and ranges:
        raise ConfigError("--ranges came with --precision fp32, expected int8", hint="leave --ranges out")
    folder = find_model(model)
    checked, shown = check or [_samples()], ranges or []
    check_output(output, overwrite=overwrite, inputs=[*checked, *shown])
    rate = read_config(folder).features.sample_rate

    from compactcli.export import export_model

    content, parity = export_model(
        folder,
        precision=precision,
        frontend=frontend,
        check=_read(checked, sample_rate=rate),
        ranges=_read(shown, sample_rate=rate),
    )
    with open_output(output) as write:
        write(content)
    if not quiet:
        say(f"wrote {output}: {to}, {precision}, {len(content):,} bytes")
        say(
            f"probabilities on {parity.n_recordings} recordings, {parity.duration_s:.0f} s, differ from torch by "
            f"{parity.max_difference:.1e} at most, {parity.mean_difference:.1e} in the mean; "
            f"{100 * parity.same_decisions:.2f} % of decisions at 0.5 are the same"
        )


def _samples() -> Path:
    import compactcli
    from compactcli.errors import ConfigError

    folder = Path(compactcli.__file__).parents[1] / "sample_audio"
    if not folder.is_dir():
        raise ConfigError(
            "no recordings to compare with torch on, expected --check", hint="for example: --check my-recordings"
        )
    return folder


def _read(paths: Sequence[Path], *, sample_rate: int) -> "list[Waveform]":
    import numpy as np

    from compactcli.audio import open_audio
    from compactcli.cli.inputs import collect_inputs
    from compactcli.errors import AudioError

    found = []
    for item in collect_inputs(paths, recursive=True):
        try:
            if item.error is not None:
                raise item.error
            with open_audio(item.path, sample_rate=sample_rate) as reader:
                blocks, n_samples = [], 0
                for block in reader:
                    blocks.append(block)
                    n_samples += len(block)
                    if n_samples >= CHECK_S * sample_rate:
                        break
        except AudioError as error:
            # a folder may hold notes beside its recordings; what was named itself is meant
            if item.root is None or error is item.error:
                raise
        else:
            found.append(np.concatenate(blocks)[: CHECK_S * sample_rate])
    return found
