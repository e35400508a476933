"""Signals that stop a command as Ctrl-C does.

SIGTERM is how ``kill``, ``timeout`` and service managers end programs, SIGHUP how a terminal or a connection does that
goes away.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# Windows has no terminal that goes away
STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
# what shells say of a program that a signal ended is this and its number
EXIT_SIGNAL = 128
EXIT_INTERRUPTED = EXIT_SIGNAL + signal.SIGINT


class StoppedError(SystemExit):
    """One of ``STOPPING`` came.

    Args:
        number: Which; its exit code is what shells say of a program that it ended.

    Attributes:
        message: What to tell the user; whoever knows how far the work is may say it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(EXIT_SIGNAL + number)
        self.message = f"stopped by {signal.Signals(number).name}"


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Inside, a signal of ``STOPPING`` raises ``StoppedError`` in the main thread, once: ``timeout`` sends it twice.

    Where somebody has said already what a signal does, as ``nohup`` has of SIGHUP, it goes on doing so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    free = [number for number in STOPPING if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in free:
            signal.signal(other, signal.SIG_IGN)
        raise StoppedError(number)

    for number in free:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def end_process(code: int) -> NoReturn:
    """End this process; after a signal that stopped its command, by that signal.

    Who waits for it cannot tell otherwise that it was stopped: a shell takes a program that exits with 130 for one that
    dealt with Ctrl-C, and goes on with the next turn of its loop.

    Args:
        code: Exit code of the command, which shells show in both cases.
    """
    if os.name == "posix" and code - EXIT_SIGNAL in (signal.SIGINT, *STOPPING):
        for stream in filter(None, (sys.stdout, sys.stderr)):
            # a terminal that went away, for example
            with contextlib.suppress(OSError):
                stream.flush()
        signal.signal(code - EXIT_SIGNAL, signal.SIG_DFL)
        os.kill(os.getpid(), code - EXIT_SIGNAL)
    # the first process of a container cannot be ended by a signal
    sys.exit(code)
