"""Where words go: results to standard output, talk to standard error, nothing of the user's read as markup."""

import sys

from rich.console import Console
from rich.text import Text

from compactcli.errors import CompactError

# Beside a terminal nobody folds lines; tables only take the width they need.
WIDE = 500


def talk_console() -> Console:
    """Console for everything that is not a result."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def printable(text: str) -> str:
    r"""Text of unknown origin, safe for a terminal: what is not printable becomes its Python escape.

    Example:
        >>> print(printable("a\x1b[31m.wav"))
        a\x1b[31m.wav
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def say(message: str) -> None:
    """One line of talk."""
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
    talk_console().print(Text.assemble((f"{label}:", style), f" {printable(message)}"))


def stdout_is_terminal() -> bool:
    """Whether a person reads the results as they come."""
    return sys.stdout.isatty()
