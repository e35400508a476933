import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from safetensors.torch import save as torch_save
from tiny_model import make_network

from compactcli.checkpoint import load_network, read_config, write_folder
from compactcli.config import DetectionConfig
from compactcli.engine import load_engine
from compactcli.errors import ConfigError, ModelError
from compactcli.evaluation import hear
from compactcli.graph import network_model
from compactcli.heads import LinearHead, load_embedder, write_heads
from compactcli.plainjson import to_json

SIZE = 8


@pytest.fixture
def heads():
    rng = np.random.default_rng(0)

    def make(*classes):
        # as a fit gives them: the axes of the array lie the other way round in memory
        weight = rng.standard_normal((SIZE, len(classes))).astype(np.float32).T
        return LinearHead(classes=classes, weight=weight, bias=rng.standard_normal(len(classes)).astype(np.float32))

    return make("wren", "rain", "nothing"), make("wren", "rain")


def test_an_embedder_gives_the_embeddings_of_the_network(folder, noise):
    waveform = noise(1.3)
    embeddings = np.concatenate(list(load_embedder(folder, device="cpu").stream([waveform])))
    heard = hear(load_engine(folder, device="cpu"), waveform)
    head = make_network().event_head
    with torch.no_grad():
        logits = torch.from_numpy(embeddings) @ head.weight[:, :, 0].T + head.bias
    np.testing.assert_allclose(logits.numpy(), heard.events, atol=1e-4)


@pytest.mark.parametrize("package", ["safetensors", "onnx"])
def test_a_package_that_is_missing_is_named(package, folder, monkeypatch):
    monkeypatch.setattr("compactcli.packages.is_installed", lambda name: name != package)
    with pytest.raises(ConfigError, match=f"an embedding needs the package {package}, which is not installed here"):
        load_embedder(folder)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_model_gets_other_heads(engine, folder, heads, noise, tmp_path):
    scenes, events = heads
    config = read_config(folder)
    write_heads(folder, tmp_path / "mine", config, scenes=scenes, events=events)
    mine = load_engine(tmp_path / "mine", device="cpu", engine=engine)
    assert (mine.config.scenes, mine.config.events) == (("wren", "rain", "nothing"), ("wren", "rain"))
    waveform = noise(1.3)
    embeddings = np.concatenate(list(load_embedder(folder, device="cpu").stream([waveform])))
    heard = hear(mine, waveform)
    np.testing.assert_allclose(heard.events, embeddings @ events.weight.T + events.bias, atol=1e-3)
    np.testing.assert_allclose(heard.scenes, (embeddings @ scenes.weight.T + scenes.bias).mean(axis=0), atol=1e-3)


def test_settings_of_the_old_classes_go_with_them(folder, heads, tmp_path):
    config = read_config(folder)
    source = tmp_path / "source"
    tuned = DetectionConfig(threshold=0.4, class_thresholds={"dog": 0.3})
    write_folder(source, dataclasses.replace(config, detection=tuned), (folder / "model.safetensors").read_bytes())
    write_heads(source, tmp_path / "mine", read_config(source), scenes=heads[0], events=heads[1])
    found, _ = load_network(tmp_path / "mine")
    assert found.detection == DetectionConfig()
    assert (found.calibration.event_scale, found.calibration.event_bias) == (1.0, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("event_head.weight"), "do not fit the model's settings"),
        (lambda weights: weights.update({"event_head.weight": np.zeros(3, np.float32)}), "do not fit the model's set"),
        (lambda weights: weights["stem.0.weight"].fill(np.nan), "do not fit the model's settings: .* not finite"),
    ],
)
def test_weights_that_make_no_model(change, message, folder, tmp_path):
    weights = weights_of(folder)
    change(weights)
    broken = write_model(folder, tmp_path / "broken", save(weights))
    with pytest.raises(ModelError, match=message):
        load_embedder(broken)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda weights: b"no weights", "cannot be read"),
        (
            lambda weights: torch_save({name: torch.from_numpy(array).bfloat16() for name, array in weights.items()}),
            "cannot be read",
        ),
        (
            lambda weights: save({name: array.astype(np.float16) for name, array in weights.items()}),
            "do not fit the model's settings: 'input_norm.weight' is missing, expected in float32",
        ),
        (
            lambda weights: save({**weights, "stem.0.weight": np.full_like(weights["stem.0.weight"], np.nan)}),
            "hold values of stem.0.weight that are not finite",
        ),
    ],
)
def test_weights_beside_a_graph_that_does_without_them(data, message, folder, tmp_path):
    config = read_config(folder)
    graph = network_model(config, (folder / "model.safetensors").read_bytes()).SerializeToString()
    broken = write_model(folder, tmp_path / "broken", data(weights_of(folder)), graph=graph)
    load_engine(broken, device="cpu")
    with pytest.raises(ModelError, match=message):
        load_embedder(broken, device="cpu")


def weights_of(folder):
    return {name: array.copy() for name, array in load((folder / "model.safetensors").read_bytes()).items()}


def write_model(folder, place, weights, *, graph=None):
    """A copy of a model folder with other weights, without a graph or with another one, and their checksums."""
    shutil.copytree(folder, place)
    (place / "model.onnx").unlink()
    files = {"model.safetensors": weights} if graph is None else {"model.safetensors": weights, "model.onnx": graph}
    for name, content in files.items():
        (place / name).write_bytes(content)
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (place / "config.json").write_text(json.dumps(to_json(dataclasses.replace(read_config(folder), sha256=checksums))))
    return place
