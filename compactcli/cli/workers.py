"""Recordings analysed in processes of their own, each of which may hang or die without the others.

A worker loads the model once, then takes one recording at a time over a pipe and sends back what came of it. One that
takes too long is killed, one that dies is replaced; either way its recording fails and the others go on.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType

from compactcli.cli.inputs import Input
from compactcli.cli.stopping import STOPPING
from compactcli.cli.work import ModelFacts, Outcome, Task, failure
from compactcli.cli.worker import serve
from compactcli.errors import AudioError, CompactError, ConfigError, reason_of

# Recordings that may be finished before the oldest one is: memory stays flat while one file takes for ever.
LOOK_AHEAD = 256
# the system takes no wait of months; after this one the deadlines are looked at again
LONGEST_WAIT_S = 3600.0

OnDone = Callable[[Input, Outcome], None]
OnProgress = Callable[[Input, float, float | None], None]


class WorkerBugError(Exception):
    """A worker met an error that nobody foresaw."""


class _Worker:
    """One process and what it is doing."""

    def __init__(self, task: Task, *, n_threads: int) -> None:
        self.process, self.pipe = _start(task, n_threads)
        self.is_ready = False
        self.is_lost = False
        self.index: int | None = None
        self.deadline_s: float | None = None

    def give(self, index: int, item: Input, timeout_s: float | None) -> bool:
        """Hand over a recording; False when the worker died meanwhile."""
        try:
            self.pipe.send(item)
        except (BrokenPipeError, ConnectionResetError):
            return False
        self.index = index
        self.deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        return True

    def take(self) -> int:
        """The recording at hand is finished; the worker is free."""
        index, self.index, self.deadline_s = self.index, None, None
        if index is None:
            raise WorkerBugError("a worker process sent a result that nobody asked for")
        return index

    def end(self, *, gently: bool) -> None:
        """End the process, whatever it is doing; gently, it may first do what Python does at its end."""
        self.pipe.close()
        if gently and self.is_ready:
            self.process.join(5)
        self.process.kill()
        self.process.join()


class WorkerPool:
    """Some workers with the same task; a context that starts and ends them.

    Args:
        task: What they do.
        n_workers: How many.
        timeout_s: Seconds that a recording may take, model loading not counted; None sets no limit.
        n_threads: Threads that each may use.
    """

    def __init__(self, task: Task, *, n_workers: int, timeout_s: float | None, n_threads: int) -> None:
        self._task = task
        self._n_workers = n_workers
        self._timeout_s = timeout_s
        self._n_threads = n_threads
        self._workers: list[_Worker] = []
        self._facts: ModelFacts | None = None

    def __enter__(self) -> "WorkerPool":
        _check_here()
        try:
            for _ in range(self._n_workers):
                self._start()
            while self._facts is None:
                self._listen(self._workers[:1], None)
        except BaseException:
            self._end(gently=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(gently=kind is None)

    @property
    def facts(self) -> ModelFacts:
        """Which model the workers have."""
        if self._facts is None:
            raise WorkerBugError("no worker process has been started")
        return self._facts

    def outcomes(self, inputs: Sequence[Input], *, on_done: OnDone, on_progress: OnProgress) -> Iterator[Outcome]:
        """Analyse recordings.

        Args:
            inputs: The recordings.
            on_done: Called with each outcome at once, in whatever order they come.
            on_progress: Called while a recording is analysed.

        Yields:
            Outcomes in the order of the inputs.

        Raises:
            CompactError: A worker could not begin.
            WorkerBugError: A worker met a bug.
        """
        finished: dict[int, Outcome] = {}
        n_given = n_out = 0
        while True:
            while n_out in finished:
                yield finished.pop(n_out)
                n_out += 1
            if n_out == len(inputs):
                return
            n_given = self._hand_out(inputs, n_given, min(len(inputs), n_out + LOOK_AHEAD))
            for worker, message in self._listen(self._workers, self._wait_s()):
                index = worker.index
                if index is not None and isinstance(message, tuple):
                    on_progress(inputs[index], *message)
                elif isinstance(message, Outcome):
                    self._settle(worker, inputs, message, finished, on_done)
            for worker in self._workers:
                if worker.index is not None:
                    error = self._why_lost(worker, inputs[worker.index])
                    if error is not None:
                        outcome = failure(inputs[worker.index], error, self.facts)
                        self._settle(worker, inputs, outcome, finished, on_done)
            self._replace_lost(needed=n_given < len(inputs))

    def _settle(
        self,
        worker: _Worker,
        inputs: Sequence[Input],
        outcome: Outcome,
        finished: dict[int, Outcome],
        on_done: OnDone,
    ) -> None:
        index = worker.take()
        finished[index] = outcome
        on_done(inputs[index], outcome)

    def _hand_out(self, inputs: Sequence[Input], first: int, stop: int) -> int:
        for worker in self._workers:
            if first < stop and worker.is_ready and worker.index is None:
                first += worker.give(first, inputs[first], self._timeout_s)
        return first

    def _wait_s(self) -> float | None:
        deadlines = [worker.deadline_s for worker in self._workers if worker.deadline_s is not None]
        return max(0.0, min([LONGEST_WAIT_S, *(at - time.monotonic() for at in deadlines)])) if deadlines else None

    def _listen(self, workers: Sequence[_Worker], wait_s: float | None) -> list[tuple[_Worker, object]]:
        """Messages that are there, at most one from each worker, after waiting for the first."""
        ready = multiprocessing.connection.wait([worker.pipe for worker in workers], wait_s)
        messages: list[tuple[_Worker, object]] = []
        for worker in workers:
            if worker.pipe not in ready:
                continue
            try:
                message = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                worker.process.join()
                worker.is_lost = True
                if not worker.is_ready:
                    raise _no_start(worker.process) from None
                continue
            if isinstance(message, ModelFacts):
                worker.is_ready = True
                self._facts = message
            elif isinstance(message, CompactError):
                raise message
            elif isinstance(message, str):
                raise _bug(message)
            else:
                messages.append((worker, message))
        return messages

    def _why_lost(self, worker: _Worker, item: Input) -> AudioError | None:
        """Why a recording will never be finished, or None while it may be; a worker that is late is killed."""
        if worker.is_lost:
            return _crashed(item, worker.process)
        if worker.deadline_s is None or time.monotonic() < worker.deadline_s or worker.pipe.poll():
            return None
        worker.process.kill()
        worker.process.join()
        worker.is_lost = True
        return AudioError(
            f"{item.name} took longer than {self._timeout_s:g} s, expected at most that",
            hint="raise --timeout, or cut the recording into pieces",
            code="timeout",
        )

    def _replace_lost(self, *, needed: bool) -> None:
        for worker in [worker for worker in self._workers if worker.is_lost]:
            worker.end(gently=False)
            self._workers.remove(worker)
            if needed:
                self._start()

    def _start(self) -> None:
        # a process that an interrupt kept out of the list would never be ended
        with _interrupts_blocked():
            self._workers.append(_Worker(self._task, n_threads=self._n_threads))

    def _end(self, *, gently: bool) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.end(gently=gently)


def _start(task: Task, n_threads: int) -> tuple[BaseProcess, Connection]:
    """A new worker, and this end of its pipe.

    Raises:
        CompactError: The system allows no more processes or open files.
    """
    try:
        pipe, far_end = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(task, far_end, n_threads), daemon=True
        )
        process.start()
    except OSError as error:
        raise CompactError(
            f"a worker process cannot be started ({reason_of(error)}), expected the system to allow one more",
            hint="use fewer --jobs",
            code="no-worker",
        ) from error
    far_end.close()  # or the end of the worker would not show as the end of the pipe
    return process, pipe


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold back what stops a command, and have processes that are started meanwhile hold it back for ever.

    Terminals and ``timeout`` send them to the whole group; this process is the one that stops, and ends the others.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # starting the tracker lets interrupts through, so it has to run already
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, *STOPPING])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_here() -> None:
    """Refuse to start processes where they could not: each begins in the current folder.

    Raises:
        ConfigError: It was removed, or this user may not enter it.
    """
    try:
        may_enter = os.access(Path.cwd(), os.X_OK)
    except FileNotFoundError:
        may_enter = False
    if not may_enter:
        raise ConfigError(
            "the current folder was removed or may not be entered, expected one that processes can start in",
            hint="change into another folder, or leave out --jobs and --timeout",
        )


def _ending(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _crashed(item: Input, process: BaseProcess) -> AudioError:
    return AudioError(
        f"{item.name} ended the process that analysed it ({_ending(process)}), expected a result",
        hint="convert it to FLAC or WAV; if memory ran out, use fewer --jobs",
        code="crashed",
    )


def _no_start(process: BaseProcess) -> CompactError:
    return CompactError(
        f"a worker process ended while it loaded the model ({_ending(process)}), expected it to begin",
        hint="if memory ran out, use fewer --jobs",
        code="no-worker",
    )


def _bug(text: str) -> WorkerBugError:
    error = WorkerBugError(f"{text.strip().splitlines()[-1]} (in a worker process)")
    error.add_note(text)
    return error
