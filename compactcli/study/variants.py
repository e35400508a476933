"""What the interchannel study compares: operations and group sizes, at equal width and at equal parameters."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import torch

from compactcli.config import NetworkConfig
from compactcli.model import CompactNet

# the median of two channels is their mean: it is a row of its own for larger groups only
COMPARED = {2: ("max", "min", "mean", "l2", "lse"), 4: ("max", "min", "mean", "median", "l2", "lse")}
WIDTH, PARAMETERS = "width", "parameters"
# widths have to be divisible by every group size
WIDTH_STEP = 4
WIDEST = 3.0


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the table.

    Args:
        group_size: Adjacent channels joined by one operation; 1 is the depth-wise separable convolution.
        operation: Interchannel operation; of no effect with a group size of 1.
        matched: What it shares with the baseline: ``width`` (it has fewer parameters then) or ``parameters`` (it is
            wider then).
    """

    group_size: int
    operation: str
    matched: str

    @property
    def label(self) -> str:
        """Name for tables and pictures."""
        return "separable" if self.group_size == 1 else f"{self.operation}, g = {self.group_size}"


BASELINE = Variant(group_size=1, operation="max", matched=WIDTH)


def variants() -> tuple[Variant, ...]:
    """All rows: the baseline, then every operation and group size at equal width, then at equal parameters."""
    others = [
        Variant(group_size=size, operation=operation, matched=matched)
        for matched in (WIDTH, PARAMETERS)
        for size, operations in COMPARED.items()
        for operation in operations
    ]
    return (BASELINE, *others)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a task's network is, apart from the interchannel operation.

    Args:
        network: The baseline, of group size 1; all widths are multiples of 4.
        n_mels: Rows that enter.
        n_scenes: Outputs of the head that judges a whole clip.
        n_events: Outputs of the head that judges every frame.
        head: Head that the task uses, ``scene_head`` or ``event_head``; the other one learns nothing.
    """

    network: NetworkConfig
    n_mels: int
    n_scenes: int = 1
    n_events: int = 1
    head: str

    def build(self, variant: Variant) -> CompactNet:
        """A variant's network with fresh weights."""
        return self._build(variant_config(self, variant))

    def n_parameters(self, config: NetworkConfig) -> int:
        """Trainable numbers without those of the head that the task does not use."""
        with torch.device("meta"):
            network = self._build(config)
        return sum(item.numel() for name, item in network.named_parameters() if self.counts(name))

    def counts(self, name: str) -> bool:
        """Whether a layer or parameter is one that the task uses."""
        return name.startswith(self.head) or not name.startswith(("scene_head", "event_head"))

    def _build(self, config: NetworkConfig) -> CompactNet:
        return CompactNet(config, n_mels=self.n_mels, n_scenes=self.n_scenes, n_events=self.n_events)


@lru_cache(maxsize=256)
def variant_config(shape: Shape, variant: Variant) -> NetworkConfig:
    """Network settings of a variant: the baseline's widths, or the widths whose parameters are nearest to its."""
    config = dataclasses.replace(shape.network, operation=variant.operation, group_size=variant.group_size)
    if variant.matched == WIDTH:
        return config
    target = shape.n_parameters(dataclasses.replace(shape.network, group_size=1))
    # neighbouring factors often round to the same widths; the first of those that come nearest is taken
    factors = [1 + hundredth / 100 for hundredth in range(round(100 * (WIDEST - 1)) + 1)]
    candidates = dict.fromkeys(widened(config, factor) for factor in factors)
    return min(candidates, key=lambda candidate: abs(shape.n_parameters(candidate) - target))


def widened(config: NetworkConfig, factor: float) -> NetworkConfig:
    """All widths times ``factor``, to the nearest multiple of 4."""

    def width(channels: int) -> int:
        return max(WIDTH_STEP, WIDTH_STEP * round(factor * channels / WIDTH_STEP))

    return dataclasses.replace(
        config,
        stem_channels=width(config.stem_channels),
        stages=tuple(dataclasses.replace(stage, channels=width(stage.channels)) for stage in config.stages),
        context=tuple(dataclasses.replace(stage, channels=width(stage.channels)) for stage in config.context),
    )


def widths(config: NetworkConfig) -> tuple[int, ...]:
    """Channels after the stem and after every stage."""
    return (config.stem_channels, *(stage.channels for stage in (*config.stages, *config.context)))
