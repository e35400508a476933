"""Clip classification: which of ESC-50's fifty categories a recording of five seconds is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from compactcli.config import FeatureConfig, NetworkConfig, StageConfig
from compactcli.datasets import TEST, TRAIN
from compactcli.losses import pool_tags, share_entropy
from compactcli.mixing import Mixer
from compactcli.model import CompactNet
from compactcli.plans import Plan, Planner
from compactcli.recipe import EventConfig, MixConfig, OptimisationConfig, Recipe
from compactcli.study.corpus import esc50_categories, load_study_bank, study_split
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import Shape

# half the released model's frames and half its bands, so that a training costs a quarter
FEATURES = FeatureConfig(hop_length=640, n_mels=32)
NETWORK = NetworkConfig(
    stem_channels=16,
    stem_kernel_size=(3, 3),
    stages=(
        StageConfig(channels=32, n_blocks=1),
        StageConfig(channels=64, n_blocks=1),
        StageConfig(channels=96, n_blocks=1),
    ),
    context=(StageConfig(channels=96, n_blocks=1, kernel_size=(1, 9)),),
    group_size=1,
)
# single recordings, mildly changed: a short training has no use for clips that are hard
MIX = MixConfig(
    event_clips=1.0,
    scene_clips=0.0,
    soundscapes=0.0,
    simulated_scenes=0.0,
    mixup_probability=0.0,
    gain_db=(-10.0, 10.0),
    filter_db=4.0,
    response_probability=0.0,
    lowpass_probability=0.0,
    noise_probability=0.0,
    stretch=1.1,
    shift_bands=1,
    time_mask_s=0.4,
    band_mask=6,
)
DESIGN = TaskDesign(
    name="clips",
    title="clip classification, ESC-50",
    metric="accuracy",
    clip_s=5.0,
    clip_name="5 s",
    features=FEATURES,
    shape=Shape(network=NETWORK, n_mels=FEATURES.n_mels, n_events=50, head="event_head"),
    optimisation=OptimisationConfig(steps=600, batch_size=32, learning_rate=4e-3, warmup_steps=40, weight_decay=0.02),
)


class Clips:
    """ESC-50's folds 1 to 3 train, fold 4 tests.

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
        categories = esc50_categories(corpus)
        recipe = Recipe(
            name="interchannel clips",
            version="1",
            split=study_split(),
            scenes={},
            events=EventConfig(classes=categories, identity=("esc50",)),
            mix=MIX,
            features=FEATURES,
        )
        bank = load_study_bank(
            corpus, recipe, wanted=lambda item: item.folder == "esc50", cache=cache, progress=loading
        )
        planner = Planner(bank, recipe, split=TRAIN, clip_s=self.design.clip_s, stretch=MIX.stretch)
        self._mixer = Mixer(planner, curves=np.zeros((0, FEATURES.n_mels), np.float32), device=device)
        plain = Mixer(Planner(bank, recipe, split=TEST, clip_s=self.design.clip_s), curves=None, device=device)
        scored = [index for index, item in enumerate(bank.recordings) if item.split == TEST]
        rng = np.random.default_rng(0)
        plans = [Plan(parts=(plain.planner.place(rng, index, 0.0),), kind="clip") for index in scored]
        self._log_mels = plain.render(plans, rng).log_mel
        names = [str(bank.recordings[index].event) for index in scored]
        self._labels = torch.tensor([categories.index(name) for name in names], device=device)

    def loss(self, network: CompactNet, rng: np.random.Generator) -> torch.Tensor:
        """Cross-entropy of the clip's category, from frame logits pooled as the released model's are."""
        batch = self._mixer.batch(rng, self.design.optimisation.batch_size)
        _, events = network(batch.log_mel)
        return share_entropy(pool_tags(events), batch.tags)

    @torch.inference_mode()
    def score(self, network: CompactNet) -> float:
        """Share of fold 4's clips that are put into the right category."""
        logits = torch.cat([pool_tags(network(part)[1]) for part in self._log_mels.split(64)])
        return float((logits.argmax(dim=1) == self._labels).float().mean())
