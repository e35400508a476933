import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_model import CONFIG, make_network

from compactcli.audio import read_audio
from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.checkpoint import DEFAULT_MODEL, GRAPH, find_model, save_model
from compactcli.config import WEIGHTS
from compactcli.engine import load_engine
from compactcli.engine.base import CHUNK_S
from compactcli.engine.onnx import MAX_THREADS, WAITING_WINDOWS, OnnxEngine, usable_threads
from compactcli.engine.torch import TorchEngine
from compactcli.errors import AudioError, ConfigError, ModelError
from compactcli.export import export_model
from compactcli.model import OPERATIONS

ROOT = Path(__file__).parents[1]
SAMPLES = sorted(path for path in (ROOT / "sample_audio").iterdir() if path.suffix in (".wav", ".flac"))
HEAVY = ("torch", "torchaudio", "librosa", "scipy", "pandas", "matplotlib", "numba", "onnx", "sklearn", "safetensors")


@pytest.fixture
def copy(folder, tmp_path):
    """A folder that a test may spoil."""
    return shutil.copytree(folder, tmp_path / "tiny")


def put_graph(folder, content):
    """Replace the graph by another whose checksum is right."""
    (folder / GRAPH).write_bytes(content)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings["sha256"][GRAPH] = hashlib.sha256(content).hexdigest()
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")


def logits(engine, waveform):
    chunks = list(engine.stream([waveform]))
    return [np.concatenate([getattr(chunk, head) for chunk in chunks]) for head in ("scenes", "events")]


def scores(engine, waveform):
    scenes, events = logits(engine, waveform)
    calibration = engine.config.calibration
    return scene_probabilities(scenes.mean(axis=0), calibration), event_probabilities(events, calibration)


# ---------------------------------------------------------------- the same as torch


@pytest.mark.parametrize("operation", OPERATIONS)
def test_scores_are_those_of_torch_for_all_operations(operation, tmp_path, noise):
    network = dataclasses.replace(CONFIG.network, operation=operation)
    config = dataclasses.replace(CONFIG, network=network)
    save_model(tmp_path, config, make_network(config))
    waveform = noise(2.5)
    for ours, theirs in zip(
        logits(OnnxEngine(tmp_path), waveform), logits(TorchEngine(tmp_path, device="cpu"), waveform), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_shipped_model_scores_the_samples_as_torch_does(path):
    folder = find_model(DEFAULT_MODEL)
    waveform = read_audio(path, sample_rate=16000)
    for ours, theirs in zip(
        scores(OnnxEngine(folder), waveform), scores(TorchEngine(folder, device="cpu"), waveform), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


# ---------------------------------------------------------------- threads


def stream(engine, waveform):
    return engine.stream(np.split(waveform, range(16000, len(waveform), 16000)))


@pytest.mark.parametrize("threads", [2, 3, 100])
@pytest.mark.parametrize("duration_s", [0.5, CHUNK_S, CHUNK_S + 10, 4.2 * CHUNK_S])
def test_threads_do_not_change_the_scores(folder, duration_s, threads, noise):
    plain, threaded = (list(stream(OnnxEngine(folder, threads=n), noise(duration_s))) for n in (1, threads))
    for ours, theirs in zip(threaded, plain, strict=True):
        np.testing.assert_array_equal(ours.events, theirs.events)
        np.testing.assert_array_equal(ours.scenes, theirs.scenes)


def test_no_more_windows_are_cut_than_threads_can_hear(folder, noise):
    """Memory depends on the threads, not on how far decoding could run ahead."""
    cut = []

    def blocks():
        for block in np.split(noise(20 * CHUNK_S), 20):
            cut.append(len(block))
            yield block

    chunks = OnnxEngine(folder, threads=100).stream(blocks())
    next(chunks)
    assert len(cut) <= MAX_THREADS + WAITING_WINDOWS + 2
    chunks.close()


def test_nothing_is_decoded_before_somebody_asks(folder):
    def blocks():
        raise AssertionError
        yield

    OnnxEngine(folder, threads=2).stream(blocks())


def test_a_decoder_that_fails_beside_the_network_is_heard_and_leaves_no_thread(folder, noise):
    def blocks():
        yield from np.split(noise(3 * CHUNK_S), 90)
        raise AudioError("a.wav has a bad sample")

    n_threads = threading.active_count()
    engine = OnnxEngine(folder, threads=2)
    with pytest.raises(AudioError, match="a.wav has a bad sample"):
        list(engine.stream(blocks()))
    assert threading.active_count() == n_threads
    # and it can be used again
    assert len(list(stream(engine, noise(3 * CHUNK_S)))) == 3


def test_a_stream_that_nobody_reads_to_its_end_leaves_no_thread(folder, noise):
    n_threads = threading.active_count()
    chunks = stream(OnnxEngine(folder, threads=2), noise(4 * CHUNK_S))
    next(chunks)
    assert threading.active_count() > n_threads
    chunks.close()
    assert threading.active_count() == n_threads


def test_threads_are_what_the_environment_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert usable_threads() == 3


@pytest.mark.parametrize("value", ["", "0", "many", "-1"])
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell a process its cores")
def test_threads_are_the_cores_where_the_environment_says_nothing(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5})
    assert usable_threads() == 3


def test_threads_are_all_cores_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_threads() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_threads() == 1


# ---------------------------------------------------------------- folders that cannot be loaded


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
def test_an_altered_file_is_noticed(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[-1] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"model file '.*{name}' has sha256 .*, expected "):
        OnnxEngine(copy)


def test_a_missing_graph_is_noticed(copy):
    (copy / GRAPH).unlink()
    with pytest.raises(ModelError, match=r"model file '.*model.onnx' cannot be read: "):
        OnnxEngine(copy)


def test_a_graph_without_a_checksum_is_refused(copy):
    settings = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    del settings["sha256"][GRAPH]
    (copy / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelError, match=r"the onnx engine needs '.*model.onnx', the model's settings hold no sha256"):
        OnnxEngine(copy)


def with_location(content, location):
    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    return model.SerializeToString()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: b"no graph",
        lambda content: content[: len(content) // 2],
        lambda content: with_location(content, "missing"),
        lambda content: with_location(content, "../outside"),
    ],
    ids=["empty", "text", "cut", "missing weights", "weights outside the folder"],
)
def test_what_is_no_graph_is_refused(copy, change):
    shutil.copy(copy / WEIGHTS, copy.parent / "outside")
    put_graph(copy, change((copy / GRAPH).read_bytes()))
    with pytest.raises(ModelError, match=r"graph '.*model.onnx' cannot be loaded: ") as caught:
        OnnxEngine(copy)
    assert "\n" not in caught.value.message
    assert caught.value.hint == "reinstall the model"


def test_a_graph_of_another_shape_is_refused(copy, tmp_path):
    other = dataclasses.replace(CONFIG, scenes=("rain", "cafe", "office"))
    save_model(tmp_path / "other", other, make_network(other))
    put_graph(copy, (tmp_path / "other" / GRAPH).read_bytes())
    shutil.copy(tmp_path / "other" / WEIGHTS, copy)
    settings = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    settings["sha256"][WEIGHTS] = hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest()
    (copy / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"graph '.*' has inputs and outputs .*'scene_logits': \[1, 'n', 3\].*expected"
    ):
        OnnxEngine(copy)


# ---------------------------------------------------------------- exported graphs


@pytest.fixture
def exported(folder, tmp_path, noise):
    """Write what ``compact export`` makes of a model."""

    def write(folder=folder, **options):
        path = tmp_path / "exported.onnx"
        path.write_bytes(export_model(folder, check=[noise(0.5)], **options)[0])
        return path

    return write


@pytest.mark.parametrize("engine", ["auto", "onnx"])
def test_an_exported_network_runs_in_place_of_the_models(folder, exported, noise, engine):
    path = exported(frontend=False)
    found = logits(load_engine(folder, engine=engine, graph=path), noise(2.0))
    for ours, theirs in zip(found, logits(OnnxEngine(folder), noise(2.0)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_graphs_that_are_no_network_of_the_model_are_refused(folder, copy, exported, tmp_path):
    with pytest.raises(ModelError, match=r"graph '.*exported.onnx' has inputs and outputs .*'waveform'") as caught:
        OnnxEngine(folder, graph=exported(frontend=True))
    assert caught.value.hint == "write it with compact export --no-frontend"
    with pytest.raises(ModelError, match=r"graph '.*missing.onnx' cannot be loaded"):
        OnnxEngine(folder, graph=tmp_path / "missing.onnx")
    save_model(copy, dataclasses.replace(CONFIG, version="2"), make_network())
    message = "exported.onnx' says that it is of model tiny, version 2, expected tiny, version 1"
    with pytest.raises(ModelError, match=message):
        OnnxEngine(folder, graph=exported(copy, frontend=False))


def test_graphs_are_for_onnx_on_the_cpu(folder, exported):
    path = exported(frontend=False)
    with pytest.raises(ConfigError, match=r"engine 'torch' was asked for with the graph '.*exported.onnx', which"):
        load_engine(folder, engine="torch", graph=path)
    with pytest.raises(ConfigError, match="engine 'onnx' was asked for with device 'cuda', it runs on the CPU alone"):
        load_engine(folder, device="cuda", graph=path)


# ---------------------------------------------------------------- what it loads


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_a_run_on_the_cpu_loads_nothing_heavy(command):
    code = (
        "import sys\n"
        "from compactcli.cli.app import main\n"
        f"code = main(['{command}', '--format', 'jsonl', '--device', 'cpu', '--quiet', sys.argv[1]])\n"
        f"print([name for name in {(*HEAVY, 'rich')!r} if name in sys.modules])\n"
        "sys.exit(code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, ROOT / "sample_audio" / "speech.wav"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    record, loaded = result.stdout.splitlines()
    assert (result.returncode, result.stderr, loaded) == (0, "", "[]")
    assert json.loads(record)["scenes"][0]["label"] == "speech"


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["classify", "sample_audio/speech.wav"], 0, ""),
        (["detect", "sample_audio/speech.wav"], 0, ""),
        (["models"], 0, ""),
        (["classify", "sample_audio/speech.wav", "--engine", "torch"], 2, "engine 'torch' needs the package torch"),
        (["detect", "sample_audio/speech.wav", "--device", "cuda"], 2, "device 'cuda' needs the package torch"),
        (["train", "models/compactnet/recipe.toml", "--corpus", ".", "-o", "m"], 2, "compact train needs the package"),
        (["evaluate", "--corpus", "."], 2, "compact evaluate needs the package torch, which is not installed here"),
        (["export", "-o", "m.onnx"], 2, "compact export needs the package onnx, which is not installed here"),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:]) if isinstance(value, list) else None,
)
def test_a_light_install_runs_what_it_can_and_says_what_it_cannot(words, code, error):
    blocked = (
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); "
        "from compactcli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocked, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.returncode == code, result.stderr
    assert error in result.stderr.replace("\n", " ")
    assert (result.stdout == "") == (code != 0)
    assert "bug" not in result.stderr
