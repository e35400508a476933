"""Held-out figures of a model: for people, for programs, and what each was measured over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compactcli.conditions import CLEAN, Condition
from compactcli.config import DetectionConfig
from compactcli.heldout import NOISE_S, SCENE_CLIP_S, SOUNDSCAPE_S
from compactcli.metrics.clip import ClipMetrics
from compactcli.metrics.counts import DetectionMetrics
from compactcli.metrics.psds import Psds
from compactcli.metrics.reliability import ReliabilityBin


@dataclass(frozen=True, kw_only=True)
class EventCalibration:
    """Whether event probabilities mean what they say, over all frames and classes of soundscapes.

    Most frames hold none of most classes, so the lowest bin has nearly all the weight in the error: read the bins too.

    Args:
        n_scores: Number of probabilities; those of classes that may sound without being listed are left out.
        error: Expected calibration error in 15 bins, in [0, 1].
        reliability: How often the class sounds, in 10 bins of its probability.
    """

    n_scores: int
    error: float
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True)
class NoiseAnswers:
    """What a model says of clips in which nothing sounds but steady noise.

    Args:
        n_clips: Number of clips.
        with_events: Share of them in which it detects an event, in [0, 1].
        scene_score: Mean score of the best scene, in [0, 1]; of equal chances it is one by the number of scenes.
    """

    n_clips: int
    with_events: float
    scene_score: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Held-out figures; None for those of a kind of recording that the corpus does not hold out.

    Args:
        scenes: Over recordings and simulated scenes, one answer each, as ``classify`` gives.
        scene_clips: Over the same, long recordings in clips of 10 s, one answer a clip.
        scene_classes: Order of the scenes.
        esc50: Top-1 of ESC-50's test fold by the event head, among its categories.
        esc50_classes: Their order.
        urbansound8k: Top-1 of UrbanSound8K's test fold by the event head, among its classes.
        urbansound8k_classes: Their order.
        segment: Segment-based (1 s) scores on soundscapes.
        event: Event-based scores on the same soundscapes.
        psds1: Polyphonic sound detection score on them that asks for exact times.
        psds2: The same that asks for the right class.
        event_calibration: Of the event head, on them.
        noise: On steady noise by itself.
        n_soundscapes: Number of soundscapes.
        detection: How the model detects, at its own thresholds, and at all of them for ``psds1`` and ``psds2``.
        condition: What happened to every recording before it was heard.
    """

    scenes: ClipMetrics | None
    scene_clips: ClipMetrics | None
    scene_classes: tuple[str, ...]
    esc50: ClipMetrics | None
    esc50_classes: tuple[str, ...]
    urbansound8k: ClipMetrics | None
    urbansound8k_classes: tuple[str, ...]
    segment: DetectionMetrics
    event: DetectionMetrics
    psds1: Psds
    psds2: Psds
    event_calibration: EventCalibration
    noise: NoiseAnswers
    n_soundscapes: int
    detection: DetectionConfig
    condition: Condition = CLEAN

    def summary(self) -> list[tuple[str, str, str]]:
        """Figures for people as (what, value, over what)."""

        def percent(value: float) -> str:
            return f"{100 * value:.1f} %"

        soundscapes = f"{self.n_soundscapes} soundscapes of {SOUNDSCAPE_S:g} s"
        step_s, median_s = self.detection.step_s, self.detection.median_s
        boundaries = f"step {step_s:g} s" if step_s else f"median {median_s:g} s"
        noises = f"{self.noise.n_clips} clips of {NOISE_S:g} s"
        rows = []
        if self.scenes is not None:
            recordings = f"{self.scenes.n_clips} recordings"
            rows += [
                ("scenes, macro accuracy", percent(self.scenes.macro_accuracy), recordings),
                ("scenes, accuracy", percent(self.scenes.accuracy), recordings),
                ("scenes, calibration error", f"{self.scenes.calibration_error:.3f}", recordings),
            ]
        if self.scene_clips is not None:
            clips = f"{self.scene_clips.n_clips} clips, long recordings cut every {SCENE_CLIP_S:g} s"
            rows.append(("scenes of clips, macro accuracy", percent(self.scene_clips.macro_accuracy), clips))
        for name, tagged in (("ESC-50", self.esc50), ("UrbanSound8K", self.urbansound8k)):
            if tagged is not None:
                rows.append((f"{name} test fold, top-1", percent(tagged.accuracy), f"{tagged.n_clips} clips"))
        return [
            *rows,
            ("segment-based (1 s) macro F1", f"{self.segment.macro.f1:.3f}", soundscapes),
            ("segment-based (1 s) micro F1", f"{self.segment.micro.f1:.3f}", soundscapes),
            ("event-based (200 ms) macro F1", f"{self.event.macro.f1:.3f}", soundscapes),
            ("event-based (200 ms) micro F1", f"{self.event.micro.f1:.3f}", soundscapes),
            (f"PSDS1 ({boundaries})", f"{self.psds1.value:.3f}", soundscapes),
            (f"PSDS2 ({boundaries})", f"{self.psds2.value:.3f}", soundscapes),
            ("events, calibration error", f"{self.event_calibration.error:.3f}", soundscapes),
            ("noise alone, clips with an event", percent(self.noise.with_events), noises),
            ("noise alone, score of the best scene", f"{self.noise.scene_score:.3f}", noises),
        ]

    def scene_confusions(self, n_pairs: int) -> list[tuple[str, str, int]]:
        """The most frequent confusions as (true scene, scene it was called, recordings)."""
        return [] if self.scenes is None else confusion_pairs(self.scenes, self.scene_classes, n_pairs)

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain JSON values, per class too."""

        def clips(metrics: ClipMetrics | None, classes: Sequence[str]) -> dict[str, Any] | None:
            if metrics is None:
                return None
            recall = {name: round(float(value), 4) for name, value in zip(classes, metrics.recall, strict=True)}
            return {
                "clips": metrics.n_clips,
                "accuracy": round(metrics.accuracy, 4),
                "macro_accuracy": round(metrics.macro_accuracy, 4),
                "log_loss": round(metrics.log_loss, 4),
                "calibration_error": round(metrics.calibration_error, 4),
                # no clip, no recall: JSON has no NaN
                "recall": {name: None if value != value else value for name, value in recall.items()},
                "confusions": confusion_pairs(metrics, classes, 20),
                "reliability": _bins(metrics.reliability),
            }

        def detection(metrics: DetectionMetrics) -> dict[str, Any]:
            return {
                "macro_f1": round(metrics.macro.f1, 4),
                "micro_f1": round(metrics.micro.f1, 4),
                "micro_precision": round(metrics.micro.precision, 4),
                "micro_recall": round(metrics.micro.recall, 4),
                # of a class that neither occurs nor is heard there is none, as the macro mean has it
                "f1": {
                    name: round(counts.f1, 4) if counts.occurs else None for name, counts in metrics.per_class.items()
                },
            }

        def psds(result: Psds) -> dict[str, Any]:
            per_class = {name: round(value, 4) for name, value in result.per_class.items()}
            return {
                "score": round(result.value, 4),
                "class_mean": round(result.class_mean, 4),
                "step_s": self.detection.step_s,
                "median_s": None if self.detection.step_s else self.detection.median_s,
                "per_class": per_class,
            }

        return {
            "condition": self.condition.name,
            "condition_description": self.condition.description,
            "scenes": clips(self.scenes, self.scene_classes),
            "scene_clips": clips(self.scene_clips, self.scene_classes),
            "esc50": clips(self.esc50, self.esc50_classes),
            "urbansound8k": clips(self.urbansound8k, self.urbansound8k_classes),
            "soundscapes": self.n_soundscapes,
            "segment_based": detection(self.segment),
            "event_based": detection(self.event),
            "psds1": psds(self.psds1),
            "psds2": psds(self.psds2),
            "event_calibration": {
                "scores": self.event_calibration.n_scores,
                "calibration_error": round(self.event_calibration.error, 4),
                "reliability": _bins(self.event_calibration.reliability),
            },
            "noise_alone": {
                "clips": self.noise.n_clips,
                "with_events": round(self.noise.with_events, 4),
                "scene_score": round(self.noise.scene_score, 4),
            },
        }


def confusion_pairs(metrics: ClipMetrics, classes: Sequence[str], n_pairs: int) -> list[tuple[str, str, int]]:
    """The most frequent confusions as (true class, class it was called, clips)."""
    wrong = metrics.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:n_pairs]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [
        (classes[row], classes[column], int(wrong[row, column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if wrong[row, column]
    ]


def _bins(reliability: Sequence[ReliabilityBin]) -> list[dict[str, Any]]:
    return [
        {
            "low": item.low,
            "high": item.high,
            "count": item.n_scores,
            "mean_score": round(item.mean_score, 4) if item.n_scores else None,
            "share_right": round(item.share_right, 4) if item.n_scores else None,
        }
        for item in reliability
    ]
