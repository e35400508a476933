"""Runs of the interchannel study as lines of JSON, so that a stopped study goes on where it was."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from compactcli.errors import ConfigError, writing_to
from compactcli.plainjson import from_json, to_json
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import Variant


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained network and what came of it.

    Args:
        task: Name of the task.
        variant: Which network.
        seed: Of its weights and training clips.
        score: The task's metric on held-out clips, in [0, 1].
        parameters: Trainable numbers without those of a head that the task does not use.
        macs: Multiply-accumulates a second of audio, or an image.
        widths: Channels after the stem and after every stage.
        seconds: Seconds of processor time that training took.
        settings: Of the task, in words; see `TaskDesign.settings`.
    """

    task: str
    variant: Variant
    seed: int
    score: float
    parameters: int
    macs: int
    widths: tuple[int, ...]
    seconds: float
    settings: str

    @property
    def cell(self) -> tuple[str, Variant, int]:
        """What it is a run of."""
        return self.task, self.variant, self.seed


def append_run(path: Path, run: Run) -> None:
    """Add one line; the folder is made where it is missing, and a line that a stopped run has not finished goes.

    Raises:
        CompactError: The file cannot be written.
    """
    with writing_to(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(json.dumps(to_json(run)).encode() + b"\n")


def read_runs(path: Path, designs: Iterable[TaskDesign]) -> list[Run]:
    """Runs in the order of the file; a missing file holds none, and a last line that was not finished counts as none.

    Args:
        path: What `append_run` wrote.
        designs: Tasks as they are now; runs of other tasks are refused.

    Raises:
        ConfigError: The file cannot be read, or a run is of other settings than the task has now.
    """
    if not path.exists():
        return []
    settings = {design.name: design.settings for design in designs}
    runs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"results '{path}' cannot be read: {error}", hint="check the path") from error
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ConfigError(
                f"'{path}', line {number}, is no JSON: {error}", hint="remove the line; its run is done again"
            ) from error
        run = from_json(Run, value, where=f"{path}, line {number},")
        if settings.get(run.task) != run.settings:
            raise ConfigError(
                f"'{path}', line {number}, is of other settings than task '{run.task}' has now",
                hint="give another --output folder, or remove the file to start afresh",
            )
        runs.append(run)
    return runs
