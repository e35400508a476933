"""How weights follow a loss, the same in every training: AdamW, its schedule, its precision and its clipped steps."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from compactcli.recipe import OptimisationConfig

# norm of all gradients together that a step may have
MAX_GRADIENT = 5.0
# names, or their beginnings, of CPU instruction sets whose kernels for bfloat16 are not slower than those for float32
BFLOAT16_CPUS = ("AVX512", "SVE")


def make_optimiser(modules: Sequence[nn.Module], options: OptimisationConfig) -> torch.optim.AdamW:
    """AdamW that draws matrices and kernels towards zero, and leaves biases and normalisation alone."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.AdamW(
        [
            {"params": [item for item in parameters if item.ndim > 1], "weight_decay": options.weight_decay},
            {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=options.learning_rate,
    )


def learning_rate(step: int, options: OptimisationConfig) -> float:
    """Linear warm-up, then a cosine from the peak down to 1 % of it."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def take_step(optimiser: torch.optim.Optimizer, loss: torch.Tensor, *, step: int, options: OptimisationConfig) -> None:
    """Change the weights against the gradient of a scalar loss, at the rate that the schedule has for ``step``."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([item for group in optimiser.param_groups for item in group["params"]], MAX_GRADIENT)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, options)
    optimiser.step()


def precision(device: torch.device, options: OptimisationConfig) -> torch.autocast:
    """Context in which the backbone computes: mixed with bfloat16 where the options say so and the device can.

    A CPU that has to emulate bfloat16 computes a training step 15 times as slowly as in float32, measured on an
    AVX2 machine, so it stays with float32.
    """
    able = device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith(BFLOAT16_CPUS)
    return torch.autocast(device.type, torch.bfloat16, enabled=able and options.precision == "bf16")
