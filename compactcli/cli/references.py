"""A table of true events meets the recordings that it is about."""

import difflib
import itertools
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import TypeVar

from compactcli.cli.inputs import Input, is_folder
from compactcli.cli.lists import read_stdin
from compactcli.cli.options import STDIN, name_of
from compactcli.config import ModelConfig
from compactcli.errors import ConfigError, reason_of
from compactcli.events import Event
from compactcli.formats import SUFFIXES, is_audacity_track, read_audacity_labels, read_events

# labels that a message names of those that a model does not know
MOST_NAMED = 3
# behind the name of a recording
TRACK_SUFFIX = SUFFIXES["audacity"]
# of tables of events; the first ones hold the most, scores and times to the millisecond
TABLE_SUFFIXES = tuple(SUFFIXES[name] for name in ("jsonl", "json", "csv", "raven", "tsv", "audacity"))
LABEL_SUFFIXES = tuple(SUFFIXES[name] for name in ("raven", "audacity"))
# seconds between the tables of a recording that one run writes
SAME_RUN_S = 1.0

Item = TypeVar("Item")
Key = TypeVar("Key")


def read_event_table(path: Path, *, option: str = "") -> dict[str, list[Event]]:
    """Events by the names that a table gives the recordings; a row that is there twice counts once.

    Args:
        path: The table, see ``compactcli.formats.read_events``; ``-`` is standard input. What is not valid UTF-8 in its
            names is as it is on disk. Or a label track of Audacity that is called as its recording with ``.txt``
            behind it, or a folder of such tracks, which lie in it as the recordings do in theirs, and of tables whose
            names end in ``.txt``; where there are neither, of tables with the suffixes of other formats. Where names
            differ in the suffix alone, the newest counts.
        option: What named it, where that was an option.

    Raises:
        ConfigError: It cannot be read, is no text, or names no recording.
        ManifestError: It is no such table.
    """
    name = f"{option} {name_of(path)}".lstrip()
    if path == STDIN or not is_folder(path):
        table = _read_table(path, name=name, root=path.parent)
        expected = "the events of some"
    else:
        table = {}
        for track in _tables_in(path):
            for recording, events in _read_table(track, name=str(track), root=path).items():
                table[recording] = [*table.get(recording, []), *events]
        expected = f"label tracks of Audacity in it, such as a.wav{TRACK_SUFFIX}, or what compact detect wrote there"
    if not table:
        raise ConfigError(f"{name} names no recordings, expected {expected}")
    return {key: list(dict.fromkeys(events)) for key, events in table.items()}


def _tables_in(folder: Path) -> list[Path]:
    """Tables in a folder and those inside it, one of each recording, but for hidden ones.

    Labels, which people correct, go before what a program wrote; of several, the newest counts.
    """
    found: dict[Path, list[Path]] = {}
    for item in folder.rglob("*"):
        is_hidden = any(part.startswith(".") for part in item.relative_to(folder).parts)
        if not is_hidden and _suffix_of(item) and not is_folder(item):
            found.setdefault(item.with_name(item.name[: -len(_suffix_of(item))] or item.name), []).append(item)
    has_labels = any(_suffix_of(item) in LABEL_SUFFIXES for tables in found.values() for item in tables)
    chosen = []
    for tables in found.values():
        fitting = [item for item in tables if not has_labels or _suffix_of(item) in LABEL_SUFFIXES]
        newest_s = max((item.stat().st_mtime for item in fitting), default=0.0)
        # what one run wrote is as new as what it wrote before
        new = [item for item in fitting if item.stat().st_mtime > newest_s - SAME_RUN_S]
        chosen += sorted(new, key=lambda item: TABLE_SUFFIXES.index(_suffix_of(item)))[:1]
    return sorted(chosen)


def _suffix_of(path: Path) -> str:
    """What the name of a table ends in, in small letters; empty for other files."""
    name = path.name.lower()
    # Raven's suffix ends as Audacity's does
    return max((suffix for suffix in TABLE_SUFFIXES if name.endswith(suffix)), key=len, default="")


def _read_table(path: Path, *, name: str, root: Path) -> dict[str, list[Event]]:
    try:
        data = read_stdin() if path == STDIN else path.read_bytes()
    except OSError as error:
        reason = reason_of(error)
        raise ConfigError(
            f"{name} cannot be read ({reason}), expected a table of events", hint="check the path"
        ) from error
    if b"\0" in data:
        raise ConfigError(f"{name} is not text in UTF-8, expected a table of events", hint="save it as text in UTF-8")
    text, source = data.decode("utf-8", "surrogateescape"), name_of(path)
    if path.name.endswith(TRACK_SUFFIX) and is_audacity_track(text):
        return {_recording_of(path, root): read_audacity_labels(text, source)}
    return read_events(text, source)


def _recording_of(track: Path, root: Path) -> str:
    """The recording beside a label track; where it lies elsewhere, its path below the folder of all."""
    recording = track.with_name(track.name.removesuffix(TRACK_SUFFIX))
    return str(recording if recording.exists() else recording.relative_to(root))


def match_recordings(inputs: Sequence[Input], names: Iterable[str], *, source: str) -> dict[str, Input]:
    """Find the recording that each name of a table stands for.

    Whole paths go first; among what is left then paths below the folder that the user named, at last ends of paths,
    longer ones first: ``b/c.wav`` stands for ``/a/b/c.wav``, never for a ``c.wav`` in another folder. A step finds what
    is the only one of its name, in the table and among the recordings. What is still left goes through the same steps
    with accented letters as one character each: some systems store them as letter and accent.

    Args:
        inputs: Recordings.
        names: File names in the table.
        source: Name of the table, for messages.

    Returns:
        The recording of each name; no recording has two.

    Raises:
        ConfigError: A name stands for no recording, or may stand for several.
    """
    found: dict[str, Input] = {}
    names_left, inputs_left = list(names), list(inputs)
    lengths = sorted({len(PurePath(name).parts) for name in names_left}, reverse=True)
    steps: list[Callable[[Input], tuple[str, ...]]] = [
        lambda item: item.path.parts,
        lambda item: item.inner_path.parts,
        *(partial(_end, length) for length in lengths),
    ]
    spellings: list[Callable[[tuple[str, ...]], tuple[str, ...]]] = [tuple, _composed]
    for spell, key_of_input in itertools.product(spellings, steps):
        by_key = _group(inputs_left, [spell(key_of_input(item)) for item in inputs_left])
        named = _group(names_left, [spell(PurePath(name).parts) for name in names_left])
        new = {
            same[0]: by_key[key][0] for key, same in named.items() if len(same) == 1 and len(by_key.get(key, ())) == 1
        }
        found |= new
        taken = {item.path for item in new.values()}
        names_left = [name for name in names_left if name not in new]
        inputs_left = [item for item in inputs_left if item.path not in taken]
    if names_left:
        raise _unmatched(names_left, inputs_left, found, source=source)
    return found


def known_events(
    table: Mapping[str, Sequence[Event]], config: ModelConfig, *, source: str
) -> tuple[dict[str, list[Event]], dict[str, int]]:
    """Part what a model knows from what it does not.

    Args:
        table: True events by recording.
        config: The model.
        source: Name of the table, for messages.

    Returns:
        The events that the model knows, of every recording, and how often the table has each other label, in its order.

    Raises:
        ConfigError: The model knows none of the labels, or there are none.
    """
    counts = Counter(event.label for events in table.values() for event in events)
    unknown = {label: count for label, count in counts.items() if label not in config.events}
    if len(unknown) == len(counts):
        some = describe_unknown(unknown, config.events)
        found = f"only labels that the model does not know, such as {some}" if unknown else "no labels"
        raise ConfigError(
            f"{source} holds {found}, expected names of the model's events",
            hint=f"list them with: compact models info {config.name}",
        )
    known = {name: [event for event in events if event.label in config.events] for name, events in table.items()}
    return known, unknown


def describe_unknown(counts: Mapping[str, int], classes: Collection[str]) -> str:
    """The first labels that a model does not know, how often each is there, and what it may have meant.

    Example:
        >>> describe_unknown({"Dog": 7, "owl": 1}, ["dog", "siren"])
        "'Dog' (7 times, did you mean dog?), 'owl' (once)"
    """
    some = [
        f"'{label}' ({'once' if count == 1 else f'{count} times'}{_meant(label, classes)})"
        for label, count in itertools.islice(counts.items(), MOST_NAMED)
    ]
    return ", ".join(some) + (f" and {len(counts) - len(some)} more" if len(counts) > len(some) else "")


def _meant(label: str, classes: Collection[str]) -> str:
    near = difflib.get_close_matches(label.strip().lower().replace(" ", "_"), classes, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _end(length: int, item: Input) -> tuple[str, ...]:
    """The last folders and the name of a recording's path; all of it where there are fewer."""
    # Path.absolute keeps ".."
    return Path(os.path.normpath(item.path.absolute())).parts[-length:]


def _composed(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def _group(items: Iterable[Item], keys: Iterable[Key]) -> dict[Key, list[Item]]:
    groups = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        groups[key].append(item)
    return groups


def _unmatched(
    names: Sequence[str], inputs: Sequence[Input], found: Mapping[str, Input], *, source: str
) -> ConfigError:
    parts_of = {name: PurePath(name).parts for name in names}
    by_end = {
        length: _group(inputs, [_end(length, item) for item in inputs]) for length in set(map(len, parts_of.values()))
    }
    of_name = {name: by_end[len(parts)].get(parts, []) for name, parts in parts_of.items()}
    for name, items in of_name.items():
        if len(items) > 1:
            return ConfigError(
                f"{source} names '{name}', which may be {items[0].path} or {items[1].path}, expected one recording",
                hint="write file names with their folders, as in the folder that is named",
            )
    some = [(name, items[0].path) for name, items in of_name.items() if items]
    if some:
        name, path = some[0]
        other = [other for other, same in some if same == path][-1]
        return ConfigError(
            f"{source} names '{name}' and '{other}', of which one may be {path}, expected a recording for each",
            hint="name all folders that the table is about, and write file names with them",
        )
    twice = [
        (name, other, item.path)
        for name in names
        for other, item in found.items()
        if PurePath(name).parts in (item.path.parts, _end(len(PurePath(name).parts), item))
    ]
    if twice:
        name, other, path = twice[0]
        return ConfigError(
            f"{source} names '{name}' and '{other}', which may both be {path}, expected one name for each recording",
            hint="give it one of them throughout the table; if they are two recordings, name the folders of both",
        )
    stems = [item.path for item in inputs if item.path.stem == PurePath(names[0]).name]
    if stems:
        return ConfigError(
            f"{source} names '{names[0]}', found {stems[0]}, expected its whole name",
            hint="write the end of the name too; a label track is called as its recording with .txt behind it",
        )
    others = "" if len(names) == 1 else f" and {len(names) - 1} more"
    elsewhere = [item.path for item in inputs if item.path.name == PurePath(names[0]).name]
    if elsewhere:
        return ConfigError(
            f"{source} names '{names[0]}'{others}, found {elsewhere[0]} in another folder, expected every recording "
            "that it names",
            hint="name the folder that holds it; if that is the one, write the end of its path into the table",
        )
    return ConfigError(
        f"{source} names '{names[0]}'{others}, found no such recording, expected every recording that it names",
        hint="name the folder that holds it, or take its rows out of the table",
    )
