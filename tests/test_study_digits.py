import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from compactcli.study.digits import DESIGN, Digits, doubled_pixels, shifted
from compactcli.study.variants import BASELINE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return Digits(CPU)


def test_pixels_are_doubled():
    image = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert doubled_pixels(image).tolist() == [[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]]


def test_images_move_and_empty_pixels_come_in():
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3)
    moved = shifted(np.repeat(image, 3, axis=0), np.array([[0, 0], [1, 0], [0, -2]]))
    assert moved[0].tolist() == image[0].tolist()
    assert moved[1].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert moved[2].tolist() == [[3, 0, 0], [6, 0, 0], [9, 0, 0]]
    assert shifted(image, np.array([[0, 0]])).tolist() == image.tolist()


def test_the_halves_are_those_of_the_library(digits):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels, train_labels = digits._train
    test_pixels, test_labels = digits._test
    assert (len(train_labels), len(test_labels)) == (898, 899)
    assert train_labels.tolist() == labels[:898].tolist()
    assert test_labels.tolist() == labels[898:].tolist()
    # every second pixel is the image again
    assert np.array_equal(pixels[:, ::2, ::2].reshape(898, 64), images[:898])
    assert np.array_equal(test_pixels[:, 1::2, 1::2].reshape(899, 64).numpy(), images[898:])


def test_the_score_is_the_share_of_right_answers(digits):
    class Constant(torch.nn.Module):
        def forward(self, pixels):
            logits = torch.zeros(len(pixels), 8, 10)
            logits[..., 7] = 1
            return logits, logits[..., :1]

    _, labels = digits._test
    assert digits.score(Constant()) == pytest.approx(float((labels == 7).float().mean()))


def test_the_loss_of_a_network_that_knows_nothing(digits):
    torch.manual_seed(0)
    network = DESIGN.shape.build(BASELINE)
    torch.nn.init.zeros_(network.scene_head.weight)
    torch.nn.init.zeros_(network.scene_head.bias)
    loss = digits.loss(network, np.random.default_rng(0))
    assert float(loss.detach()) == pytest.approx(np.log(10), rel=1e-6)
    assert torch.equal(loss, digits.loss(network, np.random.default_rng(0)))


def test_an_image_is_a_second():
    # 16 frames of 16 bands; multiply-accumulates a second are those of one image
    assert DESIGN.features.clock.frame_rate * DESIGN.clip_s == 16
    assert DESIGN.features.n_mels == DESIGN.shape.n_mels == 16
