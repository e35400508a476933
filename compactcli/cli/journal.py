"""What an unfinished run has done, so that the next one goes on where it was stopped, even by ``kill -9``.

A journal is a hidden file beside the results. Its first line says which model and settings made it, each other line
holds the record of one recording; every line begins with the checksum of the rest, so that a torn one shows, and what
follows a torn line does not count. Records are kept as they are, not as they are written: the format may change.
"""

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from compactcli.cli.inputs import Input
from compactcli.cli.output import unopenable, write_all
from compactcli.errors import ConfigError, unwritable
from compactcli.events import Event
from compactcli.records import Record, Scenes, Stretch

FORMAT = 3
# A crash of the whole machine costs at most these seconds of work; the death of the process alone costs nothing.
SYNC_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Where the record of one recording is, and which state of the recording it belongs to."""

    n_bytes: int
    mtime_ns: int
    position: int
    length: int
    failed: bool


class Journal:
    """An open journal; ``open_journal`` makes one.

    Args:
        path: Its file.
        descriptor: Opened for reading and appending, and locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._facts: Mapping[str, Any] | None = None
        self._entries: dict[str, _Entry] = {}
        self._end = 0
        self._synced_s = time.monotonic()
        self._begun = False
        self._read()
        self._n_found = len(self._entries)

    @property
    def n_records(self) -> int:
        """Recordings that have a record."""
        return len(self._entries)

    def knows(self, item: Input) -> bool:
        """Whether the recording has a record, whatever its state was then."""
        return str(item.path.absolute()) in self._entries

    def has(self, item: Input) -> bool:
        """Whether the record of a recording is of use: it has not changed since, and did not fail."""
        return self._useful(item) is not None

    def _useful(self, item: Input) -> _Entry | None:
        entry = self._entries.get(str(item.path.absolute()))
        if entry is None or entry.failed or (entry.n_bytes, entry.mtime_ns) != (item.n_bytes, item.mtime_ns):
            return None
        return entry

    def find(self, item: Input) -> Record | None:
        """The record of a recording; None where ``has`` says that there is none of use."""
        entry = self._useful(item)
        if entry is None:
            return None
        self._file.seek(entry.position)
        content = json.loads(self._file.read(entry.length).partition(b" ")[2])
        return replace(_from_values(content["record"]), path=str(item.path))

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Say which model and settings the records are made with.

        Args:
            facts: Plain JSON values.

        Raises:
            ConfigError: The records that are there were made with others.
            CompactError: The journal cannot be written.
        """
        facts = json.loads(json.dumps(facts))
        if self._facts is None:
            self._append({"compact_journal": FORMAT, "facts": facts})
            self._facts = facts
            self._begun = True
            return
        different = sorted(name for name in {*self._facts, *facts} if self._facts.get(name) != facts.get(name))
        if different:
            raise ConfigError(
                f"--resume found a run that differs in {' and '.join(different)} in {self.path}, expected the same",
                hint="give the options of the interrupted run, or begin again with --overwrite instead of --resume",
                code="other-run",
            )

    def add(self, item: Input, record: Record) -> None:
        """Keep the record of a recording.

        Raises:
            CompactError: The journal cannot be written.
        """
        if item.is_stdin:  # another one will be there when the run goes on
            return
        where = str(item.path.absolute())
        state = {"path": where, "size": item.n_bytes, "mtime_ns": item.mtime_ns}
        position, length = self._append({**state, "record": _to_values(record)})
        self._entries[where] = _Entry(
            n_bytes=item.n_bytes,
            mtime_ns=item.mtime_ns,
            position=position,
            length=length,
            failed=record.status == "error",
        )

    def forget(self) -> None:
        """Begin again; the file stays as it is until ``begin``."""
        self._facts, self._entries, self._end = None, {}, 0

    def close(self, *, remove: bool) -> None:
        """Close the journal; one that is to be kept stays for the next run unless there is nothing in it."""
        removes = remove or not (self._entries if self._begun else self._n_found)
        # while it is still locked: another run may begin as soon as it is not
        if removes and os.name != "nt":
            self.path.unlink(missing_ok=True)
        self._file.close()
        if removes and os.name == "nt":
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        position = 0
        self._file.seek(0)
        with open(self._file.fileno(), "rb", closefd=False) as lines:
            for line in lines:
                content = _content(line)
                if content is None or (position == 0) != (content.get("compact_journal") == FORMAT):
                    break
                if position == 0:
                    self._facts = content["facts"]
                else:
                    self._entries[content["path"]] = _Entry(
                        n_bytes=content["size"],
                        mtime_ns=content["mtime_ns"],
                        position=position,
                        length=len(line),
                        failed=content["record"]["status"] == "error",
                    )
                position += len(line)
        self._end = position

    def _append(self, content: Mapping[str, Any]) -> tuple[int, int]:
        """Write one line; returns where it begins and how long it is."""
        self._cut(self._end)
        text = json.dumps(content, allow_nan=False).encode("ascii")
        line = b"%08x %b\n" % (zlib.crc32(text), text)
        position = self._end
        self._file.seek(position)
        write_all(self._file, line, name=str(self.path))
        self._end += len(line)
        if time.monotonic() - self._synced_s >= SYNC_EVERY_S:
            os.fsync(self._file.fileno())
            self._synced_s = time.monotonic()
        return position, len(line)

    def _cut(self, end: int) -> None:
        """Cut off what a run that was stopped in the middle of a line has left."""
        self._end = end
        if self._file.seek(0, os.SEEK_END) > end:
            try:
                self._file.truncate(end)
            except OSError as error:
                raise unwritable(str(self.path), error) from error


@contextlib.contextmanager
def open_journal(path: Path, *, resume: bool, overwrite: bool) -> Iterator[Journal]:
    """Open the journal of a run; it is removed when the run is complete, and kept when it is not.

    Args:
        path: Its file.
        resume: Whether to go on with what is in it.
        overwrite: Whether to begin again where there is something in it.

    Yields:
        The journal; empty unless ``resume``.

    Raises:
        ConfigError: There is an unfinished run and neither was asked for, another process is at work on it, or it
            cannot be opened.
        CompactError: The journal cannot be written.
    """
    journal = Journal(path, _open_locked(path))
    complete = False
    try:
        if not resume:
            if journal.n_records and not overwrite:
                count = "1 result" if journal.n_records == 1 else f"{journal.n_records} results"
                raise ConfigError(
                    f"an interrupted run left {count} in {path}, expected to be told whether it goes on",
                    hint="add --resume to go on with it, or --overwrite to begin again",
                    code="unfinished-run",
                )
            journal.forget()
        yield journal
        complete = True
    finally:
        journal.close(remove=complete)


def _open_locked(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise unopenable(str(path), error) from error
        if not _lock(descriptor):
            os.close(descriptor)
            raise ConfigError(
                f"another run is at work with {path}, expected to be alone",
                hint="wait for it, or choose another place for the results",
                code="busy",
            )
        # a run that has just ended may have removed the file after it was opened here
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether this process alone has the file now; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows, where the file has to do without
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _content(line: bytes) -> dict[str, Any] | None:
    """What a line says, or None for one that is torn or damaged."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    content: dict[str, Any] = json.loads(text)
    return content


def _to_values(record: Record) -> dict[str, Any]:
    """A record as plain JSON values, every digit of it."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    if record.duration is not None:
        values["duration"] = float(record.duration)
    if record.scenes is not None:
        values["scenes"] = _scene_values(record.scenes)
    if record.stretches is not None:
        values["stretches"] = [
            [float(stretch.start), float(stretch.stop), _scene_values(stretch.scenes)] for stretch in record.stretches
        ]
    if record.events is not None:
        values["events"] = [
            [float(event.onset), float(event.offset), event.label, None if event.score is None else float(event.score)]
            for event in record.events
        ]
    return values


def _scene_values(scenes: Scenes) -> list[list[Any]]:
    return [[label, float(score)] for label, score in scenes]


def _scenes(values: list[list[Any]]) -> Scenes:
    return tuple((label, score) for label, score in values)


def _from_values(values: dict[str, Any]) -> Record:
    scenes, stretches, events = values["scenes"], values["stretches"], values["events"]
    return Record(
        **{
            **values,
            "scenes": None if scenes is None else _scenes(scenes),
            "stretches": None
            if stretches is None
            else tuple(Stretch(start=start, stop=stop, scenes=_scenes(named)) for start, stop, named in stretches),
            "events": None
            if events is None
            else tuple(Event(onset=on, offset=off, label=label, score=score) for on, off, label, score in events),
        }
    )
