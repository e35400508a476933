import ctypes
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import CONFIG, make_network

from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.checkpoint import DEFAULT_MODEL, find_model, save_model
from compactcli.engine import ENGINES, LogitChunk, load_engine
from compactcli.engine import devices as devices_module
from compactcli.engine.base import CHUNK_S, stream_logits
from compactcli.engine.onnx import OnnxEngine
from compactcli.engine.torch import TorchEngine, choose_device
from compactcli.errors import ConfigError, DeviceError, DeviceWarning, ModelError
from compactcli.features import LogMel

FRAME = CONFIG.clock.frame_length  # samples of an output frame
NETWORK = make_network()
LOG_MEL = LogMel(CONFIG.features)
NOISE = (0.1 * np.random.default_rng(29).standard_normal(40000)).astype(np.float32)
NOISE[9000:15000] *= 1e-4  # a quiet stretch, near the floor


def whole(waveform):
    """Logits of a recording in one piece, filled up with zeros to whole output frames."""
    padded = np.pad(waveform, (0, -len(waveform) % FRAME))
    with torch.no_grad():
        scenes, events = NETWORK(LOG_MEL(torch.from_numpy(padded)[None]))
    return scenes[0].numpy(), events[0].numpy()


def run_piece(waveform):
    with torch.no_grad():
        scenes, events = NETWORK(LOG_MEL.of_padded(torch.from_numpy(waveform)[None]))
    return LogitChunk(scenes=scenes[0].numpy(), events=events[0].numpy())


def stream(blocks, *, chunk_s, context_frames=NETWORK.context_frames):
    return list(stream_logits(blocks, run_piece, config=CONFIG, context_frames=context_frames, chunk_s=chunk_s))


def split(waveform, block_length):
    return [waveform[start : start + block_length] for start in range(0, len(waveform), block_length)]


def assert_same(chunks, waveform):
    scenes, events = whole(waveform)
    assert len(scenes) == CONFIG.clock.n_frames(len(waveform))
    np.testing.assert_allclose(np.concatenate([chunk.scenes for chunk in chunks]), scenes, rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([chunk.events for chunk in chunks]), events, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, CONFIG, NETWORK)
    return folder


# ---------------------------------------------------------------- pieces and the whole


@pytest.mark.parametrize("chunk_s", [0.04, 0.2, 1.0, CHUNK_S])
@pytest.mark.parametrize(
    "n_samples", [1, 319, 320, 321, 639, 640, 641, 1280, 3200, 3201, 16000, 16001, 5 * FRAME + 320, 31999]
)
def test_chunks_of_any_length_are_the_whole(chunk_s, n_samples):
    waveform = NOISE[:n_samples]
    assert_same(stream([waveform], chunk_s=chunk_s), waveform)


@pytest.mark.parametrize("block_length", [1, 7, 640, 4801, 40000])
def test_blocks_of_any_length_are_the_whole(block_length):
    waveform = NOISE[: min(20000, 700 * block_length)]
    assert_same(stream(split(waveform, block_length), chunk_s=0.2), waveform)


@settings(max_examples=30)
@given(
    n_samples=st.integers(1, len(NOISE)),
    cuts=st.lists(st.integers(0, len(NOISE)), max_size=12),
    chunk_s=st.floats(0.1, 2.0),
)
def test_any_split_is_the_whole(n_samples, cuts, chunk_s):
    waveform = NOISE[:n_samples]
    # empty blocks are among them
    assert_same(stream(np.split(waveform, sorted(min(cut, n_samples) for cut in cuts)), chunk_s=chunk_s), waveform)


def test_chunks_have_the_length_asked_for():
    assert [len(chunk.events) for chunk in stream([NOISE[: 23 * FRAME + 1]], chunk_s=0.4)] == [10, 10, 4]
    assert [len(chunk.scenes) for chunk in stream([NOISE[: 20 * FRAME]], chunk_s=0.4)] == [10, 10]


def test_a_chunk_is_given_out_as_soon_as_its_context_is_there():
    asked = []

    def blocks():
        for block in split(NOISE, 1000):
            asked.append(len(block))
            yield block

    next(stream_logits(blocks(), run_piece, config=CONFIG, context_frames=NETWORK.context_frames, chunk_s=0.4))
    needed = 10 * FRAME + NETWORK.context_frames * CONFIG.features.hop_length
    assert needed <= sum(asked) < needed + CONFIG.features.n_fft + 1000


def test_less_context_would_be_noticed():
    chunks = stream([NOISE], chunk_s=0.4, context_frames=NETWORK.context_frames - 2)
    difference = np.concatenate([chunk.events for chunk in chunks]) - whole(NOISE)[1]
    assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize("blocks", [[], [np.zeros(0, np.float32)]])
def test_nothing_gives_nothing(blocks):
    assert stream(blocks, chunk_s=1.0) == []


def test_blocks_are_left_as_they_were():
    block = NOISE[:5000].copy()
    block.flags.writeable = False
    stream([block, block], chunk_s=0.2)
    np.testing.assert_array_equal(block, NOISE[:5000])


# ---------------------------------------------------------------- engine


@pytest.mark.parametrize("name", ["onnx", "torch"])
@pytest.mark.parametrize("duration_s", [0.01, 2.0, CHUNK_S, 2 * CHUNK_S + 1.3])
def test_the_engine_gives_the_whole(folder, duration_s, name, noise):
    engine = load_engine(folder, device="cpu", engine=name)
    waveform = noise(duration_s)
    assert_same(list(engine.stream(split(waveform, 16000))), waveform)
    assert engine.config == load_engine(folder, device="cpu", engine=name).config
    assert engine.config.name == "tiny"
    assert engine.device == "cpu"


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_an_engine_can_be_used_again(folder, name):
    engine = load_engine(folder, device="cpu", engine=name)
    for waveform in (NOISE[:9000], NOISE[9000:], NOISE[:9000]):
        assert_same(list(engine.stream([waveform])), waveform)


@pytest.mark.parametrize("name", ENGINES)
def test_folders_that_are_no_models_are_refused(tmp_path, name):
    with pytest.raises(ModelError, match=r"model settings '.*config.json' cannot be read"):
        load_engine(tmp_path, device="cpu", engine=name)


# ---------------------------------------------------------------- which engine


@pytest.fixture
def cuda(monkeypatch):
    """Pretend that a driver is there or not, and so many CUDA devices behind it."""

    def pretend(driver, count):
        monkeypatch.setattr("compactcli.engine.may_have_cuda", lambda: driver)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.fixture
def no_packages(monkeypatch):
    """Pretend that packages are not installed."""

    def pretend(*names):
        monkeypatch.setattr("compactcli.packages.is_installed", lambda package: package not in names)

    return pretend


@pytest.mark.parametrize(("driver", "count"), [(False, 0), (True, 0)])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_cpu_is_for_onnx(folder, cuda, driver, count, device):
    cuda(driver, count)
    engine = load_engine(folder, device=device)
    assert (type(engine), engine.device) == (OnnxEngine, "cpu")


@pytest.mark.parametrize(("device", "taken"), [("auto", "cuda:0"), ("cuda", "cuda"), ("cuda:1", "cuda:1")])
def test_cuda_is_for_torch(cuda, monkeypatch, device, taken):
    cuda(True, 2)
    monkeypatch.setattr(
        TorchEngine, "__init__", lambda self, folder, *, device, **options: setattr(self, "device", device)
    )
    engine = load_engine(Path("folder"), device=device)
    assert type(engine) is TorchEngine
    assert choose_device(engine.device) == choose_device(taken)


def test_the_batch_size_changes_no_result(folder, noise):
    waveform = noise(4.5 * CHUNK_S)
    alone, together = (
        list(load_engine(folder, device="cpu", engine="torch", batch_size=size).stream([waveform])) for size in (1, 4)
    )
    assert len(alone) == len(together) == 5
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.scenes, other.scenes, atol=1e-4)
        np.testing.assert_allclose(one.events, other.events, atol=1e-4)


@pytest.mark.parametrize("engine", ["auto", "onnx", "torch"])
def test_an_empty_batch_is_refused(folder, engine):
    with pytest.raises(ConfigError, match="batch_size is 0, expected at least 1 window"):
        load_engine(folder, device="cpu", engine=engine, batch_size=0)


def test_bfloat16_is_close_and_is_torch_s(folder, noise):
    engine = load_engine(folder, device="cpu", precision="bf16")
    assert (type(engine), engine.precision) == (TorchEngine, "bf16")
    waveform = noise(2.5 * CHUNK_S)
    exact = list(load_engine(folder, device="cpu", engine="torch").stream([waveform]))
    for one, other in zip(engine.stream([waveform]), exact, strict=True):
        for rounded, logits in ((one.scenes, other.scenes), (one.events, other.events)):
            assert rounded.dtype == np.float32
            assert 0 < np.abs(rounded - logits).max() < 0.05 * np.abs(logits).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "precision 'fp16' is unknown, expected one of fp32, bf16"),
        (
            {"precision": "bf16", "engine": "onnx"},
            "engine 'onnx' was asked for with precision 'bf16', it computes in fp32 alone",
        ),
        (
            {"precision": "bf16", "graph": Path("network.onnx")},
            "precision 'bf16' was asked for with the graph 'network.onnx', which computes as it was exported",
        ),
    ],
)
def test_precisions_that_cannot_be(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        load_engine(folder, device="cpu", **options)


def test_onnx_that_is_asked_for_stays_on_the_cpu(folder, cuda):
    cuda(True, 2)
    assert type(load_engine(folder, engine="onnx")) is OnnxEngine


def test_a_folder_without_a_graph_is_for_torch(folder, tmp_path, cuda):
    cuda(False, 0)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path)
    text = (tmp_path / "config.json").read_text(encoding="utf-8")
    settings = json.loads(text)
    del settings["sha256"]["model.onnx"]
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert type(load_engine(tmp_path)) is TorchEngine
    with pytest.raises(
        ModelError, match=r"the onnx engine needs '.*model.onnx', the model's settings name none"
    ) as caught:
        load_engine(tmp_path, engine="onnx")
    assert caught.value.hint.startswith("use --engine torch")


def test_unknown_engines_are_refused(folder):
    with pytest.raises(ConfigError, match="engine 'tensorflow' is unknown, expected one of auto, onnx, torch"):
        load_engine(folder, engine="tensorflow")


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_onnx_does_not_run_on_cuda(folder, device):
    message = f"engine 'onnx' was asked for with device '{device}', it runs on the CPU alone"
    with pytest.raises(ConfigError, match=message) as caught:
        load_engine(folder, device=device, engine="onnx")
    assert caught.value.hint == "use --engine torch, or --device cpu"


@pytest.mark.parametrize("name", ENGINES)
def test_unknown_devices_are_refused_whatever_the_engine(folder, name):
    with pytest.raises(DeviceError, match="device 'tpu' is unknown, expected auto, cpu, cuda or cuda:N"):
        load_engine(folder, device="tpu", engine=name)


@pytest.mark.parametrize(
    ("missing", "options", "message"),
    [
        ("torch", {"engine": "torch"}, "engine 'torch' needs the package torch, which is not installed here"),
        ("torch", {"device": "cuda"}, "device 'cuda' needs the package torch, which is not installed here"),
        ("onnxruntime", {"engine": "onnx"}, "engine 'onnx' needs the package onnxruntime, which is not installed here"),
    ],
)
def test_engines_that_are_not_installed_say_so(folder, no_packages, missing, options, message):
    no_packages(missing)
    with pytest.raises(ConfigError, match=message):
        load_engine(folder, **options)


@pytest.mark.parametrize("loads", [True, False])
def test_torch_is_asked_for_cuda_only_where_a_driver_is(monkeypatch, loads):
    asked = []

    def load(name):
        asked.append(name)
        if not loads:
            raise OSError(f"{name}: no such file")

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert devices_module.may_have_cuda() is loads
    assert asked in (["libcuda.so.1"], ["nvcuda.dll"])
    monkeypatch.setattr(devices_module, "is_installed", lambda package: False)
    assert not devices_module.may_have_cuda()
    assert len(asked) == 1


# ---------------------------------------------------------------- devices


@pytest.fixture
def devices(monkeypatch):
    """Pretend that there are so many CUDA devices."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_the_device_asked_for_is_taken(devices):
    devices(2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


def test_auto_is_the_cpu_where_there_is_no_gpu(devices):
    devices(0)
    assert choose_device("auto") == torch.device("cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("name", ["tpu", "", "CPU", "cpu:0", "auto:1", "cuda:", "cuda:x", "cuda:-1", "cuda:0:1", "0"])
def test_unknown_devices_are_refused(devices, count, name):
    devices(count)
    with pytest.raises(DeviceError, match=f"device '{name}' is unknown, expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


@pytest.mark.parametrize(("count", "name"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2"), (2, "cuda:99")])
def test_missing_devices_are_refused(devices, count, name):
    devices(count)
    with pytest.raises(DeviceError, match=f"device '{name}' was asked for, {count} CUDA devices were found") as caught:
        choose_device(name)
    assert caught.value.hint.startswith("use --device cpu")


def test_a_missing_device_is_refused_before_the_model_is_read(tmp_path):
    with pytest.raises(DeviceError, match="device 'cuda:99' was asked for"):
        load_engine(tmp_path / "no model", device="cuda:99")


# ---------------------------------------------------------------- a GPU whose memory is full


class SmallMemory(torch.nn.Module):
    """A network on a GPU that holds so many windows of it at a time, until it is moved to the CPU."""

    def __init__(self, fits):
        super().__init__()
        self.network = make_network()
        self.context_frames = self.network.context_frames
        self.fits = fits
        self.batches = []
        self.devices = []

    def to(self, device):
        self.devices.append(str(device))
        return self

    def forward(self, log_mels):
        self.batches.append(len(log_mels))
        if len(log_mels) > self.fits and len(self.devices) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(log_mels)


@pytest.fixture
def on_small_gpu(monkeypatch):
    """An engine that takes eight windows at a time onto a GPU that holds fewer, and its network."""

    def make(fits):
        network = SmallMemory(fits)
        monkeypatch.setattr("compactcli.engine.torch.load_network", lambda folder: (CONFIG, network))
        engine = TorchEngine(Path("folder"), device="cpu", batch_size=8)
        engine.device = "cuda:0"
        return engine, network

    return make


def test_windows_are_batched_and_give_the_whole(on_small_gpu, noise):
    engine, network = on_small_gpu(8)
    waveform = noise(11.5 * CHUNK_S)
    assert_same(list(engine.stream(split(waveform, 16000))), waveform)
    # those at the ends are shorter
    assert network.batches == [1, 8, 2, 1]


@pytest.mark.parametrize(
    ("fits", "batches", "sizes"),
    [
        (4, [1, 8, 4, 4, 2, 1], [4]),
        (3, [1, 8, 4, 2, 2, 2, 2, 2, 1], [4, 2]),
        (1, [1, 8, 4, 2, *[1] * 11], [4, 2, 1]),
    ],
)
def test_a_full_gpu_gets_half_as_much_at_a_time(on_small_gpu, noise, fits, batches, sizes):
    engine, network = on_small_gpu(fits)
    waveform = noise(11.5 * CHUNK_S)
    with pytest.warns(DeviceWarning) as caught:
        assert_same(list(engine.stream([waveform])), waveform)
    assert network.batches == batches
    assert [str(item.message) for item in caught] == [
        f"the memory of 'cuda:0' is full: going on with {size} x 30 s at a time" for size in sizes
    ]
    assert engine.device == "cuda:0"
    # the next recording begins with what fits
    assert_same(list(engine.stream([waveform])), waveform)


def test_a_gpu_that_holds_nothing_gives_way_to_the_cpu(on_small_gpu, noise):
    engine, network = on_small_gpu(0)
    waveform = noise(2.5 * CHUNK_S)
    with pytest.warns(DeviceWarning) as caught:
        assert_same(list(engine.stream([waveform])), waveform)
    assert [str(item.message) for item in caught][-1] == (
        "the memory of 'cuda:0' does not hold 30 s of sound: going on on the CPU"
    )
    assert (engine.device, network.devices) == ("cpu", ["cpu", "cpu"])
    assert_same(list(engine.stream([waveform])), waveform)


def test_a_gpu_that_does_not_hold_the_model_gives_way_to_the_cpu(folder, devices, monkeypatch, noise):
    devices(1)
    to = torch.nn.Module.to

    def move(module, device=None, **options):
        if device is not None and device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to(module, device, **options)

    monkeypatch.setattr(torch.nn.Module, "to", move)
    with pytest.warns(DeviceWarning, match="the memory of 'cuda:0' does not hold the model: going on on the CPU"):
        engine = TorchEngine(folder)
    assert engine.device == "cpu"
    assert_same(list(engine.stream([noise(1.0)])), noise(1.0))


def test_a_cpu_without_memory_is_an_error(on_small_gpu, noise):
    engine, _ = on_small_gpu(0)
    engine.device = "cpu"
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        list(engine.stream([noise(1.0)]))


# ---------------------------------------------------------------- a real GPU


@pytest.fixture
def cpu_and_cuda():
    """The shipped model on the CPU and on a GPU."""
    return [load_engine(find_model(DEFAULT_MODEL), device=device) for device in ("cpu", "cuda")]


@pytest.mark.gpu
def test_cuda_and_cpu_give_the_same_scores(cpu_and_cuda, noise):
    on_cpu, on_cuda = cpu_and_cuda
    assert on_cuda.device == "cuda:0"
    waveform = noise(5.5 * CHUNK_S)
    heard = [list(engine.stream(split(waveform, 16000))) for engine in cpu_and_cuda]
    calibration = on_cpu.config.calibration
    events, scenes = [], []
    for chunks in heard:
        events.append(event_probabilities(np.concatenate([chunk.events for chunk in chunks]), calibration))
        mean = np.concatenate([chunk.scenes for chunk in chunks]).mean(axis=0, dtype=np.float64)
        scenes.append(scene_probabilities(mean, calibration))
    np.testing.assert_allclose(events[1], events[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(scenes[1], scenes[0], rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_memory_on_a_gpu_does_not_grow_with_the_recording(cpu_and_cuda):
    _, on_cuda = cpu_and_cuda
    peaks = []
    for minutes in (20, 60):
        torch.cuda.reset_peak_memory_stats()
        for _ in on_cuda.stream(np.zeros(16000 * 60, np.float32) for _ in range(minutes)):
            pass
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[0] == pytest.approx(peaks[1], rel=0.05)
    assert peaks[1] < 4 * 2**30
