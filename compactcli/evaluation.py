"""A model meets held-out recordings: what it gets right, with the metric and the data of each figure.

Held out means by source recording, as the recipe says; soundscapes and layered scenes are mixed
from held-out recordings only.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from compactcli.audio import read_audio
from compactcli.bank import LogMelBank, load_bank
from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.config import CalibrationConfig, DetectionConfig
from compactcli.datasets import Recording, read_corpus
from compactcli.detection import detect_events
from compactcli.engine import Engine
from compactcli.errors import ManifestError
from compactcli.metrics.clip import ClipMetrics, clip_metrics
from compactcli.metrics.counts import DetectionMetrics, RecordingEvents
from compactcli.metrics.event import event_metrics
from compactcli.metrics.segment import segment_metrics
from compactcli.mixing import Mixer
from compactcli.recipe import Recipe
from compactcli.scores import FrameScores
from compactcli.soundscapes import Soundscape, WaveformMixer

SCENE_CLIP_S = 10.0
SOUNDSCAPE_S = 10.0
SIMULATED_PER_SCENE = 30
Waveform = npt.NDArray[np.float32]


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


class HeldOut:
    """One side of the split, ready to be listened to.

    Args:
        corpus: Corpus folder.
        recipe: Classes and splits.
        split: ``test`` or ``validation``.
        cache: Folder for cached log-mels.
        loading: Called with recordings loaded and in all.

    Raises:
        ManifestError: The corpus has no recordings on this side.
    """

    def __init__(
        self,
        corpus: Path,
        recipe: Recipe,
        *,
        split: str,
        cache: Path,
        loading: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.corpus, self.recipe, self.split = corpus, recipe, split
        self.recordings = [item for item in read_corpus(corpus, recipe) if item.split == split]
        if not self.recordings:
            raise ManifestError(f"corpus '{corpus}' has no {split} recordings under recipe '{recipe.name}'")
        long_clips = dataclasses.replace(recipe, mix=dataclasses.replace(recipe.mix, clip_s=SOUNDSCAPE_S))
        self.bank: LogMelBank = load_bank(corpus, self.recordings, recipe, cache=cache, progress=loading)
        no_curves = np.zeros((0, recipe.features.n_mels), dtype=np.float32)
        mixer = Mixer(self.bank, long_clips, split=split, curves=no_curves, device=torch.device("cpu"), augment=False)
        self.mixer = WaveformMixer(mixer, corpus)

    def waveform(self, recording: Recording) -> Waveform:
        """Samples of a recording."""
        return read_audio(self.corpus / recording.path, sample_rate=self.recipe.features.sample_rate)

    def scene_clips(self) -> Iterator[tuple[str, Waveform]]:
        """Scene and waveform of every recording that is a scene, long ones in clips, then simulated scenes."""
        length = round(SCENE_CLIP_S * self.recipe.features.sample_rate)
        for recording in self.recordings:
            if recording.scene is None:
                continue
            waveform = self.waveform(recording)
            n_clips = max(1, len(waveform) // length)
            for piece in range(n_clips):
                yield recording.scene, waveform[piece * length : (piece + 1) * length] if n_clips > 1 else waveform
        rng = np.random.default_rng([self.recipe.seed, 1])
        for name, scene in self.recipe.scenes.items():
            if scene.layers:
                for clip in self.mixer.scenes(rng, name, SIMULATED_PER_SCENE):
                    yield name, clip.waveform

    def soundscapes(self, n_clips: int) -> Iterator[Soundscape]:
        """The same soundscapes at every call."""
        return self.mixer.soundscapes(np.random.default_rng([self.recipe.seed, 2]), n_clips)


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
    shifted = calibration.event_scale * logits.astype(np.float64)
    if calibration.event_bias:
        shifted = shifted + np.asarray(calibration.event_bias)
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
