"""Training that begins with another model's weights, and may end between those and its own."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from compactcli.checkpoint import load_network
from compactcli.descent import precision
from compactcli.errors import ConfigError
from compactcli.mixing import Mixer
from compactcli.model import CompactBlock, CompactNet
from compactcli.recipe import Recipe

# batches over which an averaged network's normalisation is measured
AVERAGING_BATCHES = 40


def copy_weights(start: Path, network: CompactNet, recipe: Recipe) -> None:
    """Give a network the weights of a trained one that is the same, or lacks residual blocks at its ends.

    Args:
        start: Model folder.
        network: Changed in place; a block that the model lacks begins as the identity.
        recipe: Whose features and classes the model has to have.

    Raises:
        ConfigError: The model's network, features or classes are others.
        ModelError: The model cannot be loaded.
    """
    config, trained = load_network(start)
    same_data = (config.features, config.scenes, config.events) == (
        recipe.features,
        tuple(recipe.scenes),
        recipe.events.classes,
    )
    if not same_data or not _begins_like(network, trained):
        raise ConfigError(
            f"model '{start}' has another network, other features or other classes than recipe '{recipe.name}'",
            hint="start from a model with the same [features], scenes and events, and the same [network] or one"
            " that lacks only residual blocks at its end or at the end of its last stage",
        )
    missing = network.load_state_dict(trained.state_dict(), strict=False).missing_keys
    for name, block in network.named_modules():
        # a block that the model lacks begins as the identity: what it adds to its residual is 0
        if isinstance(block, CompactBlock) and f"{name}.norm.weight" in missing:
            nn.init.zeros_(block.norm.weight)


def _begins_like(network: CompactNet, trained: CompactNet) -> bool:
    own, other = network.config, trained.config
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    added = [*list(network.stages)[len(trained.stages) :], *list(network.context)[len(trained.context) :]]
    return (
        dataclasses.replace(own, stages=other.stages, context=other.context) == other
        and all(shapes.get(name) == tensor.shape for name, tensor in trained.state_dict().items())
        # widths alone do not say at which block the frequency axis is halved
        and all(a.halve == b.halve for a, b in zip(network.stages, trained.stages, strict=False))
        and all(block.residual and not block.halve for block in added)
    )


def average_weights(network: CompactNet, start: Mapping[str, torch.Tensor], mixer: Mixer, recipe: Recipe) -> None:
    """Draw trained weights back towards those that training started from, and measure the normalisation anew.

    Args:
        network: The trained network; changed in place.
        start: Its state when training started.
        mixer: Training clips, for the means and variances of the normalisation.
        recipe: With ``optimisation.start_share``.

    Source:
        Weight-space ensembles, Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, eq. 1; the
        statistics of batch normalisation do not average, hence the second pass.
    """
    share = recipe.optimisation.start_share
    trained = network.state_dict()
    network.load_state_dict(
        {
            name: share * start[name].to(tensor.device) + (1 - share) * tensor if tensor.is_floating_point() else tensor
            for name, tensor in trained.items()
        }
    )
    norms = [module for module in network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms:
        norm.reset_running_stats()
    momenta = [norm.momentum for norm in norms]
    network.train()
    for norm in norms:
        norm.momentum = None  # the mean over all batches
    for number in range(AVERAGING_BATCHES):
        rng = np.random.default_rng([recipe.seed, recipe.optimisation.steps + number])
        batch = mixer.batch(rng, recipe.optimisation.batch_size)
        with torch.no_grad(), precision(mixer.device, recipe.optimisation):
            network.embed(batch.log_mel)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
