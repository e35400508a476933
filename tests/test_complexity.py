import math

import pytest
import torch
from tiny_model import CONFIG, make_network

from compactcli.complexity import layer_costs
from compactcli.config import FeatureConfig, NetworkConfig, StageConfig
from compactcli.model import CompactConv2d, CompactNet

FEATURES = FeatureConfig()
FRAMES_PER_S = 25  # output frames


def make_default(group_size=2):
    return CompactNet(NetworkConfig(group_size=group_size), n_mels=64, n_scenes=19, n_events=57)


def by_name(network, features=FEATURES):
    return {cost.name: cost for cost in layer_costs(network, features)}


def bands_of(name):
    """Frequency bands of a block: 64, halved by the stem, then at the first, third and sixth block of the stages."""
    section, index = name.split(".")[:2]
    return 1 if section == "context" else 16 if int(index) < 2 else 8 if int(index) < 5 else 4


@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_every_compact_convolution_costs_what_the_formula_says(group_size):
    network = make_default(group_size)
    costs = by_name(network)
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, CompactConv2d)}
    assert len(convolutions) == 2 + 3 + 5 + 6
    for name, module in convolutions.items():
        channels, (height, width) = module.depthwise.in_channels, module.depthwise.kernel_size
        depthwise, pointwise = costs[f"{name}.depthwise"], costs[f"{name}.pointwise"]
        assert (depthwise.kind, pointwise.kind) == ("depth-wise", "1x1")
        parameters = height * width * channels + channels // group_size * module.pointwise.out_channels
        assert depthwise.parameters + pointwise.parameters == parameters
        assert depthwise.macs_per_s + pointwise.macs_per_s == bands_of(name) * FRAMES_PER_S * parameters


def test_the_ratio_to_the_depthwise_separable_convolution():
    network = make_default(2)
    compact, separable = by_name(network), by_name(make_default(1))
    assert compact.keys() == separable.keys()
    for name, module in network.named_modules():
        if isinstance(module, CompactConv2d):
            taps, out_channels = math.prod(module.depthwise.kernel_size), module.pointwise.out_channels
            expected = (taps + out_channels / 2) / (taps + out_channels)
            for quantity in ("parameters", "macs_per_s"):
                ours, theirs = (
                    sum(getattr(costs[f"{name}.{part}"], quantity) for part in ("depthwise", "pointwise"))
                    for costs in (compact, separable)
                )
                assert ours / theirs == pytest.approx(expected, rel=1e-12)


def test_a_layer_by_hand():
    convolution = CompactConv2d(8, 12, 3)
    # 3 * 3 * 8 depth-wise and 8 / 2 * 12 point-wise
    assert sum(weight.numel() for weight in convolution.parameters()) == 72 + 48
    cost = by_name(make_network(), CONFIG.features)["stages.0.convolution.pointwise"]
    # 4 channels in pairs to 8; 16 mel bands halved by the stem and by the stage; 25 frames a second
    assert (cost.parameters, cost.macs_per_s) == (4 // 2 * 8, 4 * 25 * 4 // 2 * 8)


@pytest.mark.parametrize("network", [make_default(), make_network()], ids=["default", "tiny"])
def test_no_parameter_is_missing_or_counted_twice(network):
    features = FeatureConfig(n_mels=network.input_norm.num_features)
    costs = layer_costs(network, features)
    assert sum(cost.parameters for cost in costs) == sum(parameter.numel() for parameter in network.parameters())
    assert len({cost.name for cost in costs}) == len(costs)


def test_stem_heads_and_normalisation():
    costs = by_name(make_default())
    assert costs["stem.0"].kind == "convolution"
    assert (costs["stem.0"].parameters, costs["stem.0"].macs_per_s) == (5 * 5 * 32, 5 * 5 * 32 * 32 * FRAMES_PER_S)
    # biases are parameters but cost no multiplication
    assert costs["event_head"].kind == "1x1"
    assert (costs["event_head"].parameters, costs["event_head"].macs_per_s) == (256 * 57 + 57, 256 * 57 * FRAMES_PER_S)
    assert costs["input_norm"].kind == "normalisation"
    assert (costs["input_norm"].parameters, costs["input_norm"].macs_per_s) == (2 * 64, 0)


def test_layers_come_in_the_order_of_the_forward_pass():
    names = list(by_name(make_default()))
    assert names[:3] == ["input_norm", "stem.0", "stem.1"]
    assert names[3:6] == [f"stages.0.{part}" for part in ("convolution.depthwise", "convolution.pointwise", "norm")]
    assert names[-2:] == ["scene_head", "event_head"]


def test_costs_scale_with_the_frame_rate():
    slow, fast = FeatureConfig(n_mels=16, hop_length=640), FeatureConfig(n_mels=16, hop_length=160)
    network = make_network()
    totals = [sum(cost.macs_per_s for cost in layer_costs(network, features)) for features in (slow, fast)]
    assert totals[1] == 4 * totals[0]


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(training):
    network = make_network().train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layer_costs(network, CONFIG.features)
    assert network.training is training
    assert all(not module._forward_hooks for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_kinds_do_not_depend_on_the_width():
    config = NetworkConfig(
        stem_channels=2, stages=(StageConfig(channels=2, n_blocks=0, kernel_size=(1, 1)),), context=()
    )
    network = CompactNet(config, n_mels=4, n_scenes=1, n_events=1)
    costs = by_name(network, FeatureConfig(n_mels=4))
    assert costs["stages.0.convolution.depthwise"].kind == "depth-wise"
    assert costs["stages.0.convolution.pointwise"].kind == "1x1"
