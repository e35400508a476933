"""CompactNet: log-mel to frame logits, built of compact convolutions.

A compact convolution is a depth-wise convolution, a parameter-free operation across adjacent
channels and a 1x1 convolution, in this order.

Source:
    Liang, Zhang, Feng, "Channel Compression: Rethinking Information Redundancy Among Channels in
    CNN Architecture", IEEE Access 8, 2020, arXiv 2007.01696: the order of the three parts and the
    squeezing of adjacent, non-overlapping channel groups without parameters. Ours: everything else,
    that is the choice of operations, normalisation, residuals, the network's shape and its heads.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from compactcli.config import NetworkConfig, StageConfig
from compactcli.errors import ConfigError


class _PairMax(torch.autograd.Function):
    """Maximum of neighbouring channels; where both are equal, the gradient goes to the first.

    Strided views and one saved mask: several times as fast on a CPU, forward and backward, as
    pooling over channels or a reduction over a reshaped view. Gradients keep channels innermost.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        first, second = x[:, 0::2], x[:, 1::2]
        ctx.save_for_backward(first >= second)
        return torch.maximum(first, second)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (gradient,) = gradients
        (takes_first,) = ctx.saved_tensors
        batch, channels, *sides = gradient.shape
        shape = (batch, 2 * channels, *sides)
        pairs = torch.empty(shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)
        first, second = pairs[:, 0::2], pairs[:, 1::2]
        torch.mul(gradient, takes_first, out=first)
        torch.sub(gradient, first, out=second)
        return pairs


class _PackedPairMax(torch.autograd.Function):
    """`_PairMax` for bfloat16 on a CPU: numbers and gradients are the same, a third of the time.

    Two bfloat16 channels are one 32-bit word, the first its low half, and the upper half of a float32 is a bfloat16:
    a shift and a mask take a pair apart and a shift puts its gradient back, all at consecutive addresses.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        batch, channels, *sides = x.shape
        pairs = x.permute(0, 2, 3, 1).reshape(-1, channels).view(torch.int32)
        first = pairs.bitwise_left_shift(16).view(torch.float32)
        second = pairs.bitwise_and(-1 << 16).view(torch.float32)
        ctx.save_for_backward(first < second)
        return torch.maximum(first, second).bfloat16().view(batch, *sides, channels // 2).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (gradient,) = gradients
        (takes_second,) = ctx.saved_tensors
        batch, channels, *sides = gradient.shape
        bits = gradient.permute(0, 2, 3, 1).reshape(-1, channels).view(torch.int16).int().bitwise_and_((1 << 16) - 1)
        pairs = bits.bitwise_left_shift_(takes_second.int().bitwise_left_shift_(4))
        return pairs.view(torch.bfloat16).view(batch, *sides, 2 * channels).permute(0, 3, 1, 2)


def _max(x: torch.Tensor, group_size: int) -> torch.Tensor:
    # the plain expression is what exporters and tracers understand; all give the same numbers
    if group_size == 2 and x.requires_grad and torch.is_grad_enabled():
        packed = x.dtype == torch.bfloat16 and x.device.type == "cpu" and sys.byteorder == "little"
        output: torch.Tensor = (_PackedPairMax if packed else _PairMax).apply(x)
        return output
    return _groups(x, group_size).amax(dim=2)


def _groups(x: torch.Tensor, group_size: int) -> torch.Tensor:
    return x.reshape(x.shape[0], -1, group_size, *x.shape[2:])  # (batch, C / g, g, H, W)


OPERATIONS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "max": _max,
    "min": lambda x, size: -_max(-x, size),
    "mean": lambda x, size: _groups(x, size).mean(dim=2),
    "sum": lambda x, size: _groups(x, size).sum(dim=2),
    "median": lambda x, size: _groups(x, size).quantile(0.5, dim=2),
    # the small constant keeps the gradient of the root finite where a group is all zero
    "l2": lambda x, size: (_groups(x, size).square().sum(dim=2) + 1e-12).sqrt(),
    "lse": lambda x, size: _groups(x, size).logsumexp(dim=2),
}


class InterchannelOp(nn.Module):
    """Point-wise operation over groups of adjacent channels, without parameters.

    ``P[m] = phi(Z[g m], ..., Z[g m + g - 1])`` at every position.

    Args:
        operation: One of ``max min mean sum median l2 lse``. ``median`` of an even group is the
            mean of its two middle values, so for pairs it equals ``mean``.
        group_size: Channels per group; 1 is the identity whatever the operation.

    Raises:
        ConfigError: The operation is unknown or the group size is below 1.
    """

    def __init__(self, operation: str, group_size: int) -> None:
        super().__init__()
        if operation not in OPERATIONS:
            raise ConfigError(f"interchannel operation '{operation}' is unknown, expected one of {list(OPERATIONS)}")
        if group_size < 1:
            raise ConfigError(f"group_size is {group_size}, expected at least 1")
        self.operation = operation
        self.group_size = group_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Join channel groups: ``(batch, C, H, W)`` to ``(batch, C / group_size, H, W)``; C divisible by it."""
        if self.group_size == 1:
            return x
        if x.shape[1] % self.group_size:
            raise ConfigError(f"{x.shape[1]} channels entered, not divisible by group_size {self.group_size}")
        return OPERATIONS[self.operation](x, self.group_size)

    def extra_repr(self) -> str:
        """Settings for ``print(network)``."""
        return f"{self.operation}, group_size={self.group_size}"


class CompactConv2d(nn.Module):
    """Depth-wise convolution, interchannel operation, 1x1 convolution.

    Parameters: ``k_h * k_w * C_in + (C_in / g) * C_out``, no biases. "Same" padding, so an axis of
    length ``n`` becomes ``ceil(n / stride)``.

    Args:
        in_channels: ``C_in``, divisible by ``group_size``.
        out_channels: ``C_out``.
        kernel_size: Depth-wise kernel ``(height, width)``, odd, or one number for both.
        stride: Of the depth-wise convolution, ``(height, width)`` or one number for both.
        group_size: Adjacent channels joined by one operation; 1 is the depth-wise separable convolution.
        operation: See `InterchannelOp`.

    Raises:
        ConfigError: Channels are not divisible by the group size, or a kernel side is even.

    Source:
        arXiv 2007.01696, the block's figure (``group_size=2``). The choice of operations is ours.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        group_size: int = 2,
        operation: str = "max",
    ) -> None:
        super().__init__()
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if any(side % 2 == 0 for side in kernel):
            raise ConfigError(f"kernel_size is {kernel}, expected odd sides")
        interchannel = InterchannelOp(operation, group_size)
        if in_channels % group_size:
            raise ConfigError(f"in_channels is {in_channels}, not divisible by group_size {group_size}")
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel, stride, padding, groups=in_channels, bias=False)
        self.interchannel = interchannel
        self.pointwise = nn.Conv2d(in_channels // group_size, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, C_in, H, W)`` to ``(batch, C_out, ceil(H / stride), ceil(W / stride))``."""
        output: torch.Tensor = self.pointwise(self.interchannel(self.depthwise(x)))
        return output


class CompactBlock(nn.Module):
    """Compact convolution, batch normalisation, a residual where widths allow it, ReLU.

    Args:
        in_channels: Channels that enter.
        stage: Width and kernel.
        network: Interchannel operation and group size.
        halve: Whether neighbouring frequency bands are averaged first. On a CPU this trains twice
            as fast as a strided depth-wise convolution and sees the same samples.
    """

    def __init__(
        self,
        in_channels: int,
        stage: StageConfig,
        network: NetworkConfig,
        *,
        halve: bool = False,
    ) -> None:
        super().__init__()
        self.halve = halve
        self.convolution = CompactConv2d(
            in_channels,
            stage.channels,
            stage.kernel_size,
            1,
            network.group_size,
            network.operation,
        )
        self.norm = nn.BatchNorm2d(stage.channels)
        self.residual = in_channels == stage.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, H, T)`` to ``(batch, channels, H or H / 2, T)``."""
        if self.halve:
            x = nn.functional.avg_pool2d(x, (2, 1))
        y = self.norm(self.convolution(x))
        # in place: a fresh tensor for each of the two costs a seventh of a training step on a CPU
        return nn.functional.relu_(y.add_(x) if self.residual else y)


class CompactNet(nn.Module):
    """Fully convolutional network with a scene head and an event head on one backbone.

    Both heads give logits for every output frame; the clip's scene logits are their mean over time,
    so recordings of any length can be taken in pieces. Time is padded with zeros at the recording's
    ends only.

    Args:
        config: Network shape.
        n_mels: Mel bands that enter, divisible by 2 for the stem and once more for every stage.
        n_scenes: Scene classes.
        n_events: Event classes.

    Raises:
        ConfigError: The mel bands cannot be halved that often, or a block cannot be built; see `CompactConv2d`.
    """

    def __init__(self, config: NetworkConfig, *, n_mels: int, n_scenes: int, n_events: int) -> None:
        super().__init__()
        divisor = 2 ** (1 + len(config.stages))
        if n_mels % divisor:
            raise ConfigError(f"n_mels is {n_mels}, not divisible by {divisor}: the stem and every stage halve it")
        self.config = config
        kernel = config.stem_kernel_size
        self.input_norm = nn.BatchNorm1d(n_mels)
        self.stem = nn.Sequential(
            nn.Conv2d(1, config.stem_channels, kernel, 2, (kernel[0] // 2, kernel[1] // 2), bias=False),
            nn.BatchNorm2d(config.stem_channels),
            nn.ReLU(),
        )
        blocks: list[nn.Module] = []
        channels = config.stem_channels
        for stage in config.stages:
            blocks.append(CompactBlock(channels, stage, config, halve=True))
            channels = stage.channels
            blocks += [CompactBlock(channels, stage, config) for _ in range(stage.n_blocks)]
        self.stages = nn.Sequential(*blocks)
        context: list[nn.Module] = []
        for stage in config.context:
            for _ in range(stage.n_blocks):
                context.append(CompactBlock(channels, stage, config))
                channels = stage.channels
        self.context = nn.Sequential(*context)
        self.embedding_size = config.embedding_size
        self.scene_head = nn.Conv1d(channels, n_scenes, 1)
        self.event_head = nn.Conv1d(channels, n_events, 1)
        # events are rare: starting near 2 % saves the first epoch from unlearning 50 %
        nn.init.constant_(self.event_head.bias, -4.0)  # type: ignore[arg-type]
        # channels innermost: depth-wise convolutions run 3 times as fast on a CPU
        self.to(memory_format=torch.channels_last)

    @property
    def context_frames(self) -> int:
        """Log-mel frames before and after an output frame's own that can change its logits."""
        return self.config.context_frames

    def embed(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Frame embeddings.

        Args:
            log_mel: dB, shape ``(batch, n_mels, n_frames)``.

        Returns:
            Shape ``(batch, embedding_size, n_output_frames)``, ``n_output_frames = ceil(n_frames / 2)``.
        """
        x = self.input_norm(log_mel).unsqueeze(1)  # (batch, 1, n_mels, n_frames)
        x = self.stages(self.stem(x))  # (batch, channels, n_bands, n_output_frames)
        # the mean says how much of it, the maximum says that it is there in some band; as poolings over all bands they
        # are a quarter of the time of mean and amax, whose gradient looks for ties
        bands = (x.shape[2], 1)
        # (batch, channels, 1, n_output_frames)
        x = nn.functional.avg_pool2d(x, bands) + nn.functional.max_pool2d(x, bands)
        output: torch.Tensor = self.context(x)
        return output.squeeze(2)

    def forward(self, log_mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frame logits of both heads.

        Args:
            log_mel: dB, shape ``(batch, n_mels, n_frames)``.

        Returns:
            Scene logits ``(batch, n_output_frames, n_scenes)`` and event logits
            ``(batch, n_output_frames, n_events)``.
        """
        embedding = self.embed(log_mel)
        return self.scene_head(embedding).transpose(1, 2), self.event_head(embedding).transpose(1, 2)
