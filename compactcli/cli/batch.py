"""Many recordings, one record each: a recording that fails is recorded and the others go on.

This is the only place that catches an ``AudioError`` in order to go on; all other errors end the run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compactcli.cli.console import say, say_error, say_warning, stdout_is_terminal
from compactcli.cli.inputs import Input, collect_inputs
from compactcli.cli.output import open_output
from compactcli.cli.progress import RunProgress
from compactcli.errors import AudioError
from compactcli.formats import Writer
from compactcli.inference import error_record
from compactcli.records import Record

Analyse = Callable[[Path, Callable[[float, float | None], None]], Record]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What every command over recordings is told.

    Args:
        paths: Files and folders.
        recursive: Whether to go into folders inside folders.
        output: File for the results; None is standard output.
        quiet: Whether to say nothing but why a recording failed when it was the only one.
    """

    paths: Sequence[Path]
    recursive: bool = True
    output: Path | None = None
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of a run.

    Args:
        n_ok: Recordings analysed whole.
        n_partial: Recordings analysed up to some damage.
        n_failed: Recordings not analysed.
        audio_s: Seconds of audio analysed.
        wall_s: Seconds it took.
    """

    n_ok: int = 0
    n_partial: int = 0
    n_failed: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0

    def add(self, record: Record) -> "Summary":
        """The summary with one more record."""
        return replace(
            self,
            n_ok=self.n_ok + (record.status == "ok"),
            n_partial=self.n_partial + (record.status == "partial"),
            n_failed=self.n_failed + (record.status == "error"),
            audio_s=self.audio_s + (record.duration or 0.0),
        )

    @property
    def n_files(self) -> int:
        """Recordings in all."""
        return self.n_ok + self.n_partial + self.n_failed

    @property
    def exit_code(self) -> int:
        """1 when a recording failed, else 0; a partial one has its result."""
        return 1 if self.n_failed else 0

    @property
    def text(self) -> str:
        """One line for people."""
        speed = self.audio_s / max(self.wall_s, 1e-3)
        return (
            f"{self.n_files} files: {self.n_ok} ok, {self.n_partial} partial, {self.n_failed} failed; "
            f"{self.audio_s / 3600:.2f} hours of audio in {self.wall_s:.1f} s ({speed:.0f} x real time)"
        )


def run_batch(options: BatchOptions, analyse: Analyse, *, writer: Writer, model: str, streams: bool) -> int:
    """Analyse all recordings and write their records in the order of the inputs.

    Args:
        options: What to read and where to write.
        analyse: Turns one file into a record, telling how far it is.
        writer: Turns records into text.
        model: Name of the model, for the records of recordings that fail.
        streams: Whether the writer gives text as records come, which a progress line on the same terminal would spoil.

    Returns:
        Exit code: 0 when every recording was analysed, 1 when at least one failed.
    """
    inputs = collect_inputs(options.paths, recursive=options.recursive, leave_out=options.output)
    shares_terminal = streams and options.output is None and stdout_is_terminal()
    summary = Summary()
    started = time.monotonic()
    progress = RunProgress(
        n_files=len(inputs),
        n_bytes=sum(item.n_bytes for item in inputs),
        active=not options.quiet and not shares_terminal,
    )
    with open_output(options.output) as write:
        with progress:
            write(writer.begin())
            for record in _records(inputs, analyse, model=model, quiet=options.quiet, progress=progress):
                summary = summary.add(record)
                write(writer.record(record))
        write(writer.end())
    summary = replace(summary, wall_s=time.monotonic() - started)
    if summary.n_files > 1 and not options.quiet:
        say(summary.text)
    return summary.exit_code


def _records(
    inputs: Sequence[Input], analyse: Analyse, *, model: str, quiet: bool, progress: RunProgress
) -> Iterator[Record]:
    for item in inputs:
        try:
            record = _one_record(item, analyse, progress)
        except AudioError as error:
            record = error_record(str(item.path), error, model=model)
            # hints for a thousand files would bury their messages
            if not quiet or len(inputs) == 1:
                say_error(error, with_hint=len(inputs) == 1)
        if record.status == "partial" and not quiet:
            say_warning(f"{record.path} is analysed in part: {record.error_message}")
        progress.done(item.n_bytes, record.duration or 0.0)
        yield record


def _one_record(item: Input, analyse: Analyse, progress: RunProgress) -> Record:
    if item.error is not None:
        raise item.error
    return analyse(item.path, lambda audio_s, promised_s: progress.inside(item.n_bytes, audio_s, promised_s))
