"""How long every network of the study takes, side by side: one clip on one thread of onnxruntime, a batch on CUDA."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save

from compactcli.benchmark import describe_machine
from compactcli.benchmark.timing import measure
from compactcli.config import ModelConfig
from compactcli.engine.onnx import INPUT, OUTPUTS
from compactcli.errors import ConfigError, writing_to
from compactcli.graph import network_model
from compactcli.onnx_runtime import onnxruntime
from compactcli.plainjson import from_json, to_json
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import Variant, variant_config, variants

REPEATS = 30
CPU, CUDA = "cpu", "cuda"
# clips that a GPU hears at once; one alone would measure how fast work is handed to it
CUDA_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of one network for the clip of its task.

    Args:
        task: Name of the task.
        variant: Which network.
        device: ``cpu`` for one clip with onnxruntime, ``cuda`` for a batch of 64 with torch in full precision.
        median_ms: Milliseconds of the repeat in the middle.
        quartiles_ms: A quarter of the repeats were faster than the first, a quarter slower than the second.
    """

    task: str
    variant: Variant
    device: str
    median_ms: float
    quartiles_ms: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """What was measured in one go.

    Args:
        machine: Where and with what, in words.
        repeats: Rounds that count.
        networks: In the order of the rounds, task by task.
    """

    machine: str
    repeats: int
    networks: tuple[Latency, ...]


def measure_latencies(
    designs: Iterable[TaskDesign],
    *,
    repeats: int = REPEATS,
    gpu: torch.device | None = None,
    on_round: Callable[[], None] = lambda: None,
) -> Latencies:
    """Time all variants of every task in rounds: in each round every network of a task hears its clip once.

    Weights are random, which costs the same as trained ones.

    Args:
        designs: Tasks.
        repeats: Rounds that count, after one that warms up.
        gpu: CUDA device to measure on as well, or None.
        on_round: Called after each round.
    """
    found = describe_machine()
    machine = f"{found.processor}, {found.system}, onnxruntime {found.packages['onnxruntime']}, 1 thread"
    if gpu is not None:
        machine += f"; {_device_name(gpu)}, torch {found.packages['torch']}"
    networks = []
    for design in designs:
        calls = {(variant, CPU): _onnx_call(design, variant) for variant in variants()}
        if gpu is not None:
            calls |= {(variant, CUDA): _torch_call(design, variant, gpu) for variant in variants()}
        for (variant, device), timing in measure(calls, repeats=repeats, on_round=on_round).items():
            low, median, high = np.percentile(timing.seconds, [25, 50, 75]) * 1000
            networks.append(
                Latency(
                    task=design.name,
                    variant=variant,
                    device=device,
                    median_ms=round(float(median), 4),
                    quartiles_ms=(round(float(low), 4), round(float(high), 4)),
                )
            )
    return Latencies(machine=machine, repeats=repeats, networks=tuple(networks))


def write_latencies(path: Path, latencies: Latencies) -> None:
    """Write what was measured as JSON; the folder is made where it is missing.

    Raises:
        CompactError: The file cannot be written.
    """
    with writing_to(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(to_json(latencies), indent=1) + "\n", encoding="utf-8")


def read_latencies(path: Path) -> Latencies:
    """Read what `write_latencies` wrote.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"latencies '{path}' cannot be read: {error}") from error
    return from_json(Latencies, value, where=str(path))


def _onnx_call(design: TaskDesign, variant: Variant) -> Callable[[], object]:
    torch.manual_seed(0)
    network = design.shape.build(variant).eval()
    config = ModelConfig(
        name="study",
        version="1",
        scenes=tuple(f"scene {index}" for index in range(design.shape.n_scenes)),
        events=tuple(f"event {index}" for index in range(design.shape.n_events)),
        features=design.features,
        network=variant_config(design.shape, variant),
    )
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = network_model(config, save(weights)).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    clip = _clips(design, 1)
    return lambda: session.run(OUTPUTS, {INPUT: clip})


def _torch_call(design: TaskDesign, variant: Variant, device: torch.device) -> Callable[[], object]:
    network = design.shape.build(variant).eval().to(device)
    clips = torch.from_numpy(_clips(design, CUDA_BATCH)).to(device)

    def call() -> float:
        with torch.inference_mode():
            # a number that is read waits for the device
            return float(network(clips)[1].sum())

    return call


def _clips(design: TaskDesign, n_clips: int) -> npt.NDArray[np.float32]:
    n_frames = round(design.clip_s * design.features.clock.frame_rate)
    shape = (n_clips, design.features.n_mels, n_frames)
    return np.random.default_rng(0).normal(-50, 15, shape).astype(np.float32)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == CUDA else device.type
