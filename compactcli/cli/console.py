"""Where words go: results to standard output, talk to standard error, nothing of the user's read as markup.

rich is imported by whoever has something to say: a run that has not is over before it would have been.
"""

import contextlib
import os
import sys
from typing import IO, TYPE_CHECKING, Any, cast

from compactcli.errors import CompactError

if TYPE_CHECKING:
    from rich.console import Console

# Beside a terminal nobody folds lines; tables only take the width they need.
WIDE = 500


def result_console(*, to_terminal: bool) -> "Console":
    """Console for tables: as wide as the terminal; elsewhere as wide as they need, without colours.

    A file is given no colours even when FORCE_COLOR is set.
    """
    from rich.console import Console

    return Console() if to_terminal else Console(width=WIDE, color_system=None, force_terminal=False)


def talk_console() -> "Console":
    """Console for everything that is not a result."""
    from rich.console import Console

    listener = None if sys.stderr is None else cast("IO[str]", _Listener())
    return Console(stderr=True, file=listener, highlight=False, markup=False, soft_wrap=True)


class _Listener:
    """Standard error, as long as somebody is there to listen.

    The work goes on when a log is on a full disk, a pipe has lost its reader, or a terminal is gone: rich would end the
    command, and send its results nowhere.
    """

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except OSError:
            _stop_talking()
            return len(text)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            _stop_talking()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _stop_talking() -> None:
    # the interpreter flushes standard error once more when it ends, and would change the exit code
    with contextlib.suppress(OSError):  # what stands in for it in a notebook has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def printable(text: str) -> str:
    r"""Text of unknown origin, safe for a terminal: what is not printable becomes its Python escape.

    Example:
        >>> print(printable("a\x1b[31m.wav"))
        a\x1b[31m.wav
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def say(message: str) -> None:
    """One line of talk."""
    from rich.text import Text

    talk_console().print(Text(printable(message)))


def say_error(error: CompactError, *, with_hint: bool = True) -> None:
    """Tell the user what went wrong and what to do about it."""
    _say_labelled("error", "bold red", error.message)
    if with_hint and error.hint is not None:
        _say_labelled("hint", "bold cyan", error.hint)


def say_warning(message: str) -> None:
    """Tell the user about something that did not stop the work."""
    _say_labelled("warning", "bold yellow", message)


def _say_labelled(label: str, style: str, message: str) -> None:
    from rich.text import Text

    talk_console().print(Text.assemble((f"{label}:", style), f" {printable(message)}"))


def stdout_is_terminal() -> bool:
    """Whether a person reads the results as they come."""
    return sys.stdout is not None and sys.stdout.isatty()
