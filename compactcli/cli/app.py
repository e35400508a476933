"""The command ``compact``: every command is registered here, and every error becomes an exit code here.

0 all done, 1 at least one recording failed, 2 nothing done because a request was wrong, 70 a bug, 130 interrupted,
141 nobody reads any more, 129 or 143 stopped by SIGHUP or SIGTERM.
"""

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from compactcli.cli.bench import bench
from compactcli.cli.classify import classify
from compactcli.cli.console import stdout_is_terminal
from compactcli.cli.cut import cut
from compactcli.cli.detect import detect
from compactcli.cli.embed import embed
from compactcli.cli.evaluate import evaluate
from compactcli.cli.export import export
from compactcli.cli.features import features
from compactcli.cli.learn import learn
from compactcli.cli.models import models
from compactcli.cli.notices import say_device_warnings
from compactcli.cli.plot import plot
from compactcli.cli.search import search
from compactcli.cli.stopping import EXIT_INTERRUPTED, StoppedError, signals_stop
from compactcli.cli.streams import fill_closed_streams
from compactcli.cli.study import study
from compactcli.cli.train import train
from compactcli.cli.tune import tune
from compactcli.errors import AudioError, CompactError
from compactcli.process import OWN_PROCESS

EXIT_NOTHING_DONE = 2
EXIT_BUG = 70
# what nobody but the user can help, wherever it happens
FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="compact",
    no_args_is_help=True,
    # panels are for eyes, and drawing them takes longer than everything else that --help does
    rich_markup_mode="rich" if stdout_is_terminal() else None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(classify)
app.command()(detect)
app.command()(features)
app.command()(embed)
app.command()(search)
app.command()(plot)
app.command()(cut)
app.command()(learn)
app.command()(train)
app.command()(evaluate)
app.command()(tune)
app.command()(export)
app.command()(bench)
app.add_typer(models, name="models")
app.add_typer(study, name="study")


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
    OWN_PROCESS.set()
    words = list(sys.argv[1:] if arguments is None else arguments)
    fill_closed_streams()
    try:
        with signals_stop(), say_device_warnings():
            app(args=words, prog_name="compact")
    except StoppedError as stopped:
        from compactcli.cli.console import say

        say(stopped.message)
        return _exit_code(stopped.code)
    except SystemExit as finished:
        return _exit_code(finished.code)
    except CompactError as error:
        from compactcli.cli.console import say_error

        say_error(error)
        # a recording outside a batch: it was not one of several, and nothing was done
        return EXIT_NOTHING_DONE if isinstance(error, AudioError) else error.exit_code
    except Exception as error:  # the last resort: whatever it is, it is a bug, and a shell wants an exit code
        if isinstance(error, OSError) and error.errno in FULL:
            return _say_full(error)
        if _was_interrupted(error):
            return EXIT_INTERRUPTED
        _say_bug(error, with_traceback="--verbose" in words or "-v" in words)
        return EXIT_BUG
    return 0


def _was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error, as where it met a library that was being loaded."""
    cause = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt) or (cause is not None and _was_interrupted(cause))


def _exit_code(code: object) -> int:
    """What ``SystemExit`` carries, as a shell wants it; a text is for people."""
    if code is None or isinstance(code, int):
        return code or 0
    from compactcli.cli.console import say

    say(str(code))
    return EXIT_BUG


def _say_full(error: OSError) -> int:
    """What --help meets, for example, when standard output goes into a file on a full disk."""
    from compactcli.cli.console import say_error
    from compactcli.errors import unwritable

    failure = unwritable(str(error.filename or "standard output"), error)
    say_error(failure)
    return failure.exit_code


def _say_bug(error: Exception, *, with_traceback: bool) -> None:
    import traceback

    from compactcli.cli.console import say_error

    if with_traceback and sys.stderr is not None:
        sys.stderr.write("".join(traceback.format_exception(error)))
    text = " ".join(str(error).split())
    place = traceback.extract_tb(error.__traceback__)[-1]
    hint = "report it with the command and what compact --version prints"
    message = f"this is a bug in compact: {type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})"
    say_error(CompactError(message, hint=hint))
