"""What a worker process does: load the model once, then analyse one recording after the other."""

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

from compactcli.cli.notices import say_device_warnings
from compactcli.cli.work import Task
from compactcli.errors import CompactError
from compactcli.process import OWN_PROCESS

PROGRESS_EVERY_S = 0.2


def serve(task: Task, pipe: Connection, n_threads: int) -> None:
    """What a worker does: load the model, then analyse what comes until nobody is there any more.

    Args:
        task: What to do.
        pipe: Takes ``Input``; gives ``ModelFacts`` once, then pairs that tell progress and one ``Outcome`` for each
            input; or a ``CompactError`` that ends the run, or the traceback of a bug.
        n_threads: Threads to use.
    """
    OWN_PROCESS.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # results are what the pipe carries; whatever a library prints is talk
    with contextlib.suppress(OSError):  # there may be no standard error
        os.dup2(2, 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))
    # nobody is at the other end when the run was ended
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError), say_device_warnings():
        try:
            analyst = task.load()
            pipe.send(analyst.facts)
            while True:
                pipe.send(analyst.outcome(pipe.recv(), _rarely(pipe)))
        except CompactError as error:
            pipe.send(error)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception:  # the other end says that it is a bug
            pipe.send(traceback.format_exc())


def _rarely(pipe: Connection) -> Callable[[float, float | None], None]:
    last_s = time.monotonic()

    def tell(audio_s: float, promised_s: float | None) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= PROGRESS_EVERY_S:
            last_s = time.monotonic()
            pipe.send((audio_s, promised_s))

    return tell
