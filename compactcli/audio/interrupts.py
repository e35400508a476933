"""Ctrl-C while a C library is at work that calls back into Python.

Python runs the handler of a signal at its next step, which may be inside such a callback. What the handler raises there
C cannot pass on: it would be printed as ignored, and the read would look like the end of the file.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """What ends the program, such as KeyboardInterrupt, and is raised inside callbacks is raised again at the end."""
    # signals are handled in the main thread alone; the hook is everybody's, and threads would restore each other's
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    lost: list[BaseException] = []
    before = sys.unraisablehook

    def keep(unraisable: "UnraisableHookArgs") -> None:
        if unraisable.exc_value is None or isinstance(unraisable.exc_value, Exception):
            before(unraisable)
        else:
            lost.append(unraisable.exc_value)

    sys.unraisablehook = keep
    try:
        yield
    finally:
        sys.unraisablehook = before
        if lost:
            raise lost[0]
