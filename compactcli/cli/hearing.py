"""Labelled recordings are heard once: frame scores with the events that are true of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from compactcli.cli.console import say_error, say_warning
from compactcli.cli.inputs import Input
from compactcli.engine.base import Engine
from compactcli.errors import AudioError
from compactcli.events import Event
from compactcli.inference import Listening, detect_recording
from compactcli.judging import LabelledScores
from compactcli.scores import FrameScores

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """What came of the recordings.

    Args:
        recordings: Scores and events of those that could be heard, in their order.
        failures: Those that could not, and why.
        damages: Those that are damaged and were heard as far as they go, and what it is.
        n_late: Labels that begin after their recording has ended; they are left out.
    """

    recordings: tuple[LabelledScores, ...]
    failures: Mapping[Path, AudioError]
    damages: Mapping[Path, str]
    n_late: int

    @property
    def duration_s(self) -> float:
        """Seconds of audio heard."""
        return sum(float(item.scores.edges_s[-1]) for item in self.recordings)


def hear_labelled(
    inputs: Sequence[Input],
    events_of: Mapping[Path, Sequence[Event]],
    engine: Engine,
    *,
    show: Callable[[int, int], None],
) -> Heard:
    """Hear each recording once; one that fails does not stop the others.

    Args:
        inputs: The recordings, and what was named for one and is none.
        events_of: True events of the recordings by their paths, at least one in all, all known to the model.
        engine: The model.
        show: Called with the number of recordings done and that of all.
    """
    labels = {event.label for events in events_of.values() for event in events}
    classes = [name for name in engine.config.events if name in labels]
    heard = hear_each(inputs, lambda item: _hear(item, engine, classes), show=show)
    recordings: list[LabelledScores] = []
    n_late = 0
    for path, scores in heard.results.items():
        inside = cut_events(events_of[path], float(scores.edges_s[-1]))
        n_late += len(events_of[path]) - len(inside)
        recordings.append(LabelledScores(scores=scores, reference=inside))
    return Heard(recordings=tuple(recordings), failures=heard.failures, damages=heard.damages, n_late=n_late)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeardEach(Generic[Result]):
    """What came of recordings that were heard one by one, by their paths, in their order.

    Args:
        results: Of those that could be heard.
        failures: Those that could not, and why.
        damages: Those that are damaged and were heard as far as they go, and what it is.
    """

    results: Mapping[Path, Result]
    failures: Mapping[Path, AudioError]
    damages: Mapping[Path, str]


def hear_each(
    inputs: Sequence[Input],
    hear: Callable[[Input], tuple[Result, str | None]],
    *,
    show: Callable[[int, int], None],
) -> HeardEach[Result]:
    """Hear each recording once; one that fails does not stop the others.

    Args:
        inputs: The recordings, and what was named for one and is none.
        hear: Gives what came of one, and what is wrong with it where it is damaged.
        show: Called with the number of recordings done and that of all.
    """
    results: dict[Path, Result] = {}
    failures: dict[Path, AudioError] = {}
    damages: dict[Path, str] = {}
    for n_done, item in enumerate(inputs):
        show(n_done, len(inputs))
        try:
            if item.error is not None:
                raise item.error
            results[item.path], damage = hear(item)
        except AudioError as error:
            failures[item.path] = error
            continue
        if damage is not None:
            damages[item.path] = damage
    show(len(inputs), len(inputs))
    return HeardEach(results=results, failures=failures, damages=damages)


def cut_events(events: Sequence[Event], end_s: float) -> tuple[Event, ...]:
    """What lies before the end of the recording.

    Example:
        >>> cut_events([Event(onset=1, offset=3, label="dog"), Event(onset=2, offset=3, label="dog")], 2.0)
        (Event(onset=1, offset=2.0, label='dog', score=None),)
    """
    return tuple(replace(event, offset=min(event.offset, end_s)) for event in events if event.onset < end_s)


def _hear(item: Input, engine: Engine, classes: Sequence[str]) -> tuple[FrameScores, str | None]:
    """Scores of one recording, and what is wrong with it where it is damaged."""
    pieces: list[FrameScores] = []
    record = detect_recording(item.path, engine, classes=classes, listening=Listening(on_frames=pieces.append))
    scores = FrameScores(
        probabilities=np.concatenate([piece.probabilities for piece in pieces]),
        edges_s=np.concatenate([*(piece.edges_s[:-1] for piece in pieces), pieces[-1].edges_s[-1:]]),
        classes=pieces[-1].classes,
    )
    return scores, record.error_message


def say_unheard(failures: Mapping[Path, AudioError], damages: Mapping[Path, str], *, quiet: bool) -> None:
    """Why recordings could not be heard, and which of them only in part."""
    for error in failures.values():
        say_error(error)
    if not quiet:
        for path, damage in damages.items():
            say_warning(f"{path} is damaged, what comes before is used: {damage}")
