"""A model meets held-out recordings: what it gets right, with the metric and the data of each figure.

Held out means by source recording, as the recipe says; soundscapes and layered scenes are mixed
from held-out recordings only. A condition changes each waveform after it was read or mixed, before it is heard.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from compactcli.audio import Waveform
from compactcli.calibration import calibrated_logits, event_probabilities, scene_probabilities
from compactcli.conditions import CLEAN, Condition
from compactcli.config import CalibrationConfig, DetectionConfig, ModelConfig
from compactcli.detection import detect_events
from compactcli.engine import Engine
from compactcli.events import Event, events_to_roll
from compactcli.figures import Evaluation, EventCalibration, NoiseAnswers
from compactcli.heldout import HeldOut, SceneRecording
from compactcli.metrics.clip import ClipMetrics, clip_metrics
from compactcli.metrics.counts import RecordingEvents
from compactcli.metrics.event import event_metrics
from compactcli.metrics.intersections import RecordingScores
from compactcli.metrics.psds import PSDS1, PSDS2, psds
from compactcli.metrics.reliability import expected_calibration_error, reliability
from compactcli.metrics.segment import segment_metrics
from compactcli.scores import FrameScores
from compactcli.smoothing import smooth_scores
from compactcli.soundscapes import Soundscape

# far below a sample
TOLERANCE_S = 1e-9


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
class HeardSoundscape:
    """Event probabilities of one soundscape, and its truth.

    Args:
        scores: Calibrated frame probabilities.
        reference: Reference events.
        unsure: Event classes that may sound without being listed.
    """

    scores: FrameScores
    reference: tuple[Event, ...]
    unsure: frozenset[str]


# a waveform as it was read or mixed becomes logits; the condition comes in between
Ear = Callable[[Waveform], Heard]


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
    listen: Ear, config: ModelConfig, held_out: HeldOut, folder: str, report: Callable[[], None]
) -> tuple[ClipMetrics | None, tuple[str, ...]]:
    """Top-1 of a folder's clips by the event head, among the classes that its clips have; None where it has none."""
    items = [item for item in held_out.recordings if item.folder == folder and item.event is not None]
    names = {item.event for item in items}
    classes = tuple(name for name in config.events if name in names)
    columns = [config.events.index(name) for name in classes]
    probabilities, truth = [], []
    for item in items:
        pooled = tag_scores(listen(held_out.waveform(item)).events, config.calibration)[columns]
        powers = np.exp(pooled - pooled.max())
        probabilities.append(powers / powers.sum())
        truth.append(classes.index(str(item.event)))
        report()
    return clip_metrics(np.array(truth), np.array(probabilities)) if truth else None, classes


def scene_metrics(
    listen: Ear, config: ModelConfig, recordings: Iterable[SceneRecording], report: Callable[[], None]
) -> tuple[ClipMetrics | None, ClipMetrics | None]:
    """Scene classification: every recording as a whole, as ``classify`` hears it, and every clip of it by itself.

    Returns:
        Metrics over recordings, and over clips; None where there are no recordings.
    """
    whole, clips = _SceneAnswers(), _SceneAnswers()
    for recording in recordings:
        truth = config.scenes.index(recording.scene)
        answer = scene_probabilities(listen(recording.waveform).scenes, config.calibration)
        report()
        whole.add(truth, answer)
        if len(recording.clips) == 1:
            clips.add(truth, answer)
            continue
        for clip in recording.clips:
            clips.add(truth, scene_probabilities(listen(clip).scenes, config.calibration))
            report()
    return whole.metrics(), clips.metrics()


@dataclass
class _SceneAnswers:
    truth: list[int] = field(default_factory=list)
    probabilities: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, truth: int, probabilities: npt.NDArray[np.float64]) -> None:
        self.truth.append(truth)
        self.probabilities.append(probabilities)

    def metrics(self) -> ClipMetrics | None:
        return clip_metrics(np.array(self.truth), np.array(self.probabilities)) if self.truth else None


def _event_scores(heard: Heard, config: ModelConfig, *, n_samples: int) -> FrameScores:
    """Calibrated event probabilities of a waveform of so many samples."""
    return FrameScores(
        probabilities=event_probabilities(heard.events, config.calibration),
        edges_s=config.clock.edges_s(n_samples),
        classes=config.events,
    )


def hear_soundscapes(
    listen: Ear, config: ModelConfig, soundscapes: Iterable[Soundscape], report: Callable[[], None]
) -> list[HeardSoundscape]:
    """Calibrated event probabilities of soundscapes; the waveforms are not kept."""
    heard = []
    for soundscape in soundscapes:
        scores = _event_scores(listen(soundscape.waveform), config, n_samples=len(soundscape.waveform))
        heard.append(HeardSoundscape(scores=scores, reference=soundscape.events, unsure=soundscape.unsure))
        report()
    return heard


def detection_pairs(heard: Iterable[HeardSoundscape], detection: DetectionConfig) -> list[RecordingEvents]:
    """Reference and estimated events of soundscapes."""
    return [
        RecordingEvents(
            reference=item.reference,
            estimated=tuple(detect_events(item.scores, detection)),
            duration_s=float(item.scores.edges_s[-1]),
        )
        for item in heard
    ]


def threshold_scores(scores: FrameScores, detection: DetectionConfig) -> FrameScores:
    """Frame scores from which any threshold cuts the events that it gives in a detection.

    Of events at their threshold these are the smoothed scores, without hysteresis. Of events at steps each frame has
    the score of the event that it lies in, and 0 between events. Neither closes gaps or drops short events.
    """
    if not detection.step_s:
        return smooth_scores(scores, detection.median_s)
    everything = replace(detection, threshold=0.0, class_thresholds={}, max_gap_s=0.0, min_duration_s=0.0)
    probabilities = np.zeros_like(scores.probabilities)
    for event in detect_events(scores, everything):
        # frame edges, both; computed in the same way, so that nothing but a last bit is between them
        first, stop = np.searchsorted(scores.edges_s, (event.onset - TOLERANCE_S, event.offset - TOLERANCE_S))
        probabilities[first:stop, scores.classes.index(event.label)] = event.score
    return replace(scores, probabilities=probabilities)


def event_calibration(heard: Sequence[HeardSoundscape]) -> EventCalibration:
    """Calibration of the frame probabilities before any smoothing, over all frames and classes."""
    scores, right = [], []
    for item in heard:
        known = [name not in item.unsure for name in item.scores.classes]
        roll = events_to_roll(item.reference, edges_s=item.scores.edges_s, classes=item.scores.classes)
        scores.append(item.scores.probabilities[:, known].ravel())
        right.append(roll[:, known].ravel())
    all_scores, all_right = np.concatenate(scores), np.concatenate(right)
    return EventCalibration(
        n_scores=len(all_scores),
        error=expected_calibration_error(all_scores, all_right),
        reliability=reliability(all_scores, all_right),
    )


def noise_answers(
    listen: Ear, config: ModelConfig, noises: Iterable[Waveform], report: Callable[[], None]
) -> NoiseAnswers:
    """What a model says of steady noise by itself, at its own thresholds."""
    with_events, scene_scores = [], []
    for waveform in noises:
        heard = listen(waveform)
        scores = _event_scores(heard, config, n_samples=len(waveform))
        with_events.append(bool(detect_events(scores, config.detection)))
        scene_scores.append(scene_probabilities(heard.scenes, config.calibration).max())
        report()
    return NoiseAnswers(
        n_clips=len(with_events), with_events=float(np.mean(with_events)), scene_score=float(np.mean(scene_scores))
    )


def evaluate(
    engine: Engine,
    held_out: HeldOut,
    *,
    n_soundscapes: int = 300,
    condition: Condition = CLEAN,
    report: Callable[[], None] = lambda: None,
) -> Evaluation:
    """All held-out figures of a model.

    Args:
        engine: The model, with its calibration and detection defaults.
        held_out: Test recordings.
        n_soundscapes: Soundscapes of 10 s to mix.
        condition: What happens to every waveform before the model hears it.
        report: Called after every clip.
    """
    config = engine.config

    def listen(waveform: Waveform) -> Heard:
        return hear(engine, condition.apply(waveform))

    heard = hear_soundscapes(listen, config, held_out.soundscapes(n_soundscapes), report)
    pairs = detection_pairs(heard, config.detection)
    at_all_thresholds = [
        RecordingScores(scores=threshold_scores(item.scores, config.detection), reference=item.reference)
        for item in heard
    ]
    esc50, esc50_classes = tagging_metrics(listen, config, held_out, "esc50", report)
    urbansound8k, urbansound8k_classes = tagging_metrics(listen, config, held_out, "urbansound8k", report)
    recordings, clips = scene_metrics(listen, config, held_out.scenes(), report)
    return Evaluation(
        scenes=recordings,
        scene_clips=clips,
        scene_classes=config.scenes,
        esc50=esc50,
        esc50_classes=esc50_classes,
        urbansound8k=urbansound8k,
        urbansound8k_classes=urbansound8k_classes,
        segment=segment_metrics(pairs, config.events),
        event=event_metrics(pairs, config.events),
        psds1=psds(at_all_thresholds, PSDS1),
        psds2=psds(at_all_thresholds, PSDS2),
        event_calibration=event_calibration(heard),
        noise=noise_answers(listen, config, held_out.noises(), report),
        n_soundscapes=n_soundscapes,
        detection=config.detection,
        condition=condition,
    )
