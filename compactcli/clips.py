"""Events become clips to listen to or to learn from: which events, and what their files are called."""

import itertools
import math
import os
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath

import numpy as np

from compactcli.errors import ConfigError, require
from compactcli.events import Event

# what is chosen by chance is the same every time
_SEED = 0
# Of what lies between events: people do not label to the tenth of a second, less is hardly a sound, and a clip that is
# longer than those of events would outweigh them.
_REST_GAP_S = 0.5
_SHORTEST_REST_S = 1.0
_LONGEST_REST_S = 10.0


class Pick(StrEnum):
    """Which events become clips where there are too many."""

    BEST = "best"
    RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class ClipChoice:
    """Which events become clips.

    Args:
        classes: Labels; None takes all.
        exclude: Labels to leave out, even where ``classes`` names them.
        threshold: Lowest score, from 0 to 1; events without a score, which people have labelled, are as sure as can be.
        class_thresholds: Those of single classes, which go before ``threshold``.
        at_most: Clips of each class, at least 1; None takes all.
        pick: Which of them where there are more: those with the highest scores, or any, as figures about all need.
            Chance decides among those that are equally good.

    Raises:
        ConfigError: A number is out of its range.
    """

    classes: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    threshold: float = 0.0
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    at_most: int | None = None
    pick: Pick = Pick.BEST

    def __post_init__(self) -> None:
        for threshold in (self.threshold, *self.class_thresholds.values()):
            require(0 <= threshold <= 1, f"threshold is {threshold}, expected 0 to 1")
        require(self.at_most is None or self.at_most >= 1, f"at_most is {self.at_most}, expected at least 1")

    def takes(self, event: Event) -> bool:
        """Whether an event is one of those that are asked for."""
        wanted = self.classes is None or event.label in self.classes
        threshold = self.class_thresholds.get(event.label, self.threshold)
        return wanted and event.label not in self.exclude and _sureness(event) >= threshold


def choose_events(table: Mapping[str, Sequence[Event]], choice: ClipChoice) -> dict[str, list[Event]]:
    """Events that become clips, in the order of the table; recordings without any are left out.

    Args:
        table: Events of recordings by their names.
        choice: Which are asked for.

    Example:
        >>> dogs = [Event(onset=onset, offset=onset + 1, label="dog", score=onset / 10) for onset in (1, 9, 5)]
        >>> chosen = choose_events({"a.wav": dogs, "b.wav": []}, ClipChoice(at_most=2))
        >>> [(event.onset, event.score) for event in chosen["a.wav"]]
        [(9, 0.9), (5, 0.5)]
    """
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, events in table.items():
        for index, event in enumerate(events):
            if choice.takes(event):
                places[event.label].append((name, index))
    taken = set()
    for label, found in places.items():
        # of labels without scores, the first ones would all be of one recording
        # as bytes: a label that is not valid UTF-8 has no other
        random.Random(f"{_SEED} {label}".encode("utf-8", "surrogatepass")).shuffle(found)
        if choice.pick == Pick.BEST:
            found.sort(key=lambda place: -_sureness(table[place[0]][place[1]]))
        taken.update(found[: choice.at_most])
    chosen = {
        name: [event for index, event in enumerate(events) if (name, index) in taken] for name, events in table.items()
    }
    return {name: events for name, events in chosen.items() if events}


def rest_events(events: Sequence[Event], duration_s: float, *, label: str) -> list[Event]:
    """What lies between all events of a recording, as events of a class of its own.

    Args:
        events: All that happens in the recording, in any order.
        duration_s: Its length in seconds.
        label: Name of the new class.

    Returns:
        Stretches of 1 to 10 s, half a second away from all events, those of a longer gap of equal length.

    Example:
        >>> dog = Event(onset=2.5, offset=3.5, label="dog")
        >>> [(event.onset, event.offset) for event in rest_events([dog], 20.0, label="background")]
        [(0.0, 2.0), (4.0, 12.0), (12.0, 20.0)]
    """
    found = []
    for start, stop in _gaps(events, 0.0, duration_s):
        edges = np.linspace(start, stop, math.ceil((stop - start) / _LONGEST_REST_S) + 1).tolist()
        found += [Event(onset=onset, offset=offset, label=label) for onset, offset in itertools.pairwise(edges)]
    return found


def _gaps(events: Iterable[Event], start_s: float, stop_s: float) -> list[tuple[float, float]]:
    """What is free of events between two times and far enough from them, where that is long enough."""
    found, free_from = [], start_s
    # what begins at the end closes the last gap
    ends = [(event.onset - _REST_GAP_S, event.offset + _REST_GAP_S) for event in events] + [(stop_s, stop_s)]
    for start, stop in sorted(ends):
        if min(start, stop_s) - free_from >= _SHORTEST_REST_S:
            found.append((free_from, min(start, stop_s)))
        free_from = max(free_from, stop)
    return found


def as_rest(
    table: Mapping[str, Sequence[Event]], *, classes: Collection[str], exclude: Collection[str], label: str
) -> dict[str, list[Event]]:
    """Events of other classes as events of the class of all the rest, as far as none of the classes sounds meanwhile.

    Args:
        table: Events of recordings by their names.
        classes: Those that keep their names.
        exclude: Those that are not asked for at all, and keep theirs too.
        label: Name of the class of the rest.

    Returns:
        The table; of an event that comes nearer than half a second to one of the classes, what is left is kept where
        that lasts a second.

    Example:
        >>> dog, owl = Event(onset=1, offset=5, label="dog", score=0.5), Event(onset=4, offset=6, label="owl")
        >>> [(event.onset, event.offset, event.label) for event in as_rest(
        ...     {"a.wav": [dog, owl]}, classes=["owl"], exclude=[], label="background"
        ... )["a.wav"]]
        [(1, 3.5, 'background'), (4, 6, 'owl')]
    """
    kept = {*classes, *exclude, label}
    found: dict[str, list[Event]] = {}
    for name, events in table.items():
        wanted = [event for event in events if event.label in classes]
        found[name] = []
        for event in events:
            if event.label in kept:
                found[name].append(event)
                continue
            for onset, offset in _free_parts(event, wanted):
                found[name].append(Event(onset=onset, offset=offset, label=label))
    return found


def _free_parts(event: Event, others: Sequence[Event]) -> list[tuple[float, float]]:
    """An event whole where none of the others comes near it, else what is left and long enough."""
    near = [
        other
        for other in others
        if other.onset - _REST_GAP_S < event.offset and other.offset + _REST_GAP_S > event.onset
    ]
    return _gaps(near, event.onset, event.offset) if near else [(event.onset, event.offset)]


def clip_path(event: Event, recording: PurePath) -> PurePath:
    """Where the clip of an event goes, below the folder for all: a folder for its class, then as the recording lies.

    Names begin with the recording and go on with seconds of one width, so that clips of one recording stand beside each
    other in the order of time.

    Args:
        event: Its times are rounded to milliseconds.
        recording: Path of the recording below the folder of all recordings.

    Raises:
        ConfigError: The label can be no name of a folder.

    Example:
        >>> event = Event(onset=62.48, offset=63.2, label="dog", score=0.934)
        >>> str(clip_path(event, PurePath("north/night.flac")))
        'dog/north/night.flac_00062.480-00063.200_0.93.wav'
    """
    label = event.label
    if not is_folder_name(label):
        raise ConfigError(
            f"'{label}' cannot be the name of a folder, expected a class without slashes and without a dot in front",
            hint="rename it in the table of events, or leave it out with --exclude",
        )
    score = "" if event.score is None else f"_{event.score:.2f}"
    name = f"{recording.name}_{event.onset:09.3f}-{event.offset:09.3f}{score}.wav"
    return PurePath(label) / recording.with_name(name)


def is_folder_name(label: str) -> bool:
    r"""Whether a folder for a class can have its name on any system.

    Example:
        >>> [is_folder_name(label) for label in ("dog", "a/b", ".dog", "")]
        [True, False, False, False]
    """
    return bool(label) and not label.startswith(".") and is_name(label) and not any(sign in label for sign in "/\\")


def check_class_name(label: str, *, found: str, hint: str) -> None:
    """Refuse the name of a class for which there can be no folder.

    Args:
        label: The name.
        found: What has it, as the beginning of the message.
        hint: What the user can do.

    Raises:
        ConfigError: There can be none.
    """
    if not is_folder_name(label):
        raise ConfigError(
            f"{found}, expected the name of a class, without slashes and without a dot in front", hint=hint
        )


def is_name(text: str) -> bool:
    """Whether a file system may know such a name; JSON can hold others."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _sureness(event: Event) -> float:
    """Its score; what people have labelled is as sure as can be."""
    return 1.0 if event.score is None else event.score
