"""What became of one input, as every output format sees it: schema 1 of the records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compactcli.errors import require
from compactcli.events import Event

SCHEMA = 1
STATUSES = ("ok", "partial", "error")
# labels and scores in [0, 1], best first
Scenes = tuple[tuple[str, float], ...]
# what stands for the path of samples that came from no file, where a format needs one; standard input is called so too
NAMELESS = "-"


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The scenes of a part of a recording.

    Args:
        start: Seconds from the start of the recording.
        stop: Seconds; where the next stretch starts, or the recording ends.
        scenes: Of this part.
    """

    start: float
    stop: float
    scenes: Scenes


@dataclass(frozen=True, kw_only=True)
class Vector:
    """What the network makes of a part of a recording, before it decides what that is.

    Args:
        start: Seconds from the start of the recording.
        stop: Seconds; where the next part starts, or the recording ends.
        values: Mean embedding of its frames.
    """

    start: float
    stop: float
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What became of one input; failures have one too.

    Args:
        path: The input as the user named it; empty for samples.
        status: ``ok``; ``partial`` when not all of it was, or not as its header says; ``error`` when nothing was.
        error_code: Stable word for what went wrong; None exactly when the status is ``ok``.
        error_message: The same for people; None exactly when the status is ``ok``.
        duration: Length that was analysed in seconds, or None where it is unknown.
        sample_rate: Of the file in Hz, or None where it is unknown.
        model: Name of the model.
        model_version: Which release of the model, see ``ModelConfig.release``.
        scenes: Of the whole recording; None unless scenes were classified.
        stretches: Its parts from start to end; None unless scenes of parts were asked for.
        events: Events by onset; None unless events were detected.
        vectors: Embeddings of the recording, or of its parts from start to end; None unless they were asked for.

    Raises:
        ConfigError: The status is not one of the three, or does not fit the error.
    """

    path: str
    status: str = "ok"
    error_code: str | None = None
    error_message: str | None = None
    duration: float | None = None
    sample_rate: int | None = None
    model: str | None = None
    model_version: str | None = None
    scenes: Scenes | None = None
    stretches: tuple[Stretch, ...] | None = None
    events: tuple[Event, ...] | None = None
    vectors: tuple[Vector, ...] | None = None

    def __post_init__(self) -> None:
        require(self.status in STATUSES, f"a record has status '{self.status}', expected one of {list(STATUSES)}")
        given = [part is not None for part in (self.error_code, self.error_message)]
        require(
            given == [self.status != "ok"] * 2,
            f"a record of status '{self.status}' has error code {self.error_code!r} and message "
            f"{self.error_message!r}, expected {'neither' if self.status == 'ok' else 'both'}",
        )

    @property
    def error(self) -> str:
        """Code and message in one line, empty without an error."""
        return "" if self.status == "ok" else f"{self.error_code}: {self.error_message}"

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values: schema 1, scores with 4 decimals, seconds with 3, embeddings with 5.

        Example:
            >>> rain = Record(path="a.wav", duration=1.0, sample_rate=8000, model="m", scenes=(("rain", 0.5),))
            >>> rain.to_dict()  # doctest: +NORMALIZE_WHITESPACE
            {'schema': 1, 'path': 'a.wav', 'status': 'ok', 'error': None, 'duration': 1.0, 'sample_rate': 8000,
             'model': 'm', 'model_version': None, 'scenes': [{'label': 'rain', 'score': 0.5}]}
        """
        error = None if self.status == "ok" else {"code": self.error_code, "message": self.error_message}
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "path": self.path,
            "status": self.status,
            "error": error,
            "duration": None if self.duration is None else _seconds(self.duration),
            "sample_rate": self.sample_rate,
            "model": self.model,
            "model_version": self.model_version,
        }
        if self.scenes is not None:
            values["scenes"] = _scene_values(self.scenes)
        if self.stretches is not None:
            values["stretches"] = [_stretch_values(stretch) for stretch in self.stretches]
        if self.events is not None:
            values["events"] = [_event_values(event) for event in rounded_events(self.events)]
        if self.vectors is not None:
            values["vectors"] = [_vector_values(vector) for vector in self.vectors]
        return values


def scene_parts(record: Record) -> list[tuple[float, float | None, Scenes]]:
    """Start, stop and scenes of each stretch of a recording; without stretches, those of the whole one."""
    if record.stretches is None:
        return [(0.0, record.duration, record.scenes or ())]
    return [(stretch.start, stretch.stop, stretch.scenes) for stretch in record.stretches]


def rounded_events(events: Iterable[Event], *, decimals: int = 3) -> list[Event]:
    """Events whose times in seconds have so many decimals.

    An event of which rounding leaves nothing is left out: longer, it would begin too early or outlast the recording.

    Args:
        events: In any order, which they keep.
        decimals: Of onset and offset.

    Example:
        >>> events = [Event(onset=0.0, offset=0.9996, label="dog"), Event(onset=0.9997, offset=1.0, label="click")]
        >>> [(event.onset, event.offset, event.label) for event in rounded_events(events)]
        [(0.0, 1.0, 'dog')]
    """
    times = ((event, round(float(event.onset), decimals), round(float(event.offset), decimals)) for event in events)
    return [replace(event, onset=onset, offset=offset) for event, onset, offset in times if onset < offset]


def _score(score: float) -> float:
    return round(float(score), 4)


def _seconds(time_s: float) -> float:
    return round(float(time_s), 3)


def _scene_values(scenes: Scenes) -> list[dict[str, Any]]:
    return [{"label": label, "score": _score(score)} for label, score in scenes]


def _stretch_values(stretch: Stretch) -> dict[str, Any]:
    return {
        "start": _seconds(stretch.start),
        "stop": _seconds(stretch.stop),
        "scenes": _scene_values(stretch.scenes),
    }


def _event_values(event: Event) -> dict[str, Any]:
    score = None if event.score is None else _score(event.score)
    return {"onset": event.onset, "offset": event.offset, "label": event.label, "score": score}


def _vector_values(vector: Vector) -> dict[str, Any]:
    values = [round(float(value), 5) for value in vector.values]
    return {"start": _seconds(vector.start), "stop": _seconds(vector.stop), "values": values}
