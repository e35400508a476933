"""Many recordings, one record each: a recording that fails is recorded and the others go on."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from compactcli.cli.batch_options import BatchOptions
from compactcli.cli.console import say, say_error, say_warning, stdout_is_terminal
from compactcli.cli.inputs import Input, is_folder
from compactcli.cli.journal import Journal, open_journal
from compactcli.cli.lists import fits_line, format_list
from compactcli.cli.output import check_output, open_output
from compactcli.cli.plan import Run, plan_run
from compactcli.cli.progress import Progress, watch
from compactcli.cli.stopping import StoppedError
from compactcli.cli.summary import Summary
from compactcli.cli.work import ModelFacts, Outcome, Task, Work, failure
from compactcli.cli.writing import open_document
from compactcli.formats.writer import TELLS_FAILURES
from compactcli.inference import StageTimes

Put = Callable[[Input, Outcome], None]
OnDone = Callable[[Input, Outcome], None]
OnProgress = Callable[[Input, float, float | None], None]


class Executor(Protocol):
    """Analyses recordings, here or elsewhere."""

    @property
    def facts(self) -> ModelFacts:
        """Which model it has."""

    def outcomes(self, inputs: Sequence[Input], *, on_done: OnDone, on_progress: OnProgress) -> Iterator[Outcome]:
        """Outcomes in the order of the inputs; ``on_done`` gets each as soon as it is there."""


class Here:
    """Analyses one recording after the other in this process.

    Args:
        task: What to do.
    """

    def __init__(self, task: Task) -> None:
        self._analyst = task.load()
        self.facts = self._analyst.facts

    def outcomes(self, inputs: Sequence[Input], *, on_done: OnDone, on_progress: OnProgress) -> Iterator[Outcome]:
        """See ``Executor``."""
        for item in inputs:
            outcome = self._analyst.outcome(item, functools.partial(on_progress, item))
            on_done(item, outcome)
            yield outcome


def run_batch(batch: BatchOptions, work: Work, *, formats: Sequence[str]) -> int:
    """Analyse all recordings and write their records in the order of the inputs.

    Args:
        batch: What to read, where to write and how to work.
        work: What is done with each recording.
        formats: Names of the formats asked for.

    Returns:
        Exit code: 0 when every recording was analysed, 1 when at least one failed.

    Raises:
        ConfigError: The request is wrong; nothing was done.
        CompactError: The results cannot be written.
    """
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        run = plan_run(batch, work, formats, stack)
        journal = _open_journal(run, stack)
        _check_results(run, journal)
        if run.damaged and not batch.quiet:
            _say_damaged(run.damaged)
        executor = _executor(run, stack)
        if run.kept and not batch.quiet:
            _say_kept(run, executor.facts)
        if batch.verbose:
            facts = executor.facts
            say(f"model {facts.name}, version {facts.version}, on {facts.device} with {facts.engine}")
        if journal is not None:
            journal.begin({"command": work.command, **asdict(executor.facts)})
            if journal.n_records and not batch.quiet:
                n_done = sum(journal.has(item) for item in run.inputs)
                say(f"going on with an interrupted run: {n_done} of {len(run.inputs)} recordings are done")
        loaded_s = time.monotonic() - started_s
        summary = _analyse(run, executor, journal, verbose_start_s=loaded_s)
    summary = replace(summary, wall_s=time.monotonic() - started_s)
    if summary.n_files > 1 and not batch.quiet:
        say(summary.text)
    return summary.exit_code


def _open_journal(run: Run, stack: contextlib.ExitStack) -> Journal | None:
    if run.journal_path is None:
        return None
    if run.folder is not None:
        run.folder.make()
    elif not is_folder(run.journal_path.absolute().parent):
        return None  # which is what will be said about the results
    # what has no result yet is done again with --skip-existing, whatever an interrupted run knew of it
    begins_again = run.batch.overwrite or run.batch.skip_existing
    return stack.enter_context(open_journal(run.journal_path, resume=run.batch.resume, overwrite=begins_again))


def _check_results(run: Run, journal: Journal | None) -> None:
    batch = run.batch
    paths = [item.path for item in run.inputs]
    # an unfinished run was allowed to replace its results, or is where they come from
    goes_on = journal is not None and journal.n_records > 0
    if run.folder is None:
        check_output(batch.output, overwrite=batch.overwrite or goes_on, inputs=paths, complete=batch.resume)
    else:
        run.folder.check_new(
            run.inputs,
            may_replace=lambda item: batch.overwrite or (journal is not None and journal.knows(item)),
            keep=batch.skip_existing,
        )
        run.folder.make()
    # with --skip-existing the same line runs again and again, each time with a list of its own
    may_replace = batch.overwrite or batch.skip_existing or goes_on
    check_output(batch.failures, overwrite=may_replace, inputs=paths, option="--failures")


def _say_damaged(paths: Sequence[Path]) -> None:
    more = f" and {len(paths) - 1} more results are" if len(paths) > 1 else " is"
    recordings = "their recordings are" if len(paths) > 1 else "its recording is"
    say_warning(f"{paths[0]}{more} damaged; {recordings} analysed again")


def _say_kept(run: Run, facts: ModelFacts) -> None:
    n_others = sum(count for model, count in run.kept.items() if model != (facts.name, facts.version))
    if n_others:
        say_warning(
            f"results that are there and kept, but are of another model or release than {facts.name} {facts.version}: "
            f"{n_others}; --overwrite makes them again"
        )


def _executor(run: Run, stack: contextlib.ExitStack) -> Executor:
    batch = run.batch
    if batch.jobs == 1 and batch.timeout is None:
        return Here(run.task)
    from compactcli.cli.workers import WorkerPool

    return stack.enter_context(
        WorkerPool(
            run.task,
            n_workers=max(1, min(batch.jobs, len(run.inputs))),
            timeout_s=batch.timeout,
            n_threads=max(1, _n_cores() // batch.jobs),
        )
    )


def _n_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _analyse(run: Run, executor: Executor, journal: Journal | None, *, verbose_start_s: float) -> Summary:
    batch = run.batch
    summary = Summary(n_skipped=run.n_skipped)
    times, writing_s = StageTimes(), 0.0
    failures: list[str] = []
    streams = run.folder is None and batch.output is None and run.formats != ("table",)
    with contextlib.ExitStack() as stack:
        put = _open_results(run, stack, alone=journal is not None)
        left = [item for item in run.inputs if journal is None or not journal.has(item)]
        shows = not batch.quiet and not (streams and stdout_is_terminal())
        progress = stack.enter_context(watch(left, n_before=len(run.inputs) - len(left), active=shows))
        try:
            for item, outcome, is_new in _outcomes(run, executor, journal, progress):
                summary = summary.add(outcome.record, from_journal=not is_new)
                if outcome.times is not None:
                    times.add(outcome.times)
                if outcome.error is not None:
                    failures.append(item.word)
                _comment(run, item, outcome)
                before_s = time.monotonic()
                put(item, outcome)
                writing_s += time.monotonic() - before_s
                for document in outcome.frames.values():
                    document.unlink()
        except KeyboardInterrupt:
            how_far = _how_far(run, journal, summary)
            if how_far:
                say(f"interrupted {how_far}")
            raise
        except StoppedError as stopped:
            how_far = _how_far(run, journal, summary)
            if how_far:
                stopped.message += f" {how_far}"
            raise
    if batch.failures is not None:
        _write_failures(batch.failures, failures, null=batch.null)
    if batch.verbose:
        say(
            f"start-up {verbose_start_s:.2f} s, decoding {times.decode_s:.2f} s, "
            f"inference {times.inference_s:.2f} s, writing {writing_s:.2f} s"
        )
    return summary


def _how_far(run: Run, journal: Journal | None, summary: Summary) -> str:
    """What of a run that was stopped is done, and how it goes on; empty where there is nothing to go on with."""
    if journal is not None and journal.n_records:
        n_known = sum(journal.knows(item) for item in run.inputs)
        return f"after {n_known} of {len(run.inputs)} recordings; --resume goes on with them"
    n_done = summary.n_ok + summary.n_partial
    # where results are replaced, old ones would be left out as well
    if run.folder is not None and n_done and not run.batch.overwrite:
        return f"after {n_done} of {len(run.inputs)} recordings; --skip-existing leaves those out"
    if run.folder is None and len(run.inputs) > 1:
        n_heard = n_done + summary.n_failed
        lost = "" if run.batch.output is None else "; nothing is written, with --output-dir each would have been"
        return f"after {n_heard} of {len(run.inputs)} recordings{lost}"
    return ""


def _open_results(run: Run, stack: contextlib.ExitStack, *, alone: bool) -> Put:
    if run.folder is not None:
        return functools.partial(run.folder.put, alone=alone, keep=run.batch.skip_existing)
    put = stack.enter_context(open_document(run.batch.output, run.task.work.command, run.formats[0], alone=alone))
    return lambda _, outcome: put(outcome)


def _outcomes(
    run: Run, executor: Executor, journal: Journal | None, progress: Progress
) -> Iterator[tuple[Input, Outcome, bool]]:
    """What came of each input, in order, and whether this run found it out."""

    def is_known(item: Input) -> bool:
        return item.error is not None or (journal is not None and journal.has(item))

    def on_done(item: Input, outcome: Outcome) -> None:
        if journal is not None:
            journal.add(item, outcome.record)
        progress.done(item, outcome.record.duration or 0.0)

    waiting = [item for item in run.inputs if not is_known(item)]
    fresh = executor.outcomes(waiting, on_done=on_done, on_progress=progress.inside)
    n_fresh = 0
    for item in run.inputs:
        if n_fresh < len(waiting) and item is waiting[n_fresh]:
            n_fresh += 1
            yield item, next(fresh), True
            continue
        kept = None if journal is None else journal.find(item)
        if kept is not None:
            yield item, Outcome(record=kept), False
        elif item.error is not None:
            outcome = failure(item, item.error, executor.facts)
            on_done(item, outcome)
            yield item, outcome, True


def _comment(run: Run, item: Input, outcome: Outcome) -> None:
    only, quiet = len(run.inputs) == 1, run.batch.quiet
    # no failure stays untold; hints for a thousand files would bury their messages
    if outcome.error is not None and (only or not quiet or not _is_told(run, item)):
        say_error(outcome.error, with_hint=only)
    if outcome.record.status == "partial" and not quiet:
        say_warning(f"{item.name} is damaged and analysed as far as it goes: {outcome.record.error_message}")


def _is_told(run: Run, item: Input) -> bool:
    """Whether the results, or the list of failures, tell that a recording failed."""
    has_room = run.folder is None or run.folder.has_room(item)
    return run.batch.failures is not None or (has_room and not TELLS_FAILURES.isdisjoint(run.formats))


def _write_failures(path: Path, failures: Sequence[str], *, null: bool) -> None:
    broken = [name for name in failures if not null and not fits_line(name)]
    with open_output(path, durable=True) as write:
        write(format_list([name for name in failures if name not in broken], null=null))
    for name in broken:
        say_warning(f"{name} is not in {path}, because its name holds or ends in what ends a line: use -0")
