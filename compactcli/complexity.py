"""Parameters and multiply-accumulates of a network, layer by layer."""

from dataclasses import dataclass

import torch
from torch import nn

from compactcli.config import FeatureConfig
from compactcli.model import CompactNet


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """Cost of one layer.

    Args:
        name: Module path inside the network.
        kind: ``depth-wise``, ``1x1``, ``convolution`` or ``normalisation``.
        parameters: Trainable numbers.
        macs_per_s: Multiply-accumulates per second of audio; normalisation, which can fold into
            the convolution beside it, counts 0.
    """

    name: str
    kind: str
    parameters: int
    macs_per_s: int


def layer_costs(network: CompactNet, features: FeatureConfig) -> list[LayerCost]:
    """Cost of every layer with parameters, in the order of the forward pass.

    A convolution costs its kernel's weights once per output position, whatever the padding; biases
    are parameters but no multiply-accumulates. The interchannel operation has no parameters and no
    multiply-accumulates: ``H' W' (C / g) (g - 1)`` comparisons or additions, not counted here.

    Args:
        network: Any device; its mode is kept.
        features: To know how many log-mel frames a second has.
    """
    costs: list[LayerCost] = []
    seconds = 10
    hooks = []

    def record(name: str, module: nn.Module, output: torch.Tensor) -> None:
        parameters = sum(item.numel() for item in module.parameters())
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            positions = output[0, 0].numel()
            depthwise = module.groups == module.in_channels and module.groups > 1
            pointwise = all(side == 1 for side in module.kernel_size)
            kind = "depth-wise" if depthwise else "1x1" if pointwise else "convolution"
            macs = positions * module.weight.numel() // seconds
        else:
            kind, macs = "normalisation", 0
        costs.append(LayerCost(name=name, kind=kind, parameters=parameters, macs_per_s=macs))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.modules.batchnorm._BatchNorm):
            hooks.append(module.register_forward_hook(lambda m, _, output, name=name: record(name, m, output)))
    was_training = network.training
    device = next(network.parameters()).device
    n_frames = round(features.clock.frame_rate * seconds)
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, features.n_mels, n_frames, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return costs
