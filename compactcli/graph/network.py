"""CompactNet as an ONNX graph, built from the settings and the weights' bytes without torch.

Standard operators only, a batch of one, any number of frames. Batch normalisation stays a node of its
own: runtimes fold it into the convolution as they load.
"""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto

from compactcli.config import ModelConfig, StageConfig
from compactcli.errors import ConfigError
from compactcli.graph.builder import GraphBuilder

# torch's default, which every normalisation of CompactNet has
EPSILON = 1e-5


def network_model(config: ModelConfig, weights: bytes, *, location: str | None = None) -> ModelProto:
    """A network alone: log-mel to frame logits, as ``CompactNet.forward``.

    Input ``log_mel``: dB, ``(1, n_mels, n_frames)``. Outputs ``scene_logits``: ``(1, n_output_frames, n_scenes)`` and
    ``event_logits``: ``(1, n_output_frames, n_events)``.

    Args:
        config: The model's settings.
        weights: The whole safetensors file.
        location: Name of that file beside the graph, to refer to it; None copies the weights into the graph.

    Raises:
        ConfigError: The interchannel operation has no ONNX form.
    """
    builder = GraphBuilder(weights, location=location)
    scenes, events = add_network(builder, config, "log_mel")
    builder.node("Identity", scenes, output="scene_logits")
    builder.node("Identity", events, output="event_logits")
    return builder.model(
        config.name,
        inputs={"log_mel": (1, config.features.n_mels, "n_frames")},
        outputs={
            "scene_logits": (1, "n_output_frames", len(config.scenes)),
            "event_logits": (1, "n_output_frames", len(config.events)),
        },
    )


def add_network(builder: GraphBuilder, config: ModelConfig, log_mel: str) -> tuple[str, str]:
    """Add a whole CompactNet.

    Args:
        builder: The graph; its weights are those of the network.
        config: The model's settings.
        log_mel: Name of the value of shape ``(1, n_mels, n_frames)``.

    Returns:
        Names of the scene and the event logits, ``(1, n_output_frames, n_classes)``.

    Raises:
        ConfigError: The interchannel operation has no ONNX form.
    """
    network = config.network
    height, width = network.stem_kernel_size
    x = _normalise(builder, log_mel, "input_norm")
    x = builder.node("Unsqueeze", x, builder.constant([1], np.int64))  # (1, 1, n_mels, n_frames)
    pads = [height // 2, width // 2] * 2
    x = builder.node("Conv", x, builder.weight("stem.0.weight"), strides=[2, 2], pads=pads)
    x = builder.node("Relu", _normalise(builder, x, "stem.1"))
    shape = (network.stem_channels, config.features.n_mels // 2)
    number = 0
    for stage in network.stages:
        for block in range(1 + stage.n_blocks):
            if block == 0:
                x = builder.node("AveragePool", x, kernel_shape=[2, 1], strides=[2, 1])
                shape = (shape[0], shape[1] // 2)
            x, shape = _block(builder, config, x, f"stages.{number}", stage, shape)
            number += 1
    mean = builder.node("ReduceMean", x, axes=[2])
    x = builder.node("Add", mean, builder.node("ReduceMax", x, axes=[2]))  # (1, channels, 1, n_output_frames)
    shape = (shape[0], 1)
    number = 0
    for stage in network.context:
        for _ in range(stage.n_blocks):
            x, shape = _block(builder, config, x, f"context.{number}", stage, shape)
            number += 1
    x = builder.node("Squeeze", x, builder.constant([2], np.int64))  # (1, channels, n_output_frames)
    scenes, events = (
        builder.node(
            "Transpose",
            builder.node("Conv", x, builder.weight(f"{head}.weight"), builder.weight(f"{head}.bias")),
            perm=[0, 2, 1],
        )
        for head in ("scene_head", "event_head")
    )
    return scenes, events


def _normalise(builder: GraphBuilder, x: str, prefix: str) -> str:
    parts = [builder.weight(f"{prefix}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
    return builder.node("BatchNormalization", x, *parts, epsilon=EPSILON)


def _block(
    builder: GraphBuilder, config: ModelConfig, x: str, prefix: str, stage: StageConfig, shape: tuple[int, int]
) -> tuple[str, tuple[int, int]]:
    channels, height = shape
    kernel = stage.kernel_size
    y = builder.node(
        "Conv",
        x,
        builder.weight(f"{prefix}.convolution.depthwise.weight"),
        group=channels,
        pads=[kernel[0] // 2, kernel[1] // 2] * 2,
    )
    y = _join_channels(builder, y, config.network.operation, config.network.group_size, shape)
    y = builder.node("Conv", y, builder.weight(f"{prefix}.convolution.pointwise.weight"))
    y = _normalise(builder, y, f"{prefix}.norm")
    if channels == stage.channels:
        y = builder.node("Add", y, x)
    return builder.node("Relu", y), (stage.channels, height)


def _join_channels(builder: GraphBuilder, x: str, operation: str, group_size: int, shape: tuple[int, int]) -> str:
    if group_size == 1:
        return x
    if operation not in INTERCHANNEL:
        raise ConfigError(f"interchannel operation '{operation}' has no ONNX form, it must be one of {[*INTERCHANNEL]}")
    channels, height = shape
    # (1, C / g, g, height, n_output_frames): as fast as strided slices or pooling, and the same for all operations
    groups = builder.constant([1, channels // group_size, group_size, height, -1], np.int64)
    return INTERCHANNEL[operation](builder, builder.node("Reshape", x, groups), group_size)


def _reduce(operator: str) -> Callable[[GraphBuilder, str, int], str]:
    return lambda builder, x, _: builder.node(operator, x, axes=[2], keepdims=0)


def _sum(builder: GraphBuilder, x: str, _: int) -> str:
    # the one reduction whose axes were an input by then
    return builder.node("ReduceSum", x, builder.constant([2], np.int64), keepdims=0)


def _median(builder: GraphBuilder, x: str, group_size: int) -> str:
    # the upper half in descending order; its last value is the median, or its last two have it as their mean
    top = builder.constant([group_size // 2 + 1], np.int64)
    upper = builder.node("TopK", x, top, axis=2, unused=[f"{x}_at"])
    middle = builder.node(
        "Slice",
        upper,
        builder.constant([(group_size - 1) // 2], np.int64),
        builder.constant([group_size // 2 + 1], np.int64),
        builder.constant([2], np.int64),
    )
    return builder.node("ReduceMean", middle, axes=[2], keepdims=0)


def _l2(builder: GraphBuilder, x: str, _: int) -> str:
    squares = builder.node("ReduceSumSquare", x, axes=[2], keepdims=0)
    return builder.node("Sqrt", builder.node("Add", squares, builder.constant(1e-12)))


INTERCHANNEL: dict[str, Callable[[GraphBuilder, str, int], str]] = {
    "max": _reduce("ReduceMax"),
    "min": _reduce("ReduceMin"),
    "mean": _reduce("ReduceMean"),
    "sum": _sum,
    "median": _median,
    "l2": _l2,
    "lse": _reduce("ReduceLogSumExp"),
}
