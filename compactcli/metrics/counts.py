"""Hits, false alarms and misses of sound events, and the averages over classes made from them.

One convention for empty denominators: a ratio that has nothing to count is 0, so every result is a finite
number. Classes that occur neither in the reference nor in the estimate have no say in the macro average.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compactcli.errors import require
from compactcli.events import Event


@dataclass(frozen=True, kw_only=True)
class RecordingEvents:
    """True and estimated events of one recording.

    Args:
        reference: What happened.
        estimated: What a system says happened; scores are not looked at.
        duration_s: Length of the recording in seconds, 0 or more.

    Raises:
        ConfigError: The duration is negative or not a number.
    """

    reference: Sequence[Event]
    estimated: Sequence[Event]
    duration_s: float

    def __post_init__(self) -> None:
        require(0 <= self.duration_s < float("inf"), f"a recording lasts {self.duration_s} seconds, expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How often an estimate was right and wrong.

    Args:
        tp: Hits: in the reference and in the estimate.
        fp: False alarms: only in the estimate.
        fn: Misses: only in the reference.

    Example:
        >>> Counts(tp=3, fp=1, fn=2).f1
        0.6666666666666666
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Counts of both together."""
        return Counts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn)

    @property
    def occurs(self) -> bool:
        """Whether reference or estimate hold anything at all."""
        return self.tp + self.fp + self.fn > 0

    @property
    def precision(self) -> float:
        """Part of the estimate that is right, ``tp / (tp + fp)``; 0 without an estimate."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Part of the reference that was found, ``tp / (tp + fn)``; 0 without a reference."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)``; 0 when nothing occurs."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, kw_only=True)
class MacroAverage:
    """Unweighted means over the classes that occur in the reference or the estimate.

    A class with false alarms only counts with 0: inventing a class costs as much as missing one.

    Args:
        precision: Mean precision.
        recall: Mean recall.
        f1: Mean F1, which is not the F1 of the two means.
        n_classes: Number of classes averaged; with 0 the means are 0.
    """

    precision: float
    recall: float
    f1: float
    n_classes: int


@dataclass(frozen=True, kw_only=True)
class DetectionMetrics:
    """Detection quality over a set of recordings.

    Args:
        per_class: Counts of every class asked for, in class order.
        micro: Counts of all classes together: every event or segment weighs the same.
        macro: Means over classes: every class weighs the same.
    """

    per_class: Mapping[str, Counts]
    micro: Counts
    macro: MacroAverage


def summarise(per_class: Mapping[str, Counts]) -> DetectionMetrics:
    """Add the micro and macro averages to the counts of the classes."""
    micro = sum(per_class.values(), Counts())
    present = [counts for counts in per_class.values() if counts.occurs]
    macro = MacroAverage(
        precision=_mean(counts.precision for counts in present),
        recall=_mean(counts.recall for counts in present),
        f1=_mean(counts.f1 for counts in present),
        n_classes=len(present),
    )
    return DetectionMetrics(per_class=per_class, micro=micro, macro=macro)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
