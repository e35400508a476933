"""Signals that stop a command as Ctrl-C does.

SIGTERM is how ``kill``, ``timeout`` and service managers end programs, SIGHUP how a terminal or a connection does that
goes away.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Windows has no terminal that goes away
STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StoppedError(SystemExit):
    """One of ``STOPPING`` came.

    Args:
        number: Which; its exit code is what shells say of a program that it ended.

    Attributes:
        message: What to tell the user; whoever knows how far the work is may say it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
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
