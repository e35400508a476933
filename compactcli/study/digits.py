"""Image classification: scikit-learn's handwritten digits, read as spectrograms are, rows for bands."""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from compactcli.config import FeatureConfig, NetworkConfig, StageConfig
from compactcli.model import CompactNet
from compactcli.recipe import OptimisationConfig
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import Shape

DESIGN = TaskDesign(
    name="digits",
    title="image classification, scikit-learn's digits",
    metric="accuracy",
    clip_s=1.0,
    clip_name="1 image",
    # a "second" of 16 frames is one image, so multiply-accumulates a second are those of an image
    features=FeatureConfig(hop_length=1000, n_mels=16),
    shape=Shape(
        network=NetworkConfig(
            stem_channels=16,
            stem_kernel_size=(3, 3),
            stages=(StageConfig(channels=32, n_blocks=1), StageConfig(channels=64, n_blocks=1)),
            context=(),
            group_size=1,
        ),
        n_mels=16,
        n_scenes=10,
        head="scene_head",
    ),
    optimisation=OptimisationConfig(steps=400, batch_size=64, learning_rate=4e-3, warmup_steps=40, weight_decay=0.02),
)


class Digits:
    """The 1,797 images of 8 x 8 pixels; the first half trains, the second half tests.

    The halves are those of scikit-learn's own example: other hands wrote most of the second half, so it is harder
    than a random half. Pixels are doubled to 16 x 16, because the network's first convolution halves both axes.

    Args:
        device: Where tensors are made.
    """

    design = DESIGN

    def __init__(self, device: torch.device) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = doubled_pixels(images.reshape(-1, 8, 8))
        half = len(pixels) // 2
        self._train = (pixels[:half], labels[:half])
        self._test = (torch.from_numpy(pixels[half:]).to(device), torch.from_numpy(labels[half:]).to(device))
        self._device = device

    def loss(self, network: CompactNet, rng: np.random.Generator) -> torch.Tensor:
        """Cross-entropy on images moved by up to one of their own pixels."""
        pixels, labels = self._train
        chosen = rng.integers(len(labels), size=self.design.optimisation.batch_size)
        moved = shifted(pixels[chosen], rng.integers(-2, 3, size=(len(chosen), 2)))
        scenes, _ = network(torch.from_numpy(moved).to(self._device))
        return functional.cross_entropy(scenes.mean(dim=1), torch.from_numpy(labels[chosen]).to(self._device))

    @torch.inference_mode()
    def score(self, network: CompactNet) -> float:
        """Share of the second half's images that are read rightly."""
        pixels, labels = self._test
        scenes, _ = network(pixels)
        return float((scenes.mean(dim=1).argmax(dim=1) == labels).float().mean())


def doubled_pixels(images: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Every pixel four times: ``(n_images, h, w)`` to ``(n_images, 2 h, 2 w)``."""
    return images.repeat(2, axis=1).repeat(2, axis=2).astype(np.float32)


def shifted(images: npt.NDArray[np.float32], by: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Images moved by ``by`` rows and columns, shape ``(n_images, 2)``; empty pixels come in from outside."""
    reach = int(np.abs(by).max(initial=0))
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    height, width = images.shape[1:]
    moved = [
        image[reach - down : reach - down + height, reach - right : reach - right + width]
        for image, (down, right) in zip(padded, by.tolist(), strict=True)
    ]
    return np.stack(moved)
