import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from tiny_model import CONFIG, make_network

from compactcli.calibration import event_probabilities, scene_probabilities
from compactcli.config import CalibrationConfig, FeatureConfig, NetworkConfig, StageConfig
from compactcli.errors import ConfigError
from compactcli.features import LogMel
from compactcli.graph import describe, network_model, scoring_model
from compactcli.graph.builder import IR_VERSION, OPSET, GraphBuilder, stored_tensors
from compactcli.graph.network import INTERCHANNEL
from compactcli.graph.scoring import _add_power
from compactcli.model import OPERATIONS

LOG_MEL = (20 * np.random.default_rng(5).standard_normal((1, 16, 101)) - 50).astype(np.float32)
NOISE = (0.1 * np.random.default_rng(6).standard_normal(20000)).astype(np.float32)
# group sizes with a middle value and with two of them
WIDTHS = {1: 8, 2: 8, 3: 12, 4: 8, 5: 10}


def with_network(**changes):
    return dataclasses.replace(CONFIG, network=dataclasses.replace(CONFIG.network, **changes))


def grouped(operation, group_size):
    width = WIDTHS[group_size]
    return with_network(
        stem_channels=width,
        stages=(
            StageConfig(channels=width, n_blocks=1, kernel_size=(3, 5)),
            StageConfig(channels=2 * width, n_blocks=0),
        ),
        context=(StageConfig(channels=2 * width, n_blocks=1, kernel_size=(1, 33)),),
        operation=operation,
        group_size=group_size,
    )


def weights_of(network):
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def run(model, **inputs):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)


# ---------------------------------------------------------------- the network


def test_every_operation_has_its_form():
    assert INTERCHANNEL.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("group_size", WIDTHS)
def test_the_network_gives_the_logits_of_torch(operation, group_size):
    config = grouped(operation, group_size)
    network = make_network(config)
    found = run(network_model(config, weights_of(network)), log_mel=LOG_MEL)
    with torch.no_grad():
        expected = network(torch.from_numpy(LOG_MEL))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 50, 301])
def test_any_number_of_frames_goes_in(n_frames):
    network = make_network()
    log_mel = np.resize(LOG_MEL, (1, 16, n_frames))
    found = run(network_model(CONFIG, weights_of(network)), log_mel=log_mel)
    assert [item.shape for item in found] == [(1, -(-n_frames // 2), 2), (1, -(-n_frames // 2), 3)]
    with torch.no_grad():
        expected = network(torch.from_numpy(log_mel))
    np.testing.assert_allclose(found[1], expected[1].numpy(), rtol=0, atol=1e-4)


def test_a_network_without_context_stages_is_whole():
    config = with_network(context=())
    network = make_network(config)
    with torch.no_grad():
        expected = network(torch.from_numpy(LOG_MEL))[0].numpy()
    found = run(network_model(config, weights_of(network)), log_mel=LOG_MEL)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_an_operation_without_a_form_is_refused():
    with pytest.raises(ConfigError, match="interchannel operation 'mode' has no ONNX form, it must be one of"):
        network_model(with_network(operation="mode"), weights_of(make_network()))


@pytest.mark.parametrize("make", [network_model, scoring_model])
def test_graphs_are_standard_and_the_same_every_time(make):
    weights = weights_of(make_network())
    model = make(CONFIG, weights)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, [(item.domain, item.version) for item in model.opset_import]) == (
        IR_VERSION,
        [("", OPSET)],
    )
    assert {node.domain for node in model.graph.node} == {""}
    assert make(CONFIG, weights).SerializeToString() == model.SerializeToString()


# ---------------------------------------------------------------- weights


def test_tensors_are_found_in_the_file():
    weights = weights_of(make_network())
    expected = {name: tensor.numpy() for name, tensor in load(weights).items() if tensor.dtype == torch.float32}
    found = stored_tensors(weights)
    assert found.keys() == expected.keys()
    for name, place in found.items():
        data = weights[place.offset : place.offset + place.length]
        np.testing.assert_array_equal(np.frombuffer(data, np.float32).reshape(place.shape), expected[name])


def test_a_graph_beside_its_weights_holds_none(tmp_path):
    network = make_network()
    weights = weights_of(network)
    (tmp_path / "weights").write_bytes(weights)
    model = network_model(CONFIG, weights, location="weights")
    (tmp_path / "graph").write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(tmp_path / "graph"))
    outside = [item for item in model.graph.initializer if item.data_location == onnx.TensorProto.EXTERNAL]
    inside = [item for item in model.graph.initializer if item.data_location != onnx.TensorProto.EXTERNAL]
    assert {item.name for item in outside} == stored_tensors(weights).keys()
    assert all(item.data_type == onnx.TensorProto.INT64 for item in inside)
    session = onnxruntime.InferenceSession(str(tmp_path / "graph"))
    for ours, theirs in zip(
        session.run(None, {"log_mel": LOG_MEL}), run(network_model(CONFIG, weights), log_mel=LOG_MEL), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_equal_constants_are_stored_once():
    builder = GraphBuilder(weights_of(make_network()))
    first = builder.constant([1, 2], np.int64)
    assert builder.constant([1, 2], np.int64) == first
    others = {builder.constant([1, 2]), builder.constant([[1, 2]], np.int64), builder.constant([2, 1], np.int64)}
    assert len(others - {first}) == 3


# ---------------------------------------------------------------- waveform to probabilities


@settings(max_examples=25)
@given(
    n_samples=st.integers(1, len(NOISE)),
    features=st.sampled_from(
        [
            FeatureConfig(n_mels=16),
            FeatureConfig(n_mels=16, n_fft=512, hop_length=160),
            # no power of two, and one whose largest common step with the hop is 2 samples
            FeatureConfig(n_mels=16, n_fft=600, hop_length=250, f_max=8000.0),
            FeatureConfig(n_mels=16, n_fft=802, hop_length=320),
        ]
    ),
    calibration=st.sampled_from(
        [
            CONFIG.calibration,
            CalibrationConfig(),
            CalibrationConfig(scene_scale=0.5, scene_bias=(1.0, -1.0), event_scale=2.0, event_bias=(1.0, 0.0, -1.0)),
        ]
    ),
)
def test_probabilities_are_those_of_torch(n_samples, features, calibration):
    config = dataclasses.replace(CONFIG, features=features, calibration=calibration)
    network = make_network(config)
    waveform = NOISE[:n_samples]
    scenes, events = run(scoring_model(config, weights_of(network)), waveform=waveform[None])
    padded = np.pad(waveform, (0, -n_samples % config.clock.frame_length))
    with torch.no_grad():
        logits = [item[0].numpy() for item in network(LogMel(features)(torch.from_numpy(padded)[None]))]
    assert events.shape == (1, config.clock.n_frames(n_samples), 3)
    np.testing.assert_allclose(scenes[0], scene_probabilities(logits[0].mean(axis=0), calibration), rtol=0, atol=1e-5)
    np.testing.assert_allclose(events[0], event_probabilities(logits[1], calibration), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_fft", [4, 6, 64, 600, 802, 1024])
def test_the_transform_in_two_steps_is_the_transform(n_fft):
    frames = np.random.default_rng(7).standard_normal((3, n_fft)).astype(np.float32)
    builder = GraphBuilder(weights_of(make_network()))
    builder.node("Identity", _add_power(builder, "frames", n_fft), output="power")
    [power] = run(
        builder.model("transform", inputs={"frames": ("n", n_fft)}, outputs={"power": ("n", n_fft // 2)}), frames=frames
    )
    expected = np.abs(np.fft.rfft(frames.astype(np.float64))[:, :-1]) ** 2
    # bins stand in rows of k, k + rows, k + 2 rows ...; together they are the same numbers
    np.testing.assert_allclose(np.sort(power), np.sort(expected), rtol=1e-4, atol=1e-4)


def test_a_description_says_what_a_program_needs():
    words = describe(CONFIG)
    assert (words["name"], words["version"]) == ("tiny", "1")
    assert tuple(json.loads(words["scenes"])) == CONFIG.scenes
    assert tuple(json.loads(words["events"])) == CONFIG.events
    assert (json.loads(words["sample_rate"]), json.loads(words["frame_s"])) == (16000, 0.04)
    assert json.loads(words["calibration"])["event_bias"] == [0.5, 0.0, -0.5]
    assert json.loads(words["features"])["n_fft"] == 1024
    assert json.loads(words["detection"])["threshold"] == 0.5


def test_networks_of_other_shapes_are_drawn():
    config = dataclasses.replace(
        CONFIG,
        network=NetworkConfig(stem_channels=6, stem_kernel_size=(3, 7), stages=(StageConfig(channels=4, n_blocks=0),)),
    )
    network = make_network(config)
    with torch.no_grad():
        expected = network(torch.from_numpy(LOG_MEL))[1].numpy()
    np.testing.assert_allclose(
        run(network_model(config, weights_of(network)), log_mel=LOG_MEL)[1], expected, rtol=0, atol=1e-4
    )
