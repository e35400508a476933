"""The command ``compact``: every command is registered here, and every error becomes an exit code here.

0 all done, 1 at least one recording failed, 2 nothing done because a request was wrong, 70 a bug, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from compactcli.cli.bench import bench
from compactcli.cli.classify import classify
from compactcli.cli.detect import detect
from compactcli.cli.evaluate import evaluate
from compactcli.cli.export import export
from compactcli.cli.models import models
from compactcli.cli.train import train
from compactcli.errors import CompactError

EXIT_BUG = 70

app = typer.Typer(
    name="compact",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(classify)
app.command()(detect)
app.command()(train)
app.command()(evaluate)
app.command()(export)
app.command()(bench)
app.add_typer(models, name="models")


def _show_version(asked: bool) -> None:
    if asked:
        from compactcli.cli.versions import version_text

        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def compact(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the versions that matter and exit."
        ),
    ] = False,
) -> None:
    """Say where recordings were made, and what happened in them when."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after ``compact``; None takes those of the process.

    Returns:
        Exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=words, prog_name="compact")
    except SystemExit as finished:
        return finished.code if isinstance(finished.code, int) else 0
    except CompactError as error:
        from compactcli.cli.console import say_error

        say_error(error)
        return error.exit_code
    except Exception as error:  # the last resort: whatever it is, it is a bug, and a shell wants an exit code
        _say_bug(error, with_traceback="--verbose" in words or "-v" in words)
        return EXIT_BUG
    return 0


def _say_bug(error: Exception, *, with_traceback: bool) -> None:
    import traceback

    from compactcli.cli.console import say_error

    if with_traceback:
        sys.stderr.write("".join(traceback.format_exception(error)))
    text = " ".join(str(error).split())
    hint = None if with_traceback else "run it again with --verbose and report what it prints"
    say_error(CompactError(f"this is a bug in compact: {type(error).__name__}: {text}", hint=hint))
