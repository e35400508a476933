"""What the user asked for becomes a run that can begin: recordings listed, formats chosen, contradictions refused."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compactcli.audio import spool_audio
from compactcli.cli.batch_options import BatchOptions
from compactcli.cli.folder import MAX_NAME_BYTES, ResultFolder, without_results
from compactcli.cli.inputs import Input, ResultNames, check_here, collect_inputs
from compactcli.cli.lists import read_list
from compactcli.cli.options import STDIN
from compactcli.cli.work import FramePlan, Task, Work
from compactcli.cli.writing import choose_formats
from compactcli.errors import AudioError, ConfigError
from compactcli.formats import FRAME_FORMATS, SUFFIXES
from compactcli.temporary import name_token, temporary_folder


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, checked and ready to begin.

    Args:
        batch: What the user said.
        inputs: The recordings to analyse.
        n_skipped: Recordings left out because their results are there.
        kept: How many recordings have results of each model that stay, by name and release, as far as JSON tells.
        damaged: Results that are there and are not whole; their recordings are not left out.
        task: What is done with each.
        formats: Names of the formats.
        folder: Where each recording has files of its own; None where one document holds all.
    """

    batch: BatchOptions
    inputs: Sequence[Input]
    n_skipped: int
    kept: Mapping[tuple[str, str], int]
    damaged: Sequence[Path]
    task: Task
    formats: tuple[str, ...]
    folder: ResultFolder | None

    @property
    def journal_path(self) -> Path | None:
        """File that keeps what is done; None where nothing would be lost or nothing can be kept."""
        if len(self.inputs) + self.n_skipped < 2 or self.task.frames is not None or not self.task.work.can_resume:
            return None
        if self.folder is not None:
            return self.folder.folder / ".compact-journal"
        output = self.batch.output
        if output is None:
            return None
        name = f".{output.name}.compact-journal"
        if len(os.fsencode(name)) > MAX_NAME_BYTES:
            name = f".compact-{name_token(output)}.compact-journal"
        return output.with_name(name)


def plan_run(batch: BatchOptions, work: Work, asked: Sequence[str], stack: contextlib.ExitStack) -> Run:
    """Check what can be checked before a model is loaded or a file is made.

    Args:
        batch: What the user said.
        work: What is done with each recording.
        asked: Names of the formats asked for.
        stack: Ends what the run needs while it lasts, such as temporary files.

    Raises:
        ConfigError: The request is wrong.
    """
    inputs = _gather(batch, stack)
    formats = choose_formats(
        work.command, asked, output=batch.output, into_folder=batch.output_dir is not None, n_inputs=len(inputs)
    )
    folder = None
    n_inputs = len(inputs)
    damaged: list[Path] = []
    kept: Counter[tuple[str, str]] = Counter()
    if batch.output_dir is not None:
        folder = ResultFolder(folder=batch.output_dir, command=work.command, formats=formats)
        folder.check_names(inputs)
        inputs = [folder.with_room(item) for item in inputs]
        if batch.skip_existing:
            is_done = [folder.is_done(item) for item in inputs]
            for item, done in zip(inputs, is_done, strict=True):
                # what is done is as it was; what has changed is made again
                if done or not folder.is_changed(item):
                    kept.update(folder.models(item))
            inputs = [item for item, done in zip(inputs, is_done, strict=True) if not done]
            damaged = [path for item in inputs for path in folder.damaged(item)]
    frame_formats = tuple(name for name in formats if name in FRAME_FORMATS[work.command])
    if batch.resume and frame_formats:
        raise ConfigError(
            f"--resume was given with --format {frame_formats[0]}, expected another format: frames are not kept",
            hint="use --output-dir and --skip-existing",
        )
    task = Task(
        work=work,
        model=batch.model,
        device=batch.device,
        engine=batch.engine,
        batch_size=batch.batch_size,
        precision=batch.precision,
        max_duration_s=batch.max_duration,
        gain_db=batch.gain,
        frames=FramePlan(folder=stack.enter_context(temporary_folder()), command=work.command, formats=frame_formats)
        if frame_formats
        else None,
    )
    return Run(
        batch=batch,
        inputs=inputs,
        n_skipped=n_inputs - len(inputs),
        kept=kept,
        damaged=damaged,
        task=task,
        formats=formats,
        folder=folder,
    )


def _gather(batch: BatchOptions, stack: contextlib.ExitStack) -> list[Input]:
    named = batch.recordings
    if batch.files_from is not None:
        named = [*named, *read_list(batch.files_from, null=batch.null)]
    files = [path for path in (batch.output, batch.failures, batch.files_from) if path is not None and path != STDIN]
    check_here([*named, *files, *([] if batch.output_dir is None else [batch.output_dir])])
    inputs = collect_inputs(
        named,
        recursive=batch.recursive,
        include=batch.include or [],
        leave_out=files,
        results=None
        if batch.output_dir is None
        else ResultNames(folder=batch.output_dir, suffixes=tuple(SUFFIXES.values())),
    )
    if batch.output_dir is not None:
        inputs = without_results(inputs, batch.output_dir)
    return [_spooled(item, stack) if item.is_stdin else item for item in inputs]


def _spooled(item: Input, stack: contextlib.ExitStack) -> Input:
    """The recording on standard input, in a file that decoders can seek in; deleted with the stack."""
    if sys.stdin is None or sys.stdin.isatty():
        state = "closed" if sys.stdin is None else "a terminal"
        raise ConfigError(
            f"standard input is {state}, expected a recording, which - stands for",
            hint="pipe one in, or name a file",
        )
    try:
        source = stack.enter_context(spool_audio(sys.stdin.buffer, name=item.name))
    except AudioError as error:
        return replace(item, error=error)
    return replace(item, source=source, n_bytes=source.stat().st_size)
