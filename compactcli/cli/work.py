"""What is done with each recording, in this process or in another, and what comes of it.

A ``Task`` is all that a process needs to begin: it travels to worker processes, which load the model themselves.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from compactcli.cli.inputs import Input
from compactcli.cli.output import write_pieces
from compactcli.errors import AudioError, reason_of

if TYPE_CHECKING:
    from compactcli.audio import AudioLimits
    from compactcli.engine.base import Engine, LoadedModel
    from compactcli.inference import Listening, StageTimes
    from compactcli.records import Record

# seconds analysed so far; seconds in all as the header says, or None where it does not know
Progress = Callable[[float, float | None], None]
Analyse = Callable[[Path, "Listening"], "Record"]


class Work(Protocol):
    """What one command does with each recording."""

    @property
    def command(self) -> str:
        """The command's name."""

    @property
    def can_resume(self) -> bool:
        """Whether the command has ``--resume``, so that records are worth keeping."""

    def prepare(self, task: "Task") -> "Prepared":
        """Load the model, as far as the work needs it, and fit the work to it.

        Raises:
            ModelError: There is no such model.
            DeviceError: There is no such device.
            ConfigError: An option does not fit the model.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Work that fits a model.

    Args:
        model: Loaded.
        analyse: What is done with each recording.
        settings: The command's that the results depend on, as plain JSON values.
    """

    model: "LoadedModel"
    analyse: Analyse
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Which model does the work, and how: what results depend on besides the recordings.

    Args:
        name: Of the model.
        version: Release of the model.
        sha256: Of its files.
        device: Where it runs.
        engine: What runs it.
        settings: The command's, resolved against the model.
    """

    name: str
    version: str
    sha256: dict[str, str]
    device: str
    engine: str
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FramePlan:
    """Documents of frames, which are written while a recording is analysed.

    Args:
        folder: For files until they are copied to where they are wanted.
        command: What writes them.
        formats: Names of their formats, at least one.
    """

    folder: Path
    command: str
    formats: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that a process needs to analyse recordings.

    Args:
        work: What the command does.
        model: Name or folder; None takes the default.
        device: As asked for.
        engine: As asked for.
        batch_size: Windows that the network hears at once; None takes what suits the device.
        precision: Numbers that the network computes with.
        max_duration_s: Longest recording that is analysed, in seconds; None sets no limit.
        gain_db: By how many dB recordings are raised before they are listened to.
        frames: Which documents of frames are wanted; None where none are.
    """

    work: Work
    model: str | None = None
    device: str = "auto"
    engine: str = "auto"
    batch_size: int | None = None
    precision: str = "fp32"
    max_duration_s: float | None = None
    gain_db: float = 0.0
    frames: FramePlan | None = None

    def load_engine(self) -> "Engine":
        """Load the model onto the device, for ``Work.prepare``; see ``compactcli.load_model``."""
        from compactcli import inference

        return inference.load_model(
            self.model,
            device=self.device,
            engine=self.engine,
            batch_size=self.batch_size,
            precision=self.precision,
        )

    def load(self) -> "Analyst":
        """Load the model, and get ready for recordings.

        Raises:
            ModelError: There is no such model.
            DeviceError: There is no such device.
            ConfigError: An option does not fit the model.
        """
        from compactcli.audio import AudioLimits

        prepared = self.work.prepare(self)
        model, config = prepared.model, prepared.model.config
        facts = ModelFacts(
            name=config.name,
            version=config.release,
            sha256=dict(config.sha256),
            device=model.device,
            engine=model.name,
            settings={
                **prepared.settings,
                "max_duration_s": self.max_duration_s,
                "gain_db": self.gain_db,
                "precision": str(self.precision),
            },
        )
        return Analyst(
            facts=facts,
            analyse=prepared.analyse,
            limits=AudioLimits(max_duration_s=self.max_duration_s),
            gain_db=self.gain_db,
            frames=self.frames,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What came of one recording.

    Args:
        record: For the results.
        error: Why it failed, with its hint; None unless the record is one of an error.
        times: Seconds that each stage took; None where nothing was analysed.
        frames: Files with its frames, by format, for whoever reads them to delete.
    """

    record: "Record"
    error: AudioError | None = None
    times: "StageTimes | None" = None
    frames: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Analyst:
    """A loaded model at work.

    Args:
        facts: Which model, and how.
        analyse: What is done with each recording.
        limits: What is too much.
        gain_db: See ``Task``.
        frames: See ``Task``.
    """

    facts: ModelFacts
    analyse: Analyse
    limits: "AudioLimits"
    gain_db: float = 0.0
    frames: FramePlan | None = None

    def outcome(self, item: Input, on_progress: Progress) -> Outcome:
        """Analyse one recording; one that cannot be analysed has an outcome too."""
        from compactcli.inference import Listening, StageTimes

        times = StageTimes()
        path = item.path if item.source is None else item.source
        try:
            with _frame_documents(self.frames, item.name) as (frames, take):
                listening = Listening(
                    name=item.name,
                    limits=self.limits,
                    gain_db=self.gain_db,
                    on_progress=on_progress,
                    on_frames=take,
                    on_levels=take,
                    on_picture=take,
                    times=times,
                )
                record = self.analyse(path, listening)
        except AudioError as error:
            return failure(item, error, self.facts)
        return Outcome(record=replace(record, path=str(item.path)), times=times, frames=frames)


@contextlib.contextmanager
def _frame_documents(
    plan: FramePlan | None, name: str
) -> Iterator[tuple[dict[str, Path], Callable[[Any], None] | None]]:
    """New documents of frames, by format, and what writes into all of them; nothing where nobody wants frames.

    Documents that are not finished do not stay: a folder of long recordings that fail would fill the disk.

    Args:
        plan: What is to be written.
        name: Of the recording, for the message.

    Raises:
        AudioError: The disk for temporary files is full, which the next recording may well fit on.
    """
    if plan is None:
        yield {}, None
        return
    from compactcli.formats import FRAME_FORMATS, encode

    paths = {form: plan.folder / secrets.token_hex(8) for form in plan.formats}
    writers = {form: FRAME_FORMATS[plan.command][form]() for form in paths}
    with contextlib.ExitStack() as stack:
        try:
            # unbuffered: a full disk shows where the frames are written, not when the file is closed
            with _room_for(name):
                files = {form: stack.enter_context(path.open("xb", buffering=0)) for form, path in paths.items()}

            def take(piece: Any) -> None:
                for form, writer in writers.items():
                    data = writer.frames(piece)
                    with _room_for(name):
                        write_pieces(files[form], encode(data) if isinstance(data, str) else data)

            yield paths, take
            with _room_for(name):
                for form, writer in writers.items():
                    writer.finish(files[form])
        except BaseException:
            for path in paths.values():
                path.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _room_for(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise AudioError(
            f"the frames of {name} cannot be written into a temporary file ({reason}), expected room for them",
            hint="free some space, or set TMPDIR to a folder with more of it",
            code="no-space",
        ) from error


def failure(item: Input, error: AudioError, facts: ModelFacts) -> Outcome:
    """The outcome of a recording that could not be analysed."""
    from compactcli.inference import error_record

    record = error_record(str(item.path), error, model=facts.name, model_version=facts.version)
    return Outcome(record=record, error=error)
