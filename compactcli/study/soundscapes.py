"""Event detection: ten kinds of sound in simulated soundscapes of ten seconds, scored second by second."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from compactcli.config import DetectionConfig
from compactcli.datasets import TEST, TRAIN, Recording
from compactcli.detection import detect_events
from compactcli.features import LogMel
from compactcli.losses import masked_binary_entropy
from compactcli.metrics.counts import RecordingEvents
from compactcli.metrics.segment import segment_metrics
from compactcli.mixing import Mixer
from compactcli.model import CompactNet
from compactcli.plans import Planner
from compactcli.recipe import EventConfig, OptimisationConfig, Recipe
from compactcli.scores import FrameScores
from compactcli.soundscapes import Soundscape, WaveformMixer
from compactcli.study.clips import FEATURES, NETWORK
from compactcli.study.clips import MIX as CLIPS_MIX
from compactcli.study.corpus import esc50_categories, load_study_bank, study_split
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import Shape
from compactcli.timing import FrameClock

CLOCK = FrameClock(sample_rate=FEATURES.sample_rate, frame_length=FEATURES.hop_length * NETWORK.time_stride)
SOUNDSCAPE_S = 10.0
TRAINING_CLIP_S = 5.0
N_SCORED = 200
# one threshold for all classes is chosen on new soundscapes of the recordings that trained
N_FOR_THRESHOLD = 60
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
# of ESC-10's categories; the other ones are cut out where they sound
CONTINUOUS = ("chainsaw", "clock_tick", "crackling_fire", "crying_baby", "helicopter", "rain", "sea_waves")
# ambiences in which none of the ten kinds is to be expected
TRAINING_BEDS = (
    "cafe", "crowded-bar", "busy-street", "highway", "office", "laundry-room", "inside-a-train", "wind-in-trees",
    "waterfall", "ceiling-fan", "birds", "crickets", "brown-noise", "white-noise", "church", "supermarket",
)  # fmt: skip
SCORED_BEDS = ("restaurant", "road", "library", "dryer", "subway-station", "howling-wind", "river", "temple")
# levels, filters and stretch are those of clips
MIX = replace(CLIPS_MIX, event_clips=0.0, soundscapes=1.0, time_mask_s=0.2, band_mask=4)
DESIGN = TaskDesign(
    name="soundscapes",
    title="event detection, simulated soundscapes",
    metric="segment-based macro F1",
    clip_s=SOUNDSCAPE_S,
    clip_name="10 s",
    features=FEATURES,
    shape=Shape(network=NETWORK, n_mels=FEATURES.n_mels, n_events=10, head="event_head"),
    optimisation=OptimisationConfig(steps=400, batch_size=32, learning_rate=4e-3, warmup_steps=40, weight_decay=0.02),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mixed:
    log_mels: torch.Tensor  # (n_soundscapes, n_mels, n_frames)
    truth: tuple[Soundscape, ...]


class Soundscapes:
    """ESC-10's ten categories over ambiences; folds 1 to 3 of ESC-50 train, fold 4 is scored.

    Args:
        corpus: Corpus folder.
        cache: Folder for cached log-mels.
        device: Where tensors are made.
        loading: Called with recordings loaded and in all.

    Raises:
        ManifestError: The corpus' tables do not fit.
    """

    design = DESIGN

    def __init__(self, corpus: Path, *, cache: Path, device: torch.device, loading: Callable[[int, int], None]) -> None:
        self._classes = esc50_categories(corpus, esc10=True)
        recipe = Recipe(
            name="interchannel soundscapes",
            version="1",
            split=study_split(beds=SCORED_BEDS),
            scenes={},
            events=EventConfig(classes=self._classes, identity=("esc50",), continuous=CONTINUOUS),
            mix=MIX,
            features=FEATURES,
        )
        bank = load_study_bank(corpus, recipe, wanted=self._is_wanted, cache=cache, progress=loading)
        planner = Planner(bank, recipe, split=TRAIN, clip_s=TRAINING_CLIP_S, stretch=MIX.stretch)
        self._mixer = Mixer(planner, curves=np.zeros((0, FEATURES.n_mels), np.float32), device=device)
        self._device = device

        def mixed(split: str, n_soundscapes: int) -> _Mixed:
            whole = Planner(bank, recipe, split=split, clip_s=SOUNDSCAPE_S)
            return _listen(WaveformMixer(whole, corpus).soundscapes(np.random.default_rng(1), n_soundscapes), device)

        self._for_threshold, self._scored = mixed(TRAIN, N_FOR_THRESHOLD), mixed(TEST, N_SCORED)

    def _is_wanted(self, item: Recording) -> bool:
        if item.folder == "ambience":
            return item.label in (*TRAINING_BEDS, *SCORED_BEDS)
        return item.event is not None

    def loss(self, network: CompactNet, rng: np.random.Generator) -> torch.Tensor:
        """Binary cross-entropy of the frames whose state is known."""
        batch = self._mixer.batch(rng, self.design.optimisation.batch_size)
        _, events = network(batch.log_mel)
        return masked_binary_entropy(events, batch.frames, batch.known)

    def score(self, network: CompactNet) -> float:
        """Segment-based macro F1 (1 s) at the threshold that is best for soundscapes of the training recordings."""
        heard = self._probabilities(network, self._for_threshold)
        found = {threshold: self._f1(heard, self._for_threshold, threshold) for threshold in THRESHOLDS}
        return self._f1(self._probabilities(network, self._scored), self._scored, max(found, key=lambda t: found[t]))

    @torch.inference_mode()
    def _probabilities(self, network: CompactNet, mixed: _Mixed) -> npt.NDArray[np.float64]:
        parts = [network(part)[1].sigmoid().cpu() for part in mixed.log_mels.split(32)]
        return torch.cat(parts).double().numpy()

    def _f1(self, probabilities: npt.NDArray[np.float64], mixed: _Mixed, threshold: float) -> float:
        detection = DetectionConfig(threshold=threshold)
        pairs = [
            RecordingEvents(
                reference=soundscape.events,
                estimated=detect_events(
                    FrameScores(
                        probabilities=scores, edges_s=CLOCK.edges_s(len(soundscape.waveform)), classes=self._classes
                    ),
                    detection,
                ),
                duration_s=len(soundscape.waveform) / FEATURES.sample_rate,
            )
            for scores, soundscape in zip(probabilities, mixed.truth, strict=True)
        ]
        return segment_metrics(pairs, self._classes).macro.f1


@torch.inference_mode()
def _listen(soundscapes: Iterable[Soundscape], device: torch.device) -> _Mixed:
    log_mel = LogMel(FEATURES)
    truth = tuple(soundscapes)
    log_mels = torch.cat([log_mel(torch.from_numpy(item.waveform)[None]) for item in truth])
    return _Mixed(log_mels=log_mels.to(device), truth=truth)
