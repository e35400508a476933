"""A model meets held-out recordings: what it gets right, with the metric and the data of each figure.

Held out means by source recording, as the recipe says; soundscapes and layered scenes are mixed
from held-out recordings only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compactcli.audio import Waveform
from compactcli.calibration import calibrated_logits, event_probabilities, scene_probabilities
from compactcli.config import CalibrationConfig, DetectionConfig
from compactcli.detection import detect_events
from compactcli.engine import Engine
from compactcli.heldout import SOUNDSCAPE_S, HeldOut
from compactcli.metrics.clip import ClipMetrics, clip_metrics
from compactcli.metrics.counts import DetectionMetrics, RecordingEvents
from compactcli.metrics.event import event_metrics
from compactcli.metrics.segment import segment_metrics
from compactcli.scores import FrameScores
from compactcli.soundscapes import Soundscape


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """Logits of one recording.

    Args:
        scenes: Mean scene logits, shape ``(n_scenes,)``.
        events: Event logits, shape ``(n_frames, n_events)``.
    """

    scenes: npt.NDArray[np.float64]
    events: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Held-out figures.

    Args:
        scenes: Over recordings (long ones in clips of 10 s) and simulated scenes.
        scene_classes: Order of the scenes.
        esc50: Top-1 of ESC-50's test fold by the event head, among its categories.
        esc50_classes: Their order.
        urbansound8k: Top-1 of UrbanSound8K's test fold by the event head, among its classes.
        urbansound8k_classes: Their order.
        segment: Segment-based (1 s) scores on soundscapes.
        event: Event-based scores on the same soundscapes.
        n_soundscapes: Number of soundscapes.
    """

    scenes: ClipMetrics
    scene_classes: tuple[str, ...]
    esc50: ClipMetrics
    esc50_classes: tuple[str, ...]
    urbansound8k: ClipMetrics
    urbansound8k_classes: tuple[str, ...]
    segment: DetectionMetrics
    event: DetectionMetrics
    n_soundscapes: int

    def summary(self) -> list[tuple[str, str, str]]:
        """Figures for people as (what, value, over what)."""

        def percent(value: float) -> str:
            return f"{100 * value:.1f} %"

        soundscapes = f"{self.n_soundscapes} soundscapes of {SOUNDSCAPE_S:g} s"
        return [
            ("scenes, macro accuracy", percent(self.scenes.macro_accuracy), f"{self.scenes.n_clips} clips"),
            ("scenes, accuracy", percent(self.scenes.accuracy), f"{self.scenes.n_clips} clips"),
            ("scenes, calibration error", f"{self.scenes.calibration_error:.3f}", f"{self.scenes.n_clips} clips"),
            ("ESC-50 test fold, top-1", percent(self.esc50.accuracy), f"{self.esc50.n_clips} clips"),
            (
                "UrbanSound8K test fold, top-1",
                percent(self.urbansound8k.accuracy),
                f"{self.urbansound8k.n_clips} clips",
            ),
            ("segment-based (1 s) macro F1", f"{self.segment.macro.f1:.3f}", soundscapes),
            ("segment-based (1 s) micro F1", f"{self.segment.micro.f1:.3f}", soundscapes),
            ("event-based (200 ms) macro F1", f"{self.event.macro.f1:.3f}", soundscapes),
            ("event-based (200 ms) micro F1", f"{self.event.micro.f1:.3f}", soundscapes),
        ]

    def scene_confusions(self, n_pairs: int) -> list[tuple[str, str, int]]:
        """The most frequent confusions as (true scene, scene it was called, clips)."""
        return confusion_pairs(self.scenes, self.scene_classes, n_pairs)

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain JSON values, per class too."""

        def clips(metrics: ClipMetrics, classes: Sequence[str]) -> dict[str, Any]:
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
            }

        def detection(metrics: DetectionMetrics) -> dict[str, Any]:
            return {
                "macro_f1": round(metrics.macro.f1, 4),
                "micro_f1": round(metrics.micro.f1, 4),
                "micro_precision": round(metrics.micro.precision, 4),
                "micro_recall": round(metrics.micro.recall, 4),
                "f1": {name: round(counts.f1, 4) for name, counts in metrics.per_class.items()},
            }

        return {
            "scenes": clips(self.scenes, self.scene_classes),
            "esc50": clips(self.esc50, self.esc50_classes),
            "urbansound8k": clips(self.urbansound8k, self.urbansound8k_classes),
            "soundscapes": self.n_soundscapes,
            "segment_based": detection(self.segment),
            "event_based": detection(self.event),
        }


def hear(engine: Engine, waveform: Waveform) -> Heard:
    """Run a model over one waveform at its own sample rate."""
    chunks = list(engine.stream([waveform]))
    scenes = np.concatenate([chunk.scenes for chunk in chunks])
    return Heard(scenes=scenes.mean(axis=0, dtype=np.float64), events=np.concatenate([c.events for c in chunks]))


def tag_scores(logits: npt.NDArray[np.float32], calibration: CalibrationConfig) -> npt.NDArray[np.float64]:
    """Clip scores of events: log of the mean over time of the odds that the frame probabilities stand for.

    Returns:
        Shape ``(n_events,)``; only their order and differences mean something.
    """
    shifted = calibrated_logits(logits.astype(np.float64), calibration)
    peak = shifted.max(axis=0)
    pooled: npt.NDArray[np.float64] = peak + np.log(np.exp(shifted - peak).mean(axis=0))
    return pooled


def tagging_metrics(
    engine: Engine, held_out: HeldOut, folder: str, report: Callable[[], None]
) -> tuple[ClipMetrics, tuple[str, ...]]:
    """Top-1 of a folder's clips by the event head, among the classes that its clips have."""
    items = [item for item in held_out.recordings if item.folder == folder and item.event is not None]
    names = {item.event for item in items}
    classes = tuple(name for name in engine.config.events if name in names)
    columns = [engine.config.events.index(name) for name in classes]
    probabilities, truth = [], []
    for item in items:
        pooled = tag_scores(hear(engine, held_out.waveform(item)).events, engine.config.calibration)[columns]
        powers = np.exp(pooled - pooled.max())
        probabilities.append(powers / powers.sum())
        truth.append(classes.index(str(item.event)))
        report()
    return clip_metrics(np.array(truth), np.array(probabilities)), classes


def scene_metrics(engine: Engine, clips: Iterable[tuple[str, Waveform]], report: Callable[[], None]) -> ClipMetrics:
    """Scene classification of labelled waveforms."""
    probabilities, truth = [], []
    for scene, waveform in clips:
        probabilities.append(scene_probabilities(hear(engine, waveform).scenes, engine.config.calibration))
        truth.append(engine.config.scenes.index(scene))
        report()
    return clip_metrics(np.array(truth), np.array(probabilities))


def detection_pairs(
    engine: Engine,
    soundscapes: Iterable[Soundscape],
    detection: DetectionConfig,
    report: Callable[[], None],
) -> list[RecordingEvents]:
    """Reference and estimated events of soundscapes."""
    pairs = []
    for soundscape in soundscapes:
        scores = FrameScores(
            probabilities=event_probabilities(hear(engine, soundscape.waveform).events, engine.config.calibration),
            edges_s=engine.config.clock.edges_s(len(soundscape.waveform)),
            classes=engine.config.events,
        )
        pairs.append(
            RecordingEvents(
                reference=soundscape.events,
                estimated=tuple(detect_events(scores, detection)),
                duration_s=len(soundscape.waveform) / engine.config.features.sample_rate,
            )
        )
        report()
    return pairs


def evaluate(
    engine: Engine, held_out: HeldOut, *, n_soundscapes: int = 300, report: Callable[[], None] = lambda: None
) -> Evaluation:
    """All held-out figures of a model.

    Args:
        engine: The model, with its calibration and detection defaults.
        held_out: Test recordings.
        n_soundscapes: Soundscapes of 10 s to mix.
        report: Called after every clip.
    """
    config = engine.config
    pairs = detection_pairs(engine, held_out.soundscapes(n_soundscapes), config.detection, report)
    esc50, esc50_classes = tagging_metrics(engine, held_out, "esc50", report)
    urbansound8k, urbansound8k_classes = tagging_metrics(engine, held_out, "urbansound8k", report)
    return Evaluation(
        scenes=scene_metrics(engine, held_out.scene_clips(), report),
        scene_classes=config.scenes,
        esc50=esc50,
        esc50_classes=esc50_classes,
        urbansound8k=urbansound8k,
        urbansound8k_classes=urbansound8k_classes,
        segment=segment_metrics(pairs, config.events),
        event=event_metrics(pairs, config.events),
        n_soundscapes=n_soundscapes,
    )


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
