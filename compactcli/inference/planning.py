"""What is looked for in a recording, and how: settings checked before any audio is read."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compactcli.config import DetectionConfig, ModelConfig
from compactcli.errors import ConfigError, require, require_number

DEFAULT_TOP_K = 3
# a frame is judged by 2.8 s on either side of it: within less than a second nothing is decided anew
SHORTEST_STRETCH_S = 1.0
# thirty years, longer than any recording
LONGEST_STRETCH_S = 1e9


@dataclass(frozen=True, kw_only=True)
class ScenePlan:
    """Which scenes are named, and of what.

    Args:
        top_k: Scenes to name, best first, at least 1.
        every_s: Seconds of the stretches whose scenes are named too, from ``SHORTEST_STRETCH_S`` to
            ``LONGEST_STRETCH_S``; None names those of the whole recording alone.

    Raises:
        ConfigError: One of the two is out of its range.
    """

    top_k: int = DEFAULT_TOP_K
    every_s: float | None = None

    def __post_init__(self) -> None:
        given: Any = self.top_k  # whatever the types say
        is_count = isinstance(given, int | np.integer) and not isinstance(given, bool)
        require(is_count and self.top_k >= 1, f"top_k is {given!r}, expected a whole number of scenes, at least 1")
        check_every(self.every_s)


def check_every(every_s: float | None) -> None:
    """Refuse stretches that are too short or never end; None asks for none.

    Raises:
        ConfigError: The length is out of its range.
    """
    given: Any = every_s  # whatever the types say
    is_number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    require(
        every_s is None or (is_number and SHORTEST_STRETCH_S <= every_s <= LONGEST_STRETCH_S),
        f"every is {given!r}, expected {SHORTEST_STRETCH_S:g} to {LONGEST_STRETCH_S:,.0f} seconds",
    )


def check_part(start_s: float, stop_s: float | None) -> None:
    """Refuse a part of a recording that is none; without a stop it goes on to the end.

    Raises:
        ConfigError: It starts before the recording, stops before it starts, or is later than any recording is long.
    """
    last_s = LONGEST_STRETCH_S if stop_s is None else stop_s
    require(
        0 <= start_s < last_s <= LONGEST_STRETCH_S,
        f"the part goes from {start_s:g} to {last_s:g} s, expected it to stop after it starts, from 0 to "
        f"{LONGEST_STRETCH_S:,.0f} s",
    )


@dataclass(frozen=True, kw_only=True)
class DetectionPlan:
    """Which columns of the event head are decoded, and how.

    Args:
        detection: How probabilities become events.
        classes: Names of the columns, in the order of the model.
        columns: Positions of ``classes`` in the event head.
    """

    detection: DetectionConfig
    classes: tuple[str, ...]
    columns: tuple[int, ...]


def plan_detection(
    config: ModelConfig,
    *,
    detection: DetectionConfig | None,
    classes: Sequence[str] | None,
    exclude: Sequence[str] = (),
) -> DetectionPlan:
    """Fit a detection to a model.

    Args:
        config: The model's.
        detection: How probabilities become events; None takes the model's own settings.
        classes: Events to look for; None looks for all.
        exclude: Events not to look for, even where ``classes`` names them.

    Raises:
        ConfigError: A class or the class of a threshold is unknown to the model, or no class is left; or one name was
            given in the place of a list of them.
    """
    for option, names in (("classes", classes), ("exclude", exclude)):
        if isinstance(names, str):
            raise ConfigError(f"{option} is '{names}', expected a list of names", hint=f'give {option}=["{names}"]')
        given: Any = names  # whatever the types say
        is_left_out = given is None and option == "classes"
        require(
            is_left_out or (isinstance(given, Iterable) and not isinstance(given, bytes)),
            f"{option} is {given!r}, expected a list of names of classes",
        )
    # a generator can be looked through once
    classes, exclude = None if classes is None else tuple(classes), tuple(exclude)
    detection = config.detection if detection is None else detection
    for name in (*(classes or ()), *exclude, *detection.class_thresholds):
        require(isinstance(name, str), f"{name!r} is no name of a class, expected text")
        check_event_class(config, name)
    wanted = set(config.events if classes is None else classes) - set(exclude)
    if not wanted:
        raise ConfigError(
            "no event class is left to look for, expected at least one",
            hint="name one with classes, or exclude fewer",
        )
    columns = tuple(index for index, name in enumerate(config.events) if name in wanted)
    thresholds = {name: value for name, value in detection.class_thresholds.items() if name in wanted}
    return DetectionPlan(
        detection=dataclasses.replace(detection, class_thresholds=thresholds),
        classes=tuple(config.events[index] for index in columns),
        columns=columns,
    )


def override_detection(
    detection: DetectionConfig,
    *,
    threshold: float | None = None,
    class_thresholds: Mapping[str, float] | None = None,
    min_duration_s: float | None = None,
    max_gap_s: float | None = None,
    step_s: float | None = None,
    median_s: float | None = None,
    hysteresis: float | None = None,
) -> DetectionConfig:
    """A model's own detection with the settings that a user gave; None keeps the model's.

    Args:
        detection: The model's.
        threshold: For all classes; it takes the place of the model's thresholds of single classes too.
        class_thresholds: Thresholds of single classes, which go before ``threshold``.
        min_duration_s: Seconds.
        max_gap_s: Seconds.
        step_s: Seconds.
        median_s: Seconds.
        hysteresis: How far below its threshold a class may fall while an event goes on.

    Raises:
        ConfigError: A setting is no number, out of its range, or has no part in events at steps.
    """
    given = {
        "threshold": threshold,
        "min_duration_s": min_duration_s,
        "max_gap_s": max_gap_s,
        "step_s": step_s,
        "median_s": median_s,
        "hysteresis": hysteresis,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        require_number(value, name.removesuffix("_s"))
    for label, value in (class_thresholds or {}).items():
        require_number(value, f"threshold of {label}")
    for name, value in (("median", median_s), ("hysteresis", hysteresis)):
        if value is not None and (detection.step_s if step_s is None else step_s):
            raise ConfigError(
                f"{name} {value:g} was given for events that begin and end at steps, in which it has no part",
                hint=f"leave {name} out, or set step to 0: events then begin and end at their threshold",
            )
    kept = detection.class_thresholds if threshold is None else {}
    return dataclasses.replace(detection, class_thresholds={**kept, **(class_thresholds or {})}, **changes)


def check_event_class(config: ModelConfig, name: str) -> None:
    """Refuse a class that the model does not know.

    Raises:
        ConfigError: The model has no such event class.
    """
    if name in config.events:
        return
    near = difflib.get_close_matches(name, config.events, n=3)
    raise ConfigError(
        f"'{name}' is not an event class of the model {config.name}, expected one of its {len(config.events)} classes",
        hint=f"did you mean {' or '.join(near)}?" if near else f"'compact models info {config.name}' lists them",
        code="unknown-class",
    )
