"""Waveform to calibrated probabilities as one ONNX graph, for devices that have an ONNX runtime and little else.

The spectrum is a discrete Fourier transform in two steps of small matrices, after Cooley and Tukey: an eighth of the
work of one large matrix, a two-hundredth of its size, and no operator that runtimes of small devices lack.
"""

import json
import math

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from compactcli.config import CalibrationConfig, FeatureConfig, ModelConfig
from compactcli.graph.builder import GraphBuilder
from compactcli.graph.network import add_network
from compactcli.logmel import mel_bands, scaled_window
from compactcli.plainjson import to_json


def scoring_model(config: ModelConfig, weights: bytes) -> ModelProto:
    """A whole model: waveform to calibrated probabilities, weights inside.

    Input ``waveform``: mono samples in [-1, 1] at the model's sample rate, ``(1, n_samples)``, at least one. Outputs
    ``scenes``: probabilities of the whole recording, ``(1, n_scenes)``, and ``events``: of every output frame,
    ``(1, n_output_frames, n_events)``. The recording is taken in one piece, so memory grows with its length.

    Args:
        config: The model's settings.
        weights: The whole safetensors file.

    Raises:
        ConfigError: The interchannel operation has no ONNX form.
    """
    builder = GraphBuilder(weights)
    log_mel = _add_log_mel(builder, config.features, "waveform", frame_length=config.clock.frame_length)
    scenes, events = add_network(builder, config, log_mel)
    _add_probabilities(builder, config.calibration, scenes, events)
    return builder.model(
        config.name,
        inputs={"waveform": (1, "n_samples")},
        outputs={"scenes": (1, len(config.scenes)), "events": (1, "n_output_frames", len(config.events))},
    )


def describe(config: ModelConfig) -> dict[str, str]:
    """What a program without this package has to know of a model, each value in JSON but the name and version."""
    return {
        "name": config.name,
        "version": config.version,
        "scenes": json.dumps(config.scenes, ensure_ascii=False),
        "events": json.dumps(config.events, ensure_ascii=False),
        "sample_rate": json.dumps(config.features.sample_rate),
        "frame_s": json.dumps(config.clock.frame_s),
        "features": json.dumps(to_json(config.features)),
        "calibration": json.dumps(to_json(config.calibration)),
        "detection": json.dumps(to_json(config.detection)),
    }


def _add_log_mel(builder: GraphBuilder, config: FeatureConfig, waveform: str, *, frame_length: int) -> str:
    frames = _add_frames(builder, config, waveform, frame_length=frame_length)
    frames = builder.node("Mul", frames, builder.constant(scaled_window(config)))
    power = _add_power(builder, frames, config.n_fft)
    rows, columns = _factors(config.n_fft)
    bins = np.arange(rows)[:, None] + rows * np.arange(columns // 2)[None, :]
    # no band reaches the bin at half the sample rate, the only one that the transform leaves out
    bands = builder.node("MatMul", power, builder.constant(mel_bands(config)[bins.ravel()]))  # (n_frames, n_mels)
    levels = builder.node("Log", builder.node("Add", bands, builder.constant(10.0 ** (config.floor_db / 10))))
    levels = builder.node("Mul", levels, builder.constant(10.0 / math.log(10.0)))
    return builder.node("Unsqueeze", builder.node("Transpose", levels, perm=[1, 0]), builder.constant([0], np.int64))


def _add_frames(builder: GraphBuilder, config: FeatureConfig, waveform: str, *, frame_length: int) -> str:
    n_fft, hop = config.n_fft, config.hop_length
    context = builder.constant([(n_fft - hop) // 2], np.int64)
    nothing = builder.constant([0], np.int64)
    n_samples = builder.node("Shape", waveform, start=1, end=2)
    tail = builder.node("Mod", builder.node("Neg", n_samples), builder.constant([frame_length], np.int64))
    end = builder.node("Add", context, tail)
    padded = builder.node("Pad", waveform, builder.node("Concat", nothing, context, nothing, end, axis=0))
    n_frames = builder.node("Div", builder.node("Add", n_samples, tail), builder.constant([hop], np.int64))
    # frames are whole runs of pieces as long as the largest step that both a frame and a hop are made of
    step = math.gcd(n_fft, hop)
    pieces = builder.node("Reshape", padded, builder.constant([-1, step], np.int64))
    zero, one = builder.constant(0, np.int64), builder.constant(1, np.int64)
    numbers = builder.node("Range", zero, builder.node("Squeeze", n_frames, nothing), one)
    first = builder.node("Mul", numbers, builder.constant(hop // step, np.int64))
    first = builder.node("Unsqueeze", first, builder.constant([1], np.int64))  # (n_frames, 1)
    places = builder.node("Add", first, builder.constant(np.arange(n_fft // step), np.int64))
    frames = builder.node("Gather", pieces, places, axis=0)  # (n_frames, n_fft / step, step)
    return builder.node("Reshape", frames, builder.constant([-1, n_fft], np.int64))


def _add_power(builder: GraphBuilder, frames: str, n_fft: int) -> str:
    rows, columns = _factors(n_fft)
    # sample columns * r + c of a frame stands at (r, c); bin k + rows * l of its spectrum will stand at (k, l)
    x = builder.node("Reshape", frames, builder.constant([-1, rows, columns], np.int64))
    down = _turns(np.arange(rows), np.arange(rows), rows)
    real, imaginary = (builder.node("MatMul", builder.constant(part), x) for part in (down.real, down.imag))
    turned = _multiply(builder, "Mul", real, imaginary, _turns(np.arange(rows), np.arange(columns), n_fft))
    along = _turns(np.arange(columns), np.arange(columns // 2), columns)
    real, imaginary = _multiply(builder, "MatMul", *turned, along)
    squares = (builder.node("Mul", part, part) for part in (real, imaginary))
    return builder.node(
        "Reshape", builder.node("Add", *squares), builder.constant([-1, rows * (columns // 2)], np.int64)
    )


def _multiply(
    builder: GraphBuilder, operator: str, real: str, imaginary: str, factors: npt.NDArray[np.complex128]
) -> tuple[str, str]:
    cosines, sines = builder.constant(factors.real), builder.constant(factors.imag)
    difference = builder.node("Sub", builder.node(operator, real, cosines), builder.node(operator, imaginary, sines))
    total = builder.node("Add", builder.node(operator, real, sines), builder.node(operator, imaginary, cosines))
    return difference, total


def _turns(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], period: int) -> npt.NDArray[np.complex128]:
    turns: npt.NDArray[np.complex128] = np.exp(-2j * np.pi * (np.outer(rows, columns) % period) / period)
    return turns


def _factors(n_fft: int) -> tuple[int, int]:
    # the two nearest factors of which the second is even, so that half of the spectrum is half of the columns
    rows = max(size for size in range(1, math.isqrt(n_fft) + 1) if n_fft // 2 % size == 0)
    return rows, n_fft // rows


def _add_probabilities(builder: GraphBuilder, calibration: CalibrationConfig, scenes: str, events: str) -> None:
    mean = builder.node("ReduceMean", scenes, axes=[1], keepdims=0)  # (1, n_scenes)
    calibrated = _add_calibration(builder, mean, calibration.scene_scale, calibration.scene_bias)
    builder.node("Softmax", calibrated, axis=-1, output="scenes")
    calibrated = _add_calibration(builder, events, calibration.event_scale, calibration.event_bias)
    builder.node("Sigmoid", calibrated, output="events")


def _add_calibration(builder: GraphBuilder, logits: str, scale: float, bias: tuple[float, ...]) -> str:
    scaled = builder.node("Mul", logits, builder.constant(scale))
    return builder.node("Add", scaled, builder.constant(bias)) if bias else scaled
