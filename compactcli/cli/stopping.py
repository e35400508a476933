"""SIGTERM, with which ``kill``, ``timeout`` and service managers end programs, stops a command as Ctrl-C does."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# what shells say of a program that SIGTERM ended
EXIT_STOPPED = 128 + signal.SIGTERM


class StoppedError(SystemExit):
    """SIGTERM came.

    Attributes:
        message: What to tell the user; whoever knows how far the work is may say it.
    """

    def __init__(self) -> None:
        super().__init__(EXIT_STOPPED)
        self.message = "stopped by SIGTERM"


@contextlib.contextmanager
def sigterm_stops() -> Iterator[None]:
    """Inside, SIGTERM raises ``StoppedError`` in the main thread, once: ``timeout`` sends it twice.

    Where somebody has said already what SIGTERM does, nothing changes.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise StoppedError

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
