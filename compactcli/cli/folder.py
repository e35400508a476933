"""``--output-dir``: one file for each recording and format, in folders as the recordings are.

The name of a result is that of its recording with a suffix behind it, ``a.wav.json``, so that ``a.wav`` and ``a.flac``
never meet. Nothing is written outside the folder, and no two results onto one name.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compactcli.cli.inputs import Input
from compactcli.cli.options import STDIN
from compactcli.cli.output import ANY_RATE_HZ, check_folder, is_there, remove_result, unopenable
from compactcli.cli.work import Outcome
from compactcli.cli.writing import write_recording
from compactcli.errors import AudioError, ConfigError, writing_to
from compactcli.formats import FORMATS, SUFFIXES

# these say that a recording failed; a file of another format would look as if there was nothing in the recording
HOLDS_FAILURES = frozenset({"json", "jsonl"})
# and these, in the record of a recording that did not fail, which command wrote it: the first whose list is there
HOLDS = {"detect": "events", "classify": "scenes", "embed": "vectors"}
# seconds that the header of a recording may promise more or less than was heard of it
SAME_DURATION_S = 0.5
MAX_NAME_BYTES = 255
# of a path from the root, with room for what stands in the place of a result until it is whole
MAX_PATH_BYTES = 4000
# formats whose files have suffixes in common: tables with columns of their own, and tables of frames
TABLES = (("classify", "csv"), ("detect", "csv"), ("detect", "tsv"))
FRAME_TABLES = ("scores-tsv", "levels-tsv")
# what a file that is there may be
WHOLE, FAILED, DAMAGED, OTHER, FOREIGN = "whole", "failed", "damaged", "other", "foreign"
# what a record begins with, blanks left out
RECORD_BEGINS = b'{"schema":'


def check_not_stdout(folder: Path) -> None:
    """Refuse the word for standard output in the place of a folder.

    Raises:
        ConfigError: It is ``-``.
    """
    if folder == STDIN:
        raise ConfigError("--output-dir - would be standard output, expected a folder", hint="name a folder")


@dataclass(frozen=True, kw_only=True)
class ResultFolder:
    """A folder for one file per recording and format.

    Args:
        folder: The folder, which need not be there yet.
        command: What writes.
        formats: Names of the formats, each once.
    """

    folder: Path
    command: str
    formats: tuple[str, ...]

    def targets(self, item: Input) -> list[Path]:
        """The files of one recording, in the order of the formats."""
        inner = item.inner_path
        return [self.folder / inner.with_name(inner.name + SUFFIXES[name]) for name in self.formats]

    def has_room(self, item: Input) -> bool:
        """Whether the names of a recording's files are no longer than file systems take."""
        return all(
            len(os.fsencode(target.name)) <= MAX_NAME_BYTES and len(os.fsencode(target.absolute())) <= MAX_PATH_BYTES
            for target in self.targets(item)
        )

    def with_room(self, item: Input) -> Input:
        """The recording, or its failure where its results would have names that are too long."""
        if item.error is not None or self.has_room(item):
            return item
        longest = max(self.targets(item), key=lambda target: len(os.fsencode(target.name)))
        error = AudioError(
            f"the result of {item.name} would be called {longest.name}, expected at most {MAX_NAME_BYTES} bytes in a "
            f"name and {MAX_PATH_BYTES} in a path",
            hint="rename the recording, or use --output",
            code="name-too-long",
        )
        return replace(item, error=error)

    def check_names(self, inputs: Sequence[Input]) -> None:
        """Refuse results that would meet, or that would leave the folder.

        Raises:
            ConfigError: The first such result.
        """
        check_not_stdout(self.folder)
        if is_there(self.folder) and not self.folder.is_dir():
            raise ConfigError(
                f"--output-dir {self.folder} is not a folder, expected one, or a new name", hint="name a folder"
            )
        owners: dict[Path, Input] = {}
        for item in inputs:
            form_of: dict[Path, str] = {}
            for form, target in zip(self.formats, self.targets(item), strict=True):
                other_form = form_of.setdefault(target, form)
                if other_form != form:
                    raise ConfigError(
                        f"--format {other_form} and {form} would both be written to {target}, expected two files",
                        hint="leave one out",
                        code="name-collision",
                    )
                other = owners.setdefault(target, item)
                if other is not item:
                    raise ConfigError(
                        f"{other.name} and {item.name} would both be written to {target}, expected one file for each",
                        hint="analyse them in two runs with two folders, or name one folder above both",
                        code="name-collision",
                    )
        self._check_folders({target: item for target, item in owners.items() if self.has_room(item)})

    def _check_folders(self, owners: dict[Path, Input]) -> None:
        root = os.path.realpath(self.folder)
        for folder in {parent for target in owners for parent in target.parents if parent.is_relative_to(self.folder)}:
            if folder in owners:
                raise ConfigError(
                    f"{folder} would be the result of {owners[folder].path} and a folder for others, expected one",
                    hint="analyse them in two runs with two folders",
                    code="name-collision",
                )
            if os.path.commonpath([root, os.path.realpath(folder)]) != root:
                raise ConfigError(
                    f"{folder} leads out of --output-dir {self.folder}, expected a folder inside it",
                    hint="remove the link, or choose another folder",
                )

    def check_new(self, inputs: Sequence[Input], *, may_replace: Callable[[Input], bool], keep: bool) -> None:
        """Refuse to replace what is there.

        Args:
            inputs: The recordings.
            may_replace: Whether the files of a recording may be replaced.
            keep: Whether those that may not be replaced stay, as ``put`` has it, and are no reason to refuse.

        Raises:
            ConfigError: A file is there that may not be replaced, that is one of the recordings, or that another
                command wrote.
        """
        inputs = [item for item in inputs if self.has_room(item)]
        there = {os.path.realpath(target): item for item in inputs for target in self.targets(item) if is_there(target)}
        if not there:
            return
        for item in inputs:
            if os.path.realpath(item.path) in there:
                raise ConfigError(
                    f"{item.path} is a recording and would be replaced by the results of another, expected two files",
                    hint="choose another --output-dir",
                )
        for target, item in there.items():
            if not may_replace(item) and not keep:
                raise ConfigError(
                    f"{target} is there already, expected a new name",
                    hint="add --overwrite to replace it, --skip-existing to leave its recording out, "
                    "or choose another --output-dir",
                    code="output-exists",
                )
        for form, result in (pair for item in inputs for pair in self._there(item) if keep):
            finding = self._finding(form, result)
            if finding == FOREIGN:
                raise ConfigError(
                    f"{result} holds no results of compact, expected those of compact {self.command}",
                    hint="choose another --output-dir, or replace it with --overwrite instead of --skip-existing",
                    code="output-exists",
                )
            if finding == OTHER:
                raise ConfigError(
                    f"{result} holds results of another command or format, expected {form} of compact {self.command}",
                    hint="choose another --output-dir, or replace it with --overwrite instead of --skip-existing",
                    code="output-exists",
                )

    def make(self) -> None:
        """Make the folder.

        Raises:
            ConfigError: It cannot be made, or takes no files.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unopenable(str(self.folder), error) from error
        check_folder(self.folder, name=str(self.folder))

    def is_done(self, item: Input) -> bool:
        """Whether all files of the recording are there, and are whole results of it as it is now."""
        there = self._there(item)
        return (
            self.has_room(item)
            and len(there) == len(self.formats)
            and all(self._finding(form, target) == WHOLE for form, target in there)
            and not self.is_changed(item)
        )

    def models(self, item: Input) -> set[tuple[str, str]]:
        """Names and releases of the models whose records of the recording are there, asked for or not."""
        if not self.has_room(item):
            return set()
        beside = replace(self, formats=tuple(sorted(HOLDS_FAILURES)))
        records = [_read_quietly(target) for _, target in beside._there(item)]
        kept = [record for record in records if record and record.get("status") != "error"]
        return {(str(record.get("model")), str(record.get("model_version"))) for record in kept}

    def is_changed(self, item: Input) -> bool:
        """Whether a record tells of another recording of that name: of a cut one, or of a longer or shorter one.

        A recording that was copied once more is newer than its result and the same.
        """
        records = [_older_record(target, item.mtime_ns) for form, target in self._there(item) if form in HOLDS_FAILURES]
        return any(
            record is not None and (record.is_partial or not _lasts(item.path, record.duration_s)) for record in records
        )

    def damaged(self, item: Input) -> list[Path]:
        """Files of the recording that can be read back, and are no longer whole."""
        return [target for form, target in self._there(item) if self._finding(form, target) == DAMAGED]

    def _there(self, item: Input) -> list[tuple[str, Path]]:
        """Formats and names of the recording's files that are there."""
        if not self.has_room(item):
            return []
        return [pair for pair in zip(self.formats, self.targets(item), strict=True) if is_there(pair[1])]

    def _finding(self, form: str, target: Path) -> str:
        """What is in a file that an earlier run left; what neither is a record nor a table is ``WHOLE``.

        It is ``DAMAGED`` where a full disk, a crash or a copy cut it off, ``OTHER`` where it is of another command or
        format, and ``FOREIGN`` where it never was a record.
        """
        if form in HOLDS_FAILURES:
            return _finding_of_record(target, self.command)
        if (self.command, form) in TABLES or form in FRAME_TABLES:
            return _finding_of_table(target, self.command, form)
        return WHOLE

    def put(self, item: Input, outcome: Outcome, *, alone: bool, keep: bool) -> None:
        """Write the files of one recording, each whole or not at all.

        Args:
            item: The recording; where there is no room for the names of its files, nothing is written.
            outcome: What came of it.
            alone: See ``compactcli.cli.output.open_output``.
            keep: Whether files that are there stay as they are, but for those that tell of a failure, are damaged, or
                are of a recording that was changed. Where that one fails, what is no record stays all the same.

        Raises:
            CompactError: One cannot be written.
        """
        if not self.has_room(item):
            return
        failed = outcome.record.status == "error"
        is_changed = keep and self.is_changed(item)
        for name, target in zip(self.formats, self.targets(item), strict=True):
            replaces = is_changed and (name in HOLDS_FAILURES or not failed)
            if keep and is_there(target) and not replaces and self._finding(name, target) not in (FAILED, DAMAGED):
                continue
            if failed and name not in HOLDS_FAILURES:
                remove_result(target)
                continue
            with writing_to(str(target.parent)):
                target.parent.mkdir(parents=True, exist_ok=True)
            write_recording(target, self.command, name, outcome, alone=alone)


def without_results(inputs: Sequence[Input], folder: Path) -> list[Input]:
    """The inputs without what an earlier run wrote beside its recordings, into the folder that it found them in.

    Args:
        inputs: What was found.
        folder: Where results go.
    """
    paths = {item.path for item in inputs}
    real = os.path.realpath(folder)
    roots = {item.root for item in inputs if item.root is not None}
    shared = {root for root in roots if os.path.realpath(root) == real}

    def is_result(item: Input) -> bool:
        name = item.path.name
        return item.root in shared and any(
            name.endswith(suffix) and item.path.with_name(name.removesuffix(suffix)) in paths
            for suffix in SUFFIXES.values()
        )

    return [item for item in inputs if not is_result(item)]


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """What a record says of the recording as it was."""

    is_partial: bool
    duration_s: float


def _read_record(data: bytes) -> Any:
    """The only value of a line of JSON, or the first of an array.

    Raises:
        ValueError: It is no JSON.
    """
    content = json.loads(data)
    return content[0] if isinstance(content, list) and content else content


def _read_quietly(path: Path) -> dict[str, Any] | None:
    """The first record in a file of JSON; None where there is none."""
    try:
        record = _read_record(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _older_record(path: Path, mtime_ns: int) -> _Heard | None:
    """What a file of JSON says; None where it is not older, or holds no record of a recording that was heard."""
    try:
        if path.stat().st_mtime_ns >= mtime_ns:
            return None
    except OSError:
        return None
    record = _read_quietly(path)
    if record is None or not isinstance(record.get("duration"), float | int):
        return None
    return _Heard(is_partial=record.get("status") == "partial", duration_s=record["duration"])


def _lasts(path: Path, duration_s: float) -> bool:
    """Whether the header of a recording promises that duration."""
    from compactcli.audio import open_audio

    try:
        with open_audio(path, sample_rate=ANY_RATE_HZ) as reader:
            promised_s = reader.info.duration_s
    except AudioError:
        return False
    return promised_s is not None and abs(promised_s - duration_s) <= SAME_DURATION_S


def _finding_of_table(path: Path, command: str, form: str) -> str:
    try:
        with path.open("rb") as file:
            begin = file.read(4096)
    except OSError:  # nobody can say; it is there, and stays
        return WHOLE
    if not begin.strip(b"\0"):  # a crash may leave zeros
        return DAMAGED
    # tables of several formats have one suffix; what somebody made of one stays
    line = begin.decode("utf-8-sig", "replace").partition("\n")[0].rstrip("\r")
    return WHOLE if _kind_of_table(line) in (None, (command, form)) else OTHER


def _kind_of_table(line: str) -> tuple[str, str] | None:
    """Command and format of a table with that first line; None where it is of none."""
    for kind in TABLES:
        if line == FORMATS[kind[0]][kind[1]]().begin().rstrip("\r\n"):
            return kind
    fields = line.split("\t")
    if fields[:2] != ["onset", "offset"] or len(fields) < 3:
        return None
    # bands are called by their centres, events by names
    return ("features", "levels-tsv") if fields[2].replace(".", "").isdecimal() else ("detect", "scores-tsv")


def _finding_of_record(path: Path, command: str) -> str:
    try:
        data = path.read_bytes()
    except OSError:  # nobody can say; it is there, and stays
        return WHOLE
    try:
        record = _read_record(data)
    except ValueError:
        # a crash may leave zeros
        begins = b"".join(data[:1024].split()).lstrip(b"[").rstrip(b"\0")[: len(RECORD_BEGINS)]
        return DAMAGED if RECORD_BEGINS.startswith(begins) else FOREIGN
    if not isinstance(record, dict):
        return WHOLE
    if record.get("status") == "error":
        return FAILED
    writer = next((name for name, key in HOLDS.items() if key in record), None)
    return WHOLE if writer == (command if command in HOLDS else None) else OTHER
