"""Polyphonic sound detection score (PSDS): detection quality over all thresholds at once, from frame scores.

At each threshold the frames of a class that reach it form detections. A detection is *right* when at least
``dtc`` of it lies in reference events of its class, else a false alarm; a reference event is *found* when right
detections cover at least ``gtc`` of it. A false alarm of which ``cttc`` or more lies in events of another class is
a *cross trigger* of that class as well. Raising and lowering the threshold gives each class a curve, found events
over false alarms an hour; the score is the area under the curves' mean, less their spread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import require
from compactcli.metrics.intersections import ClassSteps, RecordingScores, class_steps, reference_of

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class PsdsConfig:
    """What counts as found, and what mistakes cost.

    Args:
        dtc: Share of a detection that must lie in events of its class, in (0, 1].
        gtc: Share of an event that right detections must cover, in (0, 1].
        cttc: Share of a false alarm inside another class that makes a cross trigger, in (0, 1].
        alpha_ct: Weight of cross triggers beside false alarms, 0 or more.
        alpha_st: Weight of the standard deviation over classes, 0 or more.
        max_efpr: False alarms an hour up to which the area is taken, above 0.

    Raises:
        ConfigError: A value is outside its range.
    """

    dtc: float
    gtc: float
    cttc: float = 0.3
    alpha_ct: float = 0.0
    alpha_st: float = 1.0
    max_efpr: float = 100.0

    def __post_init__(self) -> None:
        for name in ("dtc", "gtc", "cttc"):
            value = getattr(self, name)
            require(0 < value <= 1, f"{name} is {value}, expected a share above 0 and at most 1")
        for name in ("alpha_ct", "alpha_st"):
            value = getattr(self, name)
            require(0 <= value < np.inf, f"{name} is {value}, expected a number, 0 or more")
        require(0 < self.max_efpr < np.inf, f"max_efpr is {self.max_efpr}, expected false alarms an hour, above 0")


# the two scenarios of DCASE Task 4: quick reaction to exact times; which class sounded, wherever
PSDS1 = PsdsConfig(dtc=0.7, gtc=0.7)
PSDS2 = PsdsConfig(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5)


@dataclass(frozen=True, kw_only=True)
class Psds:
    """Polyphonic sound detection score.

    Args:
        value: The score, in [0, 1].
        per_class: Area under the curve of each class that has reference events, in [0, 1].
    """

    value: float
    per_class: Mapping[str, float]

    @property
    def class_mean(self) -> float:
        """Mean over the classes: the score with ``alpha_st`` 0, their spread unpunished; 0 without classes."""
        return sum(self.per_class.values()) / len(self.per_class) if self.per_class else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """Best share of found events (``tpr``) at each rate of false alarms an hour (``efpr``); both ascending."""

    efpr: npt.NDArray[np.float64]
    tpr: npt.NDArray[np.float64]

    def at(self, efpr: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """A staircase: the last point at or before each rate, 0 before the first."""
        return np.concatenate([[0.0], self.tpr])[np.searchsorted(self.efpr, efpr, side="right")]


def psds(recordings: Sequence[RecordingScores], config: PsdsConfig) -> Psds:
    """Polyphonic sound detection score, exactly: at every threshold that makes a difference.

    Scores are taken as they are; smooth them first if the system does.

    Args:
        recordings: Frame scores and reference events; all with the same classes, at least one recording.
        config: ``PSDS1``, ``PSDS2`` or others.

    Raises:
        ConfigError: There are no recordings, or their classes differ.
        ManifestError: An event's label is not a class, or events of one class overlap.

    Source:
        Bilen, Ferroni, Tuveri, Azcarreta, Krstulovic, "A Framework for the Robust Evaluation of Sound Event
        Detection", ICASSP 2020; every threshold instead of 50, as Ebbers, Serizel, Haeb-Umbach,
        "Threshold-Independent Evaluation of Sound Event Detection Scores", ICASSP 2022. We differ from
        sed_scores_eval in leaving out classes without reference events (there they count as never found, which
        lowers the score), and in accepting shares that miss a criterion by 1 ns.

    Example:
        >>> from compactcli.events import Event
        >>> from compactcli.scores import FrameScores
        >>> scores = FrameScores(
        ...     probabilities=np.array([[0.1], [0.8], [0.6], [0.3]], dtype=np.float32),
        ...     edges_s=np.arange(5.0),
        ...     classes=("dog",),
        ... )
        >>> events = [Event(onset=1.0, offset=3.0, label="dog")]
        >>> psds([RecordingScores(scores=scores, reference=events)], PSDS1).value
        1.0
    """
    require(len(recordings) > 0, "there are no recordings to score, expected at least one")
    classes = recordings[0].scores.classes
    for recording in recordings:
        found = recording.scores.classes
        require(found == classes, f"a recording has scores of {list(found)}, expected {list(classes)} as the first")
    references = [reference_of(recording) for recording in recordings]
    n_events = np.sum([reference.n_events for reference in references], axis=0)
    seconds = np.sum([reference.seconds for reference in references], axis=0)
    hours = sum(recording.duration_s for recording in recordings) / SECONDS_PER_HOUR
    kept = np.flatnonzero(n_events)
    if len(kept) == 0 or hours == 0:
        return Psds(value=0.0, per_class={})

    # a cross trigger counts by the hours that the triggering class sounds, averaged over the other classes
    weights = np.zeros(len(classes))
    if config.alpha_ct > 0 and len(kept) > 1:
        weights[kept] = config.alpha_ct * SECONDS_PER_HOUR / seconds[kept] / (len(kept) - 1)
    curves = {}
    for column in kept.tolist():
        steps = [
            class_steps(recording, reference, column, dtc=config.dtc, gtc=config.gtc, cttc=config.cttc, weights=weights)
            for recording, reference in zip(recordings, references, strict=True)
        ]
        curves[classes[column]] = _curve(steps, n_events=int(n_events[column]), hours=hours, max_efpr=config.max_efpr)
    return Psds(
        value=_area(list(curves.values()), alpha_st=config.alpha_st, max_efpr=config.max_efpr),
        per_class={
            name: _area([curve], alpha_st=config.alpha_st, max_efpr=config.max_efpr) for name, curve in curves.items()
        },
    )


def _curve(steps: Sequence[ClassSteps], *, n_events: int, hours: float, max_efpr: float) -> _Curve:
    """Add up the recordings from the highest threshold to the lowest."""
    thresholds = np.concatenate([step.thresholds for step in steps])
    order = np.argsort(-thresholds, kind="stable")
    # recordings that share a threshold pass it together
    last = np.flatnonzero(np.append(np.diff(thresholds[order]) != 0, True))
    found, wrong, crossed = (
        np.cumsum(np.concatenate(changes)[order])[last]
        for changes in (
            [step.found for step in steps],
            [step.wrong for step in steps],
            [step.crossed for step in steps],
        )
    )
    # 1e-9: cross triggers are added and taken away again in float64, and 0 of them must be 0
    efpr = np.round(wrong / hours + np.maximum(crossed, 0.0), 9)
    tpr = found / n_events
    within = efpr <= max_efpr
    efpr, tpr = efpr[within], tpr[within]
    order = np.argsort(efpr, kind="stable")
    return _Curve(efpr=efpr[order], tpr=np.maximum.accumulate(tpr[order]))


def _area(curves: Sequence[_Curve], *, alpha_st: float, max_efpr: float) -> float:
    rates = np.unique(np.concatenate([[0.0], *(curve.efpr for curve in curves)]))
    tpr = np.stack([curve.at(rates) for curve in curves])
    effective = np.maximum(tpr.mean(axis=0) - alpha_st * tpr.std(axis=0), 0.0)
    return float(effective @ np.diff(np.append(rates, max_efpr)) / max_efpr)
