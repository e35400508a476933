"""What the library warns of becomes talk: one line on standard error instead of Python's two."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import TextIO

from compactcli.errors import DeviceWarning


@contextlib.contextmanager
def say_device_warnings() -> Iterator[None]:
    """Inside, a `DeviceWarning` is said as other warnings of commands are; those of other packages look as ever."""
    with warnings.catch_warnings():
        as_ever = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, DeviceWarning):
                as_ever(message, category, filename, lineno, file, line)
                return
            from compactcli.cli.console import say_warning

            say_warning(str(message))

        warnings.showwarning = show
        yield
