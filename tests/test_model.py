import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import CONFIG, make_network
from torch.nn import functional

from compactcli.config import NetworkConfig, StageConfig
from compactcli.errors import ConfigError
from compactcli.model import OPERATIONS, CompactConv2d, CompactNet, InterchannelOp, _PackedPairMax, _PairMax

NUMPY = {
    "max": lambda groups: groups.max(axis=2),
    "min": lambda groups: groups.min(axis=2),
    "mean": lambda groups: groups.mean(axis=2),
    "sum": lambda groups: groups.sum(axis=2),
    "median": lambda groups: np.median(groups, axis=2),
    "l2": lambda groups: np.linalg.norm(groups, axis=2),
    "lse": lambda groups: np.logaddexp.reduce(groups, axis=2),
}


def draw(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make_convolution(*arguments, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return CompactConv2d(*arguments, **options).double()


def join(operation, x, group_size=2):
    return InterchannelOp(operation, group_size)(x)


# ---------------------------------------------------------------- interchannel operations


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("group_size", [2, 3, 4])
def test_operations_join_adjacent_channels(operation, group_size):
    x = draw(2, 12, 3, 5)
    groups = x.numpy().reshape(2, 12 // group_size, group_size, 3, 5)
    joined = join(operation, x, group_size)
    np.testing.assert_allclose(joined.numpy(), NUMPY[operation](groups), atol=1e-9)


def test_groups_are_neighbours_and_do_not_overlap():
    x = torch.tensor([1.0, 2.0, 30.0, 40.0]).reshape(1, 4, 1, 1)
    assert join("sum", x).flatten().tolist() == [3.0, 70.0]
    assert join("max", x).flatten().tolist() == [2.0, 40.0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_have_no_parameters(operation):
    assert not InterchannelOp(operation, 2).state_dict()
    assert f"{operation}, group_size=2" in repr(InterchannelOp(operation, 2))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_groups_of_one_change_nothing(operation):
    x = draw(2, 6, 3, 5)
    assert torch.equal(join(operation, x, 1), x)


@pytest.mark.parametrize("group_size", [2, 3])
def test_max_is_minus_min_of_minus(group_size):
    x = draw(2, 6, 3, 5)
    assert torch.equal(join("max", x, group_size), -join("min", -x, group_size))


def test_median_of_a_pair_is_its_mean():
    x = draw(2, 6, 3, 5)
    torch.testing.assert_close(join("median", x), join("mean", x))


def test_max_of_a_pair_is_the_mean_and_half_the_distance():
    x = draw(2, 6, 3, 5)
    first, second = x[:, 0::2], x[:, 1::2]
    torch.testing.assert_close(join("max", x), (first + second) / 2 + (first - second).abs() / 2)


@pytest.mark.parametrize("group_size", [2, 3])
def test_max_commutes_with_relu(group_size):
    x = draw(2, 6, 3, 5)
    assert torch.equal(torch.relu(join("max", x, group_size)), join("max", torch.relu(x), group_size))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("group_size", [2, 3])
def test_training_and_inference_give_the_same_numbers(operation, group_size):
    x = draw(2, 6, 3, 5)
    with torch.no_grad():
        inference = join(operation, x, group_size)
    training = join(operation, x.clone().requires_grad_(), group_size)
    assert training.requires_grad
    assert torch.equal(training.detach(), inference)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("group_size", [2, 3])
def test_gradients_are_those_of_finite_differences(operation, group_size):
    x = draw(2, 6, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: join(operation, values, group_size), (x,))


def test_the_gradient_of_pair_max_is_that_of_torch_maximum():
    x, weight = draw(2, 6, 3, 5), draw(2, 3, 3, 5, seed=1)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    (_PairMax.apply(ours) * weight).sum().backward()
    (torch.maximum(theirs[:, 0::2], theirs[:, 1::2]) * weight).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_pairs_packed_in_one_word_have_the_numbers_and_gradients_of_pair_max(layout):
    # few values: of either sign, with many ties
    x = (draw(3, 8, 5, 7) * 2).round().bfloat16().contiguous(memory_format=layout)
    x[0, :4, 0, 0] = torch.tensor([math.inf, -math.inf, -0.0, 0.0])
    weight = draw(3, 4, 5, 7, seed=1).bfloat16().contiguous(memory_format=layout)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    packed, plain = _PackedPairMax.apply(ours), _PairMax.apply(theirs)
    packed.backward(weight)
    plain.backward(weight)
    assert packed.dtype == torch.bfloat16
    assert torch.equal(packed, plain)
    assert torch.equal(ours.grad, theirs.grad)


def test_packed_pairs_do_not_hide_what_is_not_a_number():
    x = torch.tensor([math.nan, 1.0, 1.0, math.nan]).bfloat16().reshape(1, 4, 1, 1).requires_grad_()
    assert _PackedPairMax.apply(x).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("operation", ["max", "min"])
def test_the_gradient_of_a_tie_goes_to_the_first(operation, dtype):
    x = torch.tensor([2.0, 2.0, 5.0, 5.0, 0.0, -0.0], dtype=dtype).reshape(1, 6, 1, 1).requires_grad_()
    join(operation, x).mul(torch.tensor([3.0, 7.0, 11.0]).reshape(1, 3, 1, 1)).sum().backward()
    assert x.grad.flatten().tolist() == [3.0, 0.0, 7.0, 0.0, 11.0, 0.0]


def test_the_gradient_of_l2_is_finite_where_a_group_is_silent():
    x = torch.zeros(1, 2, 1, 1, requires_grad=True)
    join("l2", x).sum().backward()
    assert x.grad.flatten().tolist() == [0.0, 0.0]


def test_unknown_operations_are_refused():
    with pytest.raises(ConfigError, match=r"interchannel operation 'mode' is unknown, expected one of \['max', 'min'"):
        InterchannelOp("mode", 2)


@pytest.mark.parametrize("group_size", [0, -2])
def test_group_sizes_below_one_are_refused(group_size):
    with pytest.raises(ConfigError, match=f"group_size is {group_size}, expected at least 1"):
        InterchannelOp("max", group_size)
    with pytest.raises(ConfigError, match=f"group_size is {group_size}, expected at least 1"):
        CompactConv2d(8, 8, group_size=group_size)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("trained", [True, False])
def test_channels_that_do_not_fill_the_groups_are_refused(operation, trained):
    # three channels: views of every second one would broadcast, two against one, without a word
    with pytest.raises(ConfigError, match="3 channels entered, not divisible by group_size 2"):
        join(operation, torch.zeros(1, 3, 2, 2, requires_grad=trained))


# ---------------------------------------------------------------- compact convolution


@pytest.mark.parametrize("operation", OPERATIONS)
def test_groups_of_one_are_the_depthwise_separable_convolution(operation):
    convolution = make_convolution(6, 4, (3, 5), 2, 1, operation)
    x = draw(2, 6, 7, 9)
    z = functional.conv2d(x, convolution.depthwise.weight, stride=2, padding=(1, 2), groups=6)
    expected = torch.einsum("oc,bchw->bohw", convolution.pointwise.weight[:, :, 0, 0], z)
    torch.testing.assert_close(convolution(x), expected)


@pytest.mark.parametrize("group_size", [2, 3])
def test_mean_is_the_separable_convolution_with_tied_weights(group_size):
    convolution = make_convolution(6, 4, 3, 1, group_size, "mean")
    x = draw(2, 6, 7, 9)
    z = functional.conv2d(x, convolution.depthwise.weight, padding=1, groups=6)
    tied = convolution.pointwise.weight.repeat_interleave(group_size, dim=1) / group_size
    torch.testing.assert_close(convolution(x), functional.conv2d(z, tied))


def test_max_and_min_span_the_same_functions():
    largest, smallest = make_convolution(6, 4, operation="max"), make_convolution(6, 4, operation="min")
    with torch.no_grad():
        smallest.depthwise.weight.copy_(-largest.depthwise.weight)
        smallest.pointwise.weight.copy_(-largest.pointwise.weight)
    x = draw(2, 6, 7, 9)
    torch.testing.assert_close(smallest(x), largest(x))


def test_depthwise_then_interchannel_then_pointwise():
    convolution = make_convolution(2, 1, kernel_size=1)
    with torch.no_grad():
        convolution.depthwise.weight.copy_(torch.tensor([2.0, -5.0]).reshape(2, 1, 1, 1))
        convolution.pointwise.weight.fill_(-3.0)
    # max(2 * 1, -5 * 1) * -3 = -6; joined before the kernels it would be -6 or 15, after the 1x1 weights 15
    assert convolution(torch.ones(1, 2, 1, 1).double()).item() == -6.0
    # max(2 * -1, -5 * -1) * -3 = -15; joined before the kernels 6 or -15, after the 1x1 weights 6
    assert convolution(-torch.ones(1, 2, 1, 1).double()).item() == -15.0
    # max(2 * 1, -5 * 0) * -3 = -6, and max(2 * 0, -5 * 1) * -3 = 0: each kernel has its own channel
    assert convolution(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).double()).item() == -6.0
    assert convolution(torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1).double()).item() == 0.0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_three_steps_one_after_another(operation):
    convolution = make_convolution(6, 4, (3, 5), (1, 2), 2, operation)
    x = draw(2, 6, 7, 9)
    z = functional.conv2d(x, convolution.depthwise.weight, stride=(1, 2), padding=(1, 2), groups=6)  # (2, 6, 7, 5)
    joined = torch.from_numpy(NUMPY[operation](z.detach().numpy().reshape(2, 3, 2, 7, 5)))
    torch.testing.assert_close(convolution(x), functional.conv2d(joined, convolution.pointwise.weight))


@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_the_weights_are_those_of_the_formula(group_size):
    convolution = CompactConv2d(8, 12, (3, 5), group_size=group_size)
    shapes = {name: tuple(weight.shape) for name, weight in convolution.named_parameters()}
    assert shapes == {"depthwise.weight": (8, 1, 3, 5), "pointwise.weight": (12, 8 // group_size, 1, 1)}


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    kernel=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 7])),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_an_axis_becomes_its_length_by_the_stride_rounded_up(height, width, kernel, stride):
    convolution = CompactConv2d(2, 3, kernel, stride)
    expected = (1, 3, -(-height // stride[0]), -(-width // stride[1]))
    assert tuple(convolution(torch.zeros(1, 2, height, width)).shape) == expected


@pytest.mark.parametrize(("in_channels", "group_size"), [(5, 2), (8, 3), (2, 4)])
def test_channels_and_groups_that_do_not_fit_are_both_named(in_channels, group_size):
    with pytest.raises(ConfigError, match=f"in_channels is {in_channels}, not divisible by group_size {group_size}"):
        CompactConv2d(in_channels, 8, group_size=group_size)


@pytest.mark.parametrize("kernel", [2, (3, 4), (4, 3)])
def test_even_kernels_are_refused(kernel):
    pair = (kernel, kernel) if isinstance(kernel, int) else kernel
    with pytest.raises(ConfigError, match=rf"kernel_size is \({pair[0]}, {pair[1]}\), expected odd sides"):
        CompactConv2d(4, 4, kernel)


def test_unknown_operations_are_refused_by_the_convolution_too():
    with pytest.raises(ConfigError, match="interchannel operation 'mode' is unknown"):
        CompactConv2d(4, 4, operation="mode")


# ---------------------------------------------------------------- network


def make_net(network, *, n_mels=16):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return CompactNet(network, n_mels=n_mels, n_scenes=2, n_events=3).eval()


@pytest.mark.parametrize("n_frames", [1, 2, 3, 50, 51])
@pytest.mark.parametrize("context", [CONFIG.network.context, ()], ids=["context", "no context"])
def test_two_log_mel_frames_are_one_output_frame(n_frames, context):
    network = make_net(NetworkConfig(stem_channels=4, stages=CONFIG.network.stages, context=context))
    with torch.no_grad():
        scenes, events = network(torch.full((3, 16, n_frames), -50.0))
        embedding = network.embed(torch.full((3, 16, n_frames), -50.0))
    n_output_frames = -(-n_frames // 2)
    assert tuple(scenes.shape) == (3, n_output_frames, 2)
    assert tuple(events.shape) == (3, n_output_frames, 3)
    assert tuple(embedding.shape) == (3, network.embedding_size, n_output_frames)


def test_the_default_network_takes_a_clip():
    network = CompactNet(NetworkConfig(), n_mels=64, n_scenes=19, n_events=57).eval()
    with torch.no_grad():
        scenes, events = network(torch.full((1, 64, 25), -50.0))
    assert (tuple(scenes.shape), tuple(events.shape)) == ((1, 13, 19), (1, 13, 57))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_makes_a_network_that_learns(operation):
    network = make_net(NetworkConfig(stem_channels=4, stages=CONFIG.network.stages, operation=operation)).train()
    scenes, events = network(draw(4, 16, 10).float())
    (scenes.square().sum() + events.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_heads_read_the_embedding():
    network = make_network()
    log_mel = draw(2, 16, 20).float() * 20 - 50
    with torch.no_grad():
        scenes, events = network(log_mel)
        embedding = network.embed(log_mel)
        for logits, head in ((scenes, network.scene_head), (events, network.event_head)):
            expected = torch.einsum("kc,bct->btk", head.weight[:, :, 0], embedding) + head.bias
            torch.testing.assert_close(logits, expected)


def test_bands_are_joined_by_their_mean_and_their_maximum():
    network = make_net(NetworkConfig(stem_channels=4, stages=CONFIG.network.stages, context=()))
    log_mel = draw(2, 16, 20).float() * 20 - 50
    with torch.no_grad():
        bands = network.stages(network.stem(network.input_norm(log_mel).unsqueeze(1)))
        assert bands.shape[2] > 1
        torch.testing.assert_close(network.embed(log_mel), bands.mean(dim=2) + bands.amax(dim=2))


def test_events_start_out_rare():
    _, events = make_net(CONFIG.network)(torch.zeros(1, 16, 50))
    assert torch.sigmoid(events).max() < 0.1


SHAPES = {
    "tiny": CONFIG.network,
    "no context": NetworkConfig(stem_channels=4, stages=CONFIG.network.stages, context=()),
    "wide stem": NetworkConfig(stem_channels=4, stem_kernel_size=(3, 7), stages=CONFIG.network.stages, context=()),
    "long kernels": NetworkConfig(
        stem_channels=4,
        stages=(StageConfig(channels=8, n_blocks=2, kernel_size=(3, 5)),),
        context=(
            StageConfig(channels=12, n_blocks=2, kernel_size=(1, 9)),
            StageConfig(channels=12, n_blocks=1, kernel_size=(1, 17)),
        ),
    ),
}


@pytest.mark.parametrize("network", SHAPES.values(), ids=SHAPES)
def test_context_frames_reach_as_far_as_the_gradient(network):
    net = make_net(network)
    for parameter in net.parameters():
        parameter.data.abs_()  # nothing positive can be stopped by a ReLU or cancelled
    frame, n_frames = 60, 240
    log_mel = torch.rand(1, 16, n_frames, generator=torch.Generator().manual_seed(4)).requires_grad_()
    scenes, events = net(log_mel)
    (scenes[0, frame].sum() + events[0, frame].sum()).backward()
    touched = torch.nonzero(log_mel.grad[0].abs().sum(dim=0)).flatten()
    # Exact before the frame. After it one less: the stem's centre is the first of the frame's two log-mel frames.
    assert 2 * frame - int(touched.min()) == net.context_frames
    assert int(touched.max()) - (2 * frame + 1) == net.context_frames - 1


def test_channels_of_a_network_have_to_fill_its_groups():
    with pytest.raises(ConfigError, match="in_channels is 6, not divisible by group_size 4"):
        make_net(NetworkConfig(stem_channels=4, stages=(StageConfig(channels=6, n_blocks=1),), group_size=4))


@pytest.mark.parametrize(("n_mels", "n_stages", "divisor"), [(40, 3, 16), (15, 1, 4), (2, 1, 4)])
def test_mel_bands_have_to_survive_the_halving(n_mels, n_stages, divisor):
    network = NetworkConfig(stem_channels=4, stages=(StageConfig(channels=8, n_blocks=0),) * n_stages)
    with pytest.raises(ConfigError, match=f"n_mels is {n_mels}, not divisible by {divisor}"):
        make_net(network, n_mels=n_mels)
