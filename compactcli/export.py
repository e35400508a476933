"""A model leaves Python: one ONNX file with its weights inside, compared with torch before it is kept.

``fp32`` is the same arithmetic and has to give the same probabilities; ``int8`` stores the 1x1 convolutions, where
nearly all weights are, in eight bits, with the ranges that their inputs have in recordings given for that, and tells
what it costs.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, helper, load_model_from_string

from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.checkpoint import read_config, verify
from compactcli.config import WEIGHTS, CalibrationConfig, ModelConfig
from compactcli.engine import load_engine
from compactcli.engine.base import Waveform
from compactcli.errors import CompactError, ConfigError
from compactcli.graph import describe, network_model, scoring_model
from compactcli.logmel import NumpyLogMel
from compactcli.onnx_runtime import onnxruntime
from compactcli.temporary import temporary_folder

PRECISIONS = ("fp32", "int8")
# probabilities of two float32 runs of the same network differ by some 1e-6
MAX_DIFFERENCE = 1e-4

Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an exported graph is from torch.

    Args:
        max_difference: Largest difference of any probability, scenes and event frames.
        mean_difference: Mean difference of the event probabilities.
        same_decisions: Part of the event probabilities that stay on their side of 0.5.
        n_recordings: Recordings compared.
        duration_s: Seconds of audio in all.
    """

    max_difference: float
    mean_difference: float
    same_decisions: float
    n_recordings: int
    duration_s: float


def export_model(
    folder: Path,
    *,
    precision: str = "fp32",
    frontend: bool = True,
    check: Sequence[Waveform],
    ranges: Sequence[Waveform] = (),
) -> tuple[bytes, Parity]:
    """A model folder as one ONNX file that needs nothing beside it.

    With the front end the graph turns a ``waveform`` at the model's sample rate into calibrated probabilities, as
    ``scoring_model`` says; without, a ``log_mel`` into frame logits, as ``network_model`` says. Either carries its
    classes, features and calibration as metadata.

    Args:
        folder: Model folder.
        precision: ``fp32`` or ``int8``.
        frontend: Whether the log-mel is computed inside.
        check: Recordings to compare with torch on, at the model's sample rate.
        ranges: Recordings that show the ranges of activations, for ``int8`` only.

    Returns:
        The file's bytes, and how far it is from torch.

    Raises:
        ModelError: The folder cannot be loaded.
        ConfigError: The precision is unknown, or recordings are missing.
        CompactError: The ``fp32`` graph gives other probabilities than torch.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision '{precision}' is unknown, expected one of {', '.join(PRECISIONS)}")
    if not check:
        raise ConfigError("no recordings to compare the graph with torch on, expected at least one")
    if (precision == "int8") != bool(ranges):
        raise ConfigError(
            f"precision {precision} came with {len(ranges)} recordings that show ranges, "
            f"expected {'at least one' if precision == 'int8' else 'none'}",
        )
    config = read_config(folder)
    verify(folder, config)
    weights = (folder / WEIGHTS).read_bytes()
    model = scoring_model(config, weights) if frontend else network_model(config, weights)
    if precision == "int8":
        model = _quantise(model, [_inputs(config, waveform, frontend=frontend) for waveform in ranges])
    helper.set_model_props(model, describe(config))
    content: bytes = model.SerializeToString(deterministic=True)
    parity = compare_with_torch(content, folder, check, frontend=frontend)
    if precision == "fp32" and not parity.max_difference <= MAX_DIFFERENCE:
        raise CompactError(
            f"the exported graph differs from torch by {parity.max_difference:.2g} in a probability, "
            f"expected at most {MAX_DIFFERENCE}",
            hint="report it with the model",
            code="no-parity",
        )
    return content, parity


def compare_with_torch(content: bytes, folder: Path, recordings: Sequence[Waveform], *, frontend: bool) -> Parity:
    """Compare the probabilities of an exported graph with those of the torch engine.

    Args:
        content: The graph.
        folder: The model folder that it was made of.
        recordings: Waveforms at the model's sample rate, at least one.
        frontend: Whether the graph takes waveforms.

    Raises:
        ConfigError: torch is not installed.
    """
    engine = load_engine(folder, device="cpu", engine="torch")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    largest, total, kept, count = 0.0, 0.0, 0, 0
    for waveform in recordings:
        chunks = list(engine.stream([waveform]))
        logits = [np.concatenate([getattr(chunk, head) for chunk in chunks]) for head in ("scenes", "events")]
        scenes, events = _probabilities(logits[0], logits[1], engine.config.calibration)
        found = [output[0] for output in session.run(None, _inputs(engine.config, waveform, frontend=frontend))]
        if not frontend:
            found = list(_probabilities(found[0], found[1], engine.config.calibration))
        differences = np.abs(found[1] - events)
        largest = float(np.max([largest, differences.max(), np.abs(found[0] - scenes).max()]))  # NaN stays
        total += float(differences.sum())
        kept += int(((found[1] >= 0.5) == (events >= 0.5)).sum())
        count += events.size
    return Parity(
        max_difference=largest,
        mean_difference=total / count,
        same_decisions=kept / count,
        n_recordings=len(recordings),
        duration_s=sum(len(waveform) for waveform in recordings) / engine.config.features.sample_rate,
    )


def _probabilities(
    scenes: npt.NDArray[np.float32], events: npt.NDArray[np.float32], calibration: CalibrationConfig
) -> tuple[Probabilities, Probabilities]:
    mean = scenes.mean(axis=0, dtype=np.float64)
    return scene_probabilities(mean, calibration), event_probabilities(events, calibration)


def _inputs(config: ModelConfig, waveform: Waveform, *, frontend: bool) -> dict[str, npt.NDArray[np.float32]]:
    if frontend:
        return {"waveform": waveform[None]}
    whole_frames = np.pad(waveform, (0, -len(waveform) % config.clock.frame_length))
    return {"log_mel": NumpyLogMel(config.features)(whole_frames)[None]}


def _quantise(model: ModelProto, inputs: Sequence[dict[str, npt.NDArray[np.float32]]]) -> ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Inputs(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[dict[str, Any]] = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    # it logs advice to whoever calls it from a script, through the root logger
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with temporary_folder() as place:
            given, prepared, quantised = (place / name for name in ("given", "prepared", "quantised"))
            given.write_bytes(model.SerializeToString())
            # folds batch normalisation into the convolutions
            quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
            folded = load_model_from_string(prepared.read_bytes())
            kept = _name_wide_convolutions(folded)
            prepared.write_bytes(folded.SerializeToString())
            quantize_static(
                str(prepared),
                str(quantised),
                Inputs(),
                quant_format=QuantFormat.QDQ,
                # sums, maxima and the residuals between blocks stay in float32: they are cheap, and in eight bits each
                # would cost more accuracy than all convolutions together
                op_types_to_quantize=["Conv"],
                # one weight in ten: eight bits there make the file a seventh smaller and no faster, and the
                # probabilities three times as wrong
                nodes_to_exclude=kept,
                per_channel=True,
                # seven bits for weights: older x86 processors add pairs of products in 16 bits, which eight overflow
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return load_model_from_string(quantised.read_bytes())
    finally:
        logging.disable(disabled)


def _name_wide_convolutions(model: ModelProto) -> list[str]:
    """Give every node a name, by which the quantiser is told what to leave; those of convolutions wider than 1x1."""
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    names = []
    for node in model.graph.node:
        node.name = node.output[0]
        if node.op_type == "Conv" and math.prod(shapes[node.input[1]][2:]) > 1:
            names.append(node.name)
    return names
