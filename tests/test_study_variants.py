import pytest
import torch

from compactcli.config import NetworkConfig, StageConfig
from compactcli.study.clips import DESIGN as CLIPS
from compactcli.study.digits import DESIGN as DIGITS
from compactcli.study.soundscapes import DESIGN as SOUNDSCAPES
from compactcli.study.variants import BASELINE, PARAMETERS, WIDTH, Shape, Variant, variant_config, variants, widths

DESIGNS = (CLIPS, SOUNDSCAPES, DIGITS)
NETWORK = NetworkConfig(
    stem_channels=8,
    stem_kernel_size=(3, 3),
    stages=(StageConfig(channels=16, n_blocks=1),),
    context=(StageConfig(channels=16, n_blocks=1, kernel_size=(1, 5)),),
    group_size=1,
)
SHAPE = Shape(network=NETWORK, n_mels=8, n_scenes=3, n_events=5, head="event_head")


def by_hand(stem, width, group_size, n_classes):
    """Parameters of `NETWORK` at other widths: convolutions, normalisations with two numbers a channel, one head."""
    blocks = [(stem, 9), (width, 9), (width, 5)]
    convolutions = sum(taps * channels + channels // group_size * width for channels, taps in blocks)
    return 9 * stem + convolutions + 2 * (8 + stem + 3 * width) + width * n_classes + n_classes


def test_every_row_of_the_table_is_there_once():
    rows = variants()
    assert len(rows) == len(set(rows)) == 1 + 2 * (5 + 6)
    assert rows[0] == BASELINE
    assert {row.operation for row in rows[1:] if row.group_size == 2} == {"max", "min", "mean", "l2", "lse"}
    # the median of two is their mean
    assert {row.operation for row in rows[1:] if row.group_size == 4} == {"max", "min", "mean", "median", "l2", "lse"}
    assert {row.matched for row in rows} == {WIDTH, PARAMETERS}
    assert [row.label for row in rows[:2]] == ["separable", "max, g = 2"]


@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_parameters_are_those_of_the_head_that_is_used(group_size):
    variant = Variant(group_size=group_size, operation="mean", matched=WIDTH)
    config = variant_config(SHAPE, variant)
    assert SHAPE.n_parameters(config) == by_hand(8, 16, group_size, 5)
    network = SHAPE.build(variant)
    assert sum(item.numel() for item in network.parameters()) == by_hand(8, 16, group_size, 5) + 16 * 3 + 3
    assert (config.group_size, config.operation) == (group_size, "mean")


@pytest.mark.parametrize("design", DESIGNS, ids=[design.name for design in DESIGNS])
@pytest.mark.parametrize("group_size", [2, 4])
def test_equal_parameters_means_within_three_percent(design, group_size):
    target = design.shape.n_parameters(variant_config(design.shape, BASELINE))
    assert target == design.shape.n_parameters(design.shape.network)
    found = [variant_config(design.shape, row) for row in variants() if row.group_size == group_size]
    narrow = [config for config in found if widths(config) == widths(design.shape.network)]
    wide = [config for config in found if config not in narrow]
    assert len(narrow) == len(wide) == (5 if group_size == 2 else 6)
    assert len({widths(config) for config in wide}) == 1
    for config in wide:
        assert design.shape.n_parameters(config) == pytest.approx(target, rel=0.03)
        assert all(channels % 4 == 0 for channels in widths(config))
    for config in narrow:
        assert design.shape.n_parameters(config) < 0.7 * target


def test_the_nearest_of_all_widths_is_found():
    variant = Variant(group_size=2, operation="max", matched=PARAMETERS)
    target = by_hand(8, 16, 1, 5)
    # every pair of widths that one factor from 1 to 3 can round to
    pairs = {(4 * round(8 * f / 400), 4 * round(16 * f / 400)) for f in range(100, 301)}
    nearest = min(abs(by_hand(stem, width, 2, 5) - target) for stem, width in pairs)
    assert abs(SHAPE.n_parameters(variant_config(SHAPE, variant)) - target) == nearest


def test_networks_of_one_seed_and_shape_begin_with_the_same_weights():
    built = []
    for operation in ("max", "lse"):
        torch.manual_seed(3)
        built.append(SHAPE.build(Variant(group_size=2, operation=operation, matched=WIDTH)).state_dict())
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])
