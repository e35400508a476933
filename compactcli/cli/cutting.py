"""Events of a table become clips of recordings: where each recording is, and what each clip is called."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compactcli.audio import CutRecording, Piece, cut_audio, measure_duration
from compactcli.cli.folder import MAX_NAME_BYTES
from compactcli.cli.hearing import hear_each
from compactcli.cli.inputs import Input, check_named, collect_inputs, is_missing
from compactcli.cli.output import is_there, real_path
from compactcli.cli.references import match_recordings
from compactcli.clips import clip_path, is_name, rest_events
from compactcli.errors import AudioError, ConfigError
from compactcli.events import Event


@dataclass(frozen=True, kw_only=True)
class Clip:
    """An event, and the file that its sound goes to.

    Args:
        path: The file.
        recording: Path of the recording.
        event: The event.
        start_s: Where the clip starts in the recording, in seconds.
        stop_s: Where it stops; a clip that is written stops with its recording at the latest.
    """

    path: Path
    recording: Path
    event: Event
    start_s: float
    stop_s: float


@dataclass(frozen=True, kw_only=True)
class Source:
    """A recording that a table names.

    Args:
        item: The recording; whether it is there shows when it is opened.
        inner_path: Its path below the folder that all are in.
    """

    item: Input
    inner_path: Path


def find_recordings(
    names: Sequence[str],
    places: Sequence[Path],
    *,
    leave_out: Sequence[Path],
    source: str,
) -> dict[str, Source]:
    """The recordings that a table names.

    Args:
        names: All of them; where no places are given, they are paths, and what all are in is the deepest folder around.
        places: Files and folders to look for them in; folders that are named are those that recordings are in.
        leave_out: Files and folders that are no recordings.
        source: Name of the table, for messages.

    Raises:
        ConfigError: Places were named, and one is not there, or a name stands for no recording in them, or may stand
            for several; or none were named, and no recording is there.
    """
    if places:
        _check_places(places)
        inputs = collect_inputs(places, recursive=True, leave_out=leave_out)
        found = match_recordings(inputs, names, source=source)
        return {name: Source(item=item, inner_path=item.inner_path) for name, item in found.items()}
    paths = [Path(name) for name in names if _is_path(name)]
    if all(map(is_missing, paths)):
        others = "" if len(names) == 1 else f" and {len(names) - 1} more"
        raise ConfigError(
            f"{source} names '{names[0]}'{others}, found no such recording, expected paths that are there",
            hint="name the folder of the recordings behind the table, or go to where compact detect was run",
        )
    around = os.path.commonpath([os.path.normpath(path.absolute().parent) for path in paths])
    # what is named in two ways is one recording
    by_file: dict[str, Source] = {}
    sources = {name: _as_source(name, around) for name in names}
    return {name: by_file.setdefault(os.path.realpath(source.item.path), source) for name, source in sources.items()}


def _check_places(places: Sequence[Path]) -> None:
    check_named(places)
    missing = [place for place in places if is_missing(place)]
    if missing:
        raise ConfigError(
            f"{missing[0]} does not exist, expected a recording or a folder of recordings", hint="check the path"
        )


def _is_path(name: str) -> bool:
    return is_name(name) and Path(name).name not in ("", os.pardir)


def _as_source(name: str, around: str) -> Source:
    if _is_path(name):
        return Source(item=Input(path=Path(name)), inner_path=Path(os.path.relpath(name, around)))
    error = AudioError(f"{name!r} is no path of a recording, expected one", hint="check the table", code="missing")
    return Source(item=Input(path=Path(ascii(name)), error=error), inner_path=Path("recording"))


@dataclass(kw_only=True)
class Plan:
    """What is cut from one recording.

    Args:
        item: The recording, with an error where its clips cannot have a name.
        clips: In the order of the table.
    """

    item: Input
    clips: list[Clip]


def add_rest(
    table: Mapping[str, Sequence[Event]],
    sources: Mapping[str, Source],
    *,
    label: str,
    show: Callable[[int, int], None],
) -> tuple[dict[str, list[Event]], dict[str, Source]]:
    """What lies between the events of each recording, as events of a class of its own.

    Args:
        table: All events by the names of their recordings.
        sources: The recordings.
        label: Name of the new class.
        show: Called with the number of recordings done and that of all.

    Returns:
        The table with them, and the recordings, with an error where one cannot be read.
    """
    names: dict[Path, list[str]] = {}
    for name, source in sources.items():
        names.setdefault(source.item.path, []).append(name)
    inputs = [sources[same[0]].item for same in names.values()]
    measured = hear_each(inputs, lambda item: (measure_duration(item.path), None), show=show)
    with_rest = {name: list(events) for name, events in table.items()}
    for path, same in names.items():
        events = [event for name in same for event in table[name]]
        with_rest[same[0]] += rest_events(events, measured.results.get(path, 0.0), label=label)
    with_errors = {
        name: replace(source, item=replace(source.item, error=measured.failures.get(source.item.path)))
        for name, source in sources.items()
    }
    return with_rest, with_errors


def plan_clips(
    chosen: Mapping[str, Sequence[Event]],
    sources: Mapping[str, Source],
    *,
    folder: Path,
    margin_s: Callable[[Event], float],
) -> dict[Path, "Plan"]:
    """What is cut from which recordings.

    Args:
        chosen: Events of recordings by their names.
        sources: The recordings; those that cannot be read have a plan whether anything of them is chosen or not.
        folder: Where the clips go.
        margin_s: Seconds before and after an event.

    Returns:
        The plan for each recording by its path; no clip is planned twice.

    Raises:
        ConfigError: A label can be no name of a folder, or clips of two recordings would meet.
    """
    plans: dict[Path, Plan] = {}
    clips: dict[Path, Clip] = {}
    for name, source in sources.items():
        item, inner_path, events = source.item, source.inner_path, chosen.get(name, [])
        if not events and item.error is None:
            continue
        planned = [
            Clip(
                path=folder / clip_path(event, inner_path),
                recording=item.path,
                event=event,
                start_s=max(0.0, event.onset - margin_s(event)),
                stop_s=event.offset + margin_s(event),
            )
            for event in events
        ]
        plan = plans.setdefault(item.path, Plan(item=item, clips=[]))
        plan.item = replace(item, error=plan.item.error or _name_error(item, planned))
        for clip in planned if plan.item.error is None else []:
            other = clips.get(clip.path)
            if other is None:
                clips[clip.path] = clip
                plan.clips.append(clip)
            elif other.recording != clip.recording:
                both = f"{other.recording} and {clip.recording}"
                raise ConfigError(
                    f"clips of {both} would both be {clip.path}, expected a name for each",
                    hint="name the folder around both",
                )
    return plans


def _name_error(item: Input, clips: Sequence[Clip]) -> AudioError | None:
    longest = max((len(os.fsencode(part)) for clip in clips for part in clip.path.parts), default=0)
    if longest <= MAX_NAME_BYTES:
        return None
    return AudioError(
        f"a clip of {item.path} would have a name of {longest} bytes, expected at most {MAX_NAME_BYTES}",
        hint="rename the recording, or the class",
        code="name-too-long",
    )


def check_clips(clips: Sequence[Clip], *, overwrite: bool) -> None:
    """Refuse to write what is there, before any work is done.

    Args:
        clips: What is to be written.
        overwrite: Whether clips may be there already.

    Raises:
        ConfigError: Something is there, or is a recording.
    """
    there = [clip.path for clip in clips if is_there(clip.path)]
    recordings = {real_path(clip.recording) for clip in clips}
    for path in there:
        if real_path(path) in recordings:
            raise ConfigError(f"{path} is one of the recordings, expected another folder", hint="choose another name")
    if there and not overwrite:
        more = f" and {len(there) - 1} more clips are" if len(there) > 1 else " is"
        raise ConfigError(
            f"{there[0]}{more} there already, expected new names",
            hint="add --skip-existing to keep what is there, --overwrite to replace it, or choose another folder",
            code="output-exists",
        )


def cut_recording(plan: Plan, *, keep: bool, on_written: Callable[[Clip], None]) -> CutRecording:
    """Write the clips of one recording.

    Args:
        plan: What to cut.
        keep: Whether clips that are there already, and can be read, are left as they are.
        on_written: Called with each clip that is there.

    Returns:
        What was found out about the recording.

    Raises:
        AudioError: The recording cannot be read.
        CompactError: A clip cannot be written.
    """
    planned = {clip.path: clip for clip in plan.clips}
    for clip in plan.clips if keep else []:
        # what cannot be read is no clip, and is cut again
        with contextlib.suppress(AudioError):
            on_written(replace(clip, stop_s=clip.start_s + measure_duration(clip.path)))
            del planned[clip.path]
    pieces = [
        Piece(start_s=clip.start_s, stop_s=clip.stop_s, onset_s=clip.event.onset, path=path)
        for path, clip in planned.items()
    ]
    return cut_audio(
        plan.item.path, pieces, on_written=lambda piece: on_written(replace(planned[piece.path], stop_s=piece.stop_s))
    )
