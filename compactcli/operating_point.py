"""Detection settings are fitted to labelled recordings: one for all classes, then a threshold for each class.

A model stays as it is; only how its frame scores become events changes. Labelled recordings of a user are few, so every
choice leans towards the settings that the model came with, and what the fit is worth is told by cross-validation.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from compactcli.config import DetectionConfig
from compactcli.errors import ConfigError
from compactcli.events import Event
from compactcli.judging import Judge, LabelledScores, Shared, f1_of

MAX_FOLDS = 5
MAX_SWEEPS = 2
MIN_RECORDINGS = 2
# a threshold is drawn from the scores around its class's events: fewer say nothing about where the next ones will lie
MIN_EVENTS = 5
# One event more or less found among a few dozen moves F1 by about this much. The best value of a grid is then best by
# luck as often as not; among all values this near to the best, the one nearest to the model's own is the safest.
TOLERANCE = 0.01
# Scores that know nothing of a class reach their highest F1 over seconds where they report it without a pause, and of
# many short reports a few meet a labelled event: by luck, up to 0.08 of F1 in recordings of noise. A fit that gets less
# than this above a report without a pause would only learn to report more.
CHANCE_MARGIN = 0.1
GRIDS = {
    "step_s": (0.0, 0.32, 0.64, 0.96, 1.28),
    "median_s": (0.0, 0.12, 0.2, 0.36, 0.6, 1.0),
    "hysteresis": (0.0, 0.1, 0.2, 0.3, 0.4),
    "max_gap_s": (0.0, 0.2, 0.4, 0.8, 1.6),
    "min_duration_s": (0.0, 0.1, 0.2, 0.4, 0.8),
}
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
# why a class keeps its threshold
FEW_EVENTS, NO_MORE_THAN_CHANCE = "few events", "no more than chance"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ClassFit:
    """What the fit did to one class.

    Args:
        label: Name of the class.
        n_events: Reference events in all recordings.
        threshold_before: The model's own.
        threshold_fitted: As fitted on all recordings; the model's own where ``kept`` says why.
        f1_before: With the model's own settings.
        f1_after: With the fitted settings, on the recordings that they were fitted on.
        f1_cross_validated: Every recording judged by settings that were fitted on others.
        kept: Why the threshold could not be fitted, or not to other recordings than those that were to judge it:
            ``FEW_EVENTS``, ``NO_MORE_THAN_CHANCE``, or None where it was.
    """

    label: str
    n_events: int
    threshold_before: float
    threshold_fitted: float
    f1_before: float
    f1_after: float
    f1_cross_validated: float
    kept: str | None


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Fitted detection settings, and what they are worth.

    Args:
        metric: Name of the metric, see ``compactcli.judging.METRICS``.
        before: The model's own settings.
        fitted: Those fitted on all recordings.
        classes: The classes that occur in the reference.
        n_recordings: Labelled recordings.
        n_folds: Parts of the cross-validation.
    """

    metric: str
    before: DetectionConfig
    fitted: DetectionConfig
    classes: tuple[ClassFit, ...]
    n_recordings: int
    n_folds: int

    @property
    def f1_before(self) -> float:
        """Macro F1 with the model's own settings."""
        return _mean([item.f1_before for item in self.classes])

    @property
    def f1_after(self) -> float:
        """Macro F1 with the fitted settings on the recordings that they were fitted on, which flatters them."""
        return _mean([item.f1_after for item in self.classes])

    @property
    def f1_cross_validated(self) -> float:
        """Macro F1 on recordings that the settings were not fitted on."""
        return _mean([item.f1_cross_validated for item in self.classes])

    @property
    def is_better(self) -> bool:
        """Whether the fitted settings are other ones, and fitting gets better figures on other recordings."""
        return self.fitted != self.before and self.f1_cross_validated > self.f1_before

    @property
    def chosen(self) -> DetectionConfig:
        """The fitted settings where they are better, else the model's own."""
        return self.fitted if self.is_better else self.before


def fit_detection(
    recordings: Sequence[LabelledScores],
    own: DetectionConfig,
    *,
    metric: str = "segment",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> OperatingPoint:
    """Fit detection settings to labelled recordings.

    Step, median, hysteresis, longest gap closed and shortest duration are searched one after the other from the model's
    own, in two sweeps at most, for the highest macro F1 over the classes in the reference; then one threshold for each
    class with at least ``MIN_EVENTS`` events for the highest F1 of that class. Classes that a report without a pause
    would serve as well have no say. Of settings within ``TOLERANCE`` of the best, the nearest to the model's own is
    taken.

    Each of up to five folds is a stretch of neighbouring recordings, because neighbours in a folder are often cut from
    one. Fits on the others judge them; hits and errors of all folds are added up before F1 is taken. A class keeps its
    threshold if a fold holds events of it and the others could not fit one.

    Args:
        recordings: Scores and true events, all with the same classes; false alarms of classes that occur in no
            reference are not looked at.
        own: The model's settings.
        metric: ``segment`` or ``event``, see ``compactcli.judging.METRICS``.
        report: Called with the number of fits done and that of all.

    Returns:
        The settings; thresholds of classes that were not fitted are the model's own.

    Raises:
        ConfigError: Fewer than two recordings hold an event, or the metric is unknown.
        ManifestError: An event's label is not among the classes.

    Example:
        >>> from compactcli.scores import FrameScores
        >>> is_dog = np.arange(60) % 6 < 2  # seconds 0 and 1, 6 and 7, and so on
        >>> scores = FrameScores(
        ...     probabilities=np.where(is_dog, 0.42, 0.1)[:, None].astype(np.float32),
        ...     edges_s=np.arange(61.0),
        ...     classes=("dog",),
        ... )
        >>> dogs = tuple(Event(onset=second, offset=second + 2, label="dog") for second in range(0, 60, 6))
        >>> point = fit_detection([LabelledScores(scores=scores, reference=dogs)] * 2, DetectionConfig())
        >>> point.chosen.class_thresholds, point.f1_before, point.f1_cross_validated
        ({'dog': 0.4}, 0.0, 1.0)
    """
    check_references([item.reference for item in recordings])
    judge = Judge(recordings, metric=metric)
    n_recordings = len(recordings)
    folds = np.array_split(np.arange(n_recordings), min(MAX_FOLDS, n_recordings))
    report(0, len(folds) + 1)
    own_thresholds = tuple(own.threshold_of(label) for label in judge.classes)
    start = Shared.of(own)
    fit = _fit(judge, start, own_thresholds, np.ones(n_recordings, dtype=np.bool_))
    report(1, len(folds) + 1)
    held_out = np.zeros((len(judge.classes), 3), dtype=np.int64)
    for number, fold in enumerate(folds, start=2):
        in_fold = np.isin(np.arange(n_recordings), fold)
        of_others = _fit(judge, start, own_thresholds, ~in_fold)
        held_out += judge.counts(of_others.shared, of_others.thresholds)[in_fold].sum(axis=0)
        fit = fit.where_judged(of_others, judge.n_events[in_fold].sum(axis=0) > 0, own_thresholds)
        report(number, len(folds) + 1)
    before = f1_of(judge.counts(start, own_thresholds).sum(axis=0))
    after = f1_of(judge.counts(fit.shared, fit.thresholds).sum(axis=0))
    cross_validated = f1_of(held_out)
    classes = tuple(
        ClassFit(
            label=label,
            n_events=int(judge.n_events[:, index].sum()),
            threshold_before=own_thresholds[index],
            threshold_fitted=fit.thresholds[index],
            f1_before=float(before[index]),
            f1_after=float(after[index]),
            f1_cross_validated=float(cross_validated[index]),
            kept=fit.kept[index],
        )
        for index, label in enumerate(judge.classes)
    )
    moved = {item.label: item.threshold_fitted for item in classes if item.threshold_fitted != item.threshold_before}
    return OperatingPoint(
        metric=metric,
        before=own,
        fitted=replace(own, class_thresholds={**own.class_thresholds, **moved}, **asdict(fit.shared)),
        classes=classes,
        n_recordings=n_recordings,
        n_folds=len(folds),
    )


def check_references(references: Sequence[Sequence[Event]]) -> None:
    """Refuse what cannot be fitted to and then judged on another recording.

    Raises:
        ConfigError: Fewer than two recordings hold an event.
    """
    n_with_events = sum(1 for events in references if events)
    if n_with_events < MIN_RECORDINGS:
        raise ConfigError(
            f"{n_with_events} of {len(references)} labelled recordings hold an event that the model knows, expected at "
            f"least {MIN_RECORDINGS}: what is fitted on one has to be judged on another",
            hint="label more recordings, or cut a long one into several",
        )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    shared: Shared
    thresholds: tuple[float, ...]
    kept: tuple[str | None, ...]

    def where_judged(self, of_others: "_Fit", occurs: Mask, own: tuple[float, ...]) -> "_Fit":
        """The model's own threshold where a fold holds events that no threshold fitted to the others was judged by."""
        kept = tuple(
            reason or (others if here else None)
            for reason, others, here in zip(self.kept, of_others.kept, occurs, strict=True)
        )
        thresholds = (
            present if reason else fitted for present, reason, fitted in zip(own, kept, self.thresholds, strict=True)
        )
        return replace(self, thresholds=tuple(thresholds), kept=kept)


def _fit(judge: Judge, start: Shared, own: tuple[float, ...], chosen: Mask) -> _Fit:
    """Settings for some of the recordings.

    Args:
        judge: Knows all recordings.
        start: The model's settings for all classes.
        own: The model's thresholds.
        chosen: Which recordings count, shape ``(n_recordings,)``.
    """

    def f1(shared: Shared, thresholds: Sequence[float]) -> npt.NDArray[np.float64]:
        return f1_of(judge.counts(shared, thresholds)[chosen].sum(axis=0))

    n_events = judge.n_events[chosen].sum(axis=0)
    by_chance = f1_of(judge.counts_of_all()[chosen].sum(axis=0)) + CHANCE_MARGIN
    votes = (n_events > 0) & (f1(start, own) >= by_chance)
    shared = start
    if votes.any():
        shared = search_shared(lambda candidate: float(f1(candidate, own)[votes].mean()), start)
    # all classes at one threshold after the other: they do not influence each other
    at_level = {level: f1(shared, [level] * len(own)) for level in sorted({*THRESHOLDS, *own})}
    thresholds, kept = [], []
    for index, present in enumerate(own):
        found = {level: float(at_level[level][index]) for level in sorted({*THRESHOLDS, present})}
        reason = None
        if n_events[index] < MIN_EVENTS:
            reason = FEW_EVENTS
        elif max(found.values()) < by_chance[index]:
            reason = NO_MORE_THAN_CHANCE
        kept.append(reason)
        thresholds.append(present if reason else nearest_of_best(found, present))
    return _Fit(shared=shared, thresholds=tuple(thresholds), kept=tuple(kept))


def search_shared(criterion: Callable[[Shared], float], start: Shared) -> Shared:
    """Improve one setting at a time until a sweep over all of them changes nothing, in two sweeps at most.

    Args:
        criterion: F1 with some settings.
        start: The model's own, which every choice leans towards.
    """
    best = start
    for _ in range(MAX_SWEEPS):
        before = best
        for name, grid in GRIDS.items():
            own = getattr(start, name)
            found = {value: criterion(replace(best, **{name: value})) for value in sorted({*grid, own})}
            best = replace(best, **{name: nearest_of_best(found, own)})
        if best == before:
            break
    return best


def nearest_of_best(found: dict[float, float], own: float) -> float:
    """The value nearest to ``own`` among those within ``TOLERANCE`` of the best.

    Args:
        found: F1 of each value.
        own: The model's value.

    Returns:
        Of two values equally near, the better one, else the lower one.

    Example:
        >>> nearest_of_best({0.3: 0.8, 0.4: 0.795, 0.5: 0.7}, 0.5)
        0.4
    """
    best = max(found.values())
    near = [value for value, f1 in found.items() if f1 >= best - TOLERANCE]
    return min(near, key=lambda value: (round(abs(value - own), 9), -found[value], value))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
