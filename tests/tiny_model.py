"""A small network with seeded random weights, for tests that need a whole model but not a good one."""

import torch

from compactcli.config import CalibrationConfig, FeatureConfig, ModelConfig, NetworkConfig, StageConfig
from compactcli.model import CompactNet

CONFIG = ModelConfig(
    name="tiny",
    version="1",
    scenes=("rain", "cafe"),
    events=("dog", "cat", "siren"),
    features=FeatureConfig(n_mels=16),
    network=NetworkConfig(
        stem_channels=4,
        stages=(StageConfig(channels=8, n_blocks=1), StageConfig(channels=8, n_blocks=0)),
        context=(
            StageConfig(channels=8, n_blocks=1, kernel_size=(1, 3)),
            StageConfig(channels=8, n_blocks=1, kernel_size=(1, 5)),
        ),
    ),
    calibration=CalibrationConfig(scene_scale=2.0, event_bias=(0.5, 0.0, -0.5)),
    training={"steps": 0},
)


def make_network(config=CONFIG, *, seed=0):
    n_mels = config.features.n_mels
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = CompactNet(config.network, n_mels=n_mels, n_scenes=len(config.scenes), n_events=len(config.events))
        # one step in training mode gives normalisation the statistics that keep the signal alive through all layers
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
        network.train()(20 * torch.randn(8, n_mels, 100) - 50)
    return network.eval()
