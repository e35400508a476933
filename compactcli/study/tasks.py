"""What a network of the interchannel study learns: the protocol of a task, and the one loop that trains them all."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from compactcli.config import FeatureConfig
from compactcli.descent import make_optimiser, take_step
from compactcli.model import CompactNet
from compactcli.recipe import OptimisationConfig
from compactcli.study.variants import Shape, Variant, widths


@dataclass(frozen=True, kw_only=True)
class TaskDesign:
    """The numbers behind a task.

    Args:
        name: Stable word for results.
        title: What is learned, for people.
        metric: What the score is, in [0, 1].
        clip_s: Length of the clip that latency is measured with, in seconds.
        clip_name: What that clip is, for people.
        features: Frames of the input; their clock says how many a second has.
        shape: Network.
        optimisation: Schedule and batch size; loss weights do not count here.
    """

    name: str
    title: str
    metric: str
    clip_s: float
    clip_name: str
    features: FeatureConfig
    shape: Shape
    optimisation: OptimisationConfig

    @property
    def settings(self) -> str:
        """What a run's result depends on besides its variant and seed: runs with other words are not comparable."""
        options, network = self.optimisation, self.shape.network
        schedule = f"{options.steps} steps of {options.batch_size}, learning rate {options.learning_rate:g}"
        frames = f"{self.features.n_mels} bands, {self.features.hop_length} samples a frame"
        return f"{schedule}; {frames}; widths {' '.join(map(str, widths(network)))}"


class Task(Protocol):
    """Data, loss and score of one task."""

    @property
    def design(self) -> TaskDesign:
        """The numbers behind it."""

    def loss(self, network: CompactNet, rng: np.random.Generator) -> torch.Tensor:
        """Loss on a fresh batch of training clips."""

    def score(self, network: CompactNet) -> float:
        """The metric on held-out clips; the network is in evaluation mode."""


def fit(task: Task, variant: Variant, seed: int, *, device: torch.device) -> CompactNet:
    """Train one network, the same way for every task and variant.

    Args:
        task: What to learn.
        variant: Which network.
        seed: Of the weights and of the training clips: variants with one seed see the same clips.
        device: Where to train.

    Returns:
        The trained network, in evaluation mode.
    """
    options = task.design.optimisation
    torch.manual_seed(seed)
    network = task.design.shape.build(variant).to(device).train()
    optimiser = make_optimiser([network], options)
    for step in range(options.steps):
        loss = task.loss(network, np.random.default_rng([seed, step]))
        take_step(optimiser, loss, step=step, options=options)
    return network.eval()
