import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from compactcli.errors import ConfigError
from compactcli.learning import Example, check_classes, learn_heads
from compactcli.learning.fitting import fit_linear, sigmoid_loss, softmax_loss

SIZE = 6


def example(label, centre, rng, *, n_frames=10, sounds=True):
    frames = (np.array(centre) + rng.standard_normal((n_frames, SIZE))).astype(np.float32)
    return Example(
        label=label, mean=frames.mean(axis=0), frames=frames, sounds=np.full(n_frames, sounds), duration_s=1.0
    )


@pytest.fixture
def examples():
    """Three classes far apart, of different sizes, and noise at the origin."""
    rng = np.random.default_rng(0)
    centres = {"wren": [6, 0, 0, 0, 0, 0], "owl": [0, 6, 0, 0, 0, 0], "road": [0, 0, 6, 0, 0, 0]}
    counts = {"wren": 12, "owl": 3, "road": 6}
    found = [example(label, centres[label], rng) for label, count in counts.items() for _ in range(count)]
    return [*found, *(example(None, [0] * SIZE, rng) for _ in range(4))]


def test_classes_that_are_apart_are_told_apart(examples):
    seen = []
    learned = learn_heads(examples, background=["road"], report=lambda done, total: seen.append((done, total)))
    assert learned.scenes.classes == ("owl", "road", "wren")
    assert learned.events.classes == ("owl", "wren")
    assert (learned.n_folds, learned.accuracy) == (5, 1.0)
    assert [(item.label, item.n_recordings, item.recall, item.precision) for item in learned.figures] == [
        ("owl", 3, 1.0, 1.0),
        ("road", 6, 1.0, 1.0),
        ("wren", 12, 1.0, 1.0),
    ]
    assert learned.figures[1].event_f1 is None
    assert min(learned.figures[0].event_f1, learned.figures[2].event_f1) > 0.95
    assert seen == [(done, 12) for done in range(13)]
    for item in examples:
        scores = item.frames @ learned.events.weight.T + learned.events.bias
        heard = (scores >= 0).mean(axis=0)
        for label, share in zip(learned.events.classes, heard, strict=True):
            assert share > 0.8 if label == item.label else share < 0.2
        if item.label is not None:
            scenes = learned.scenes.weight @ item.mean + learned.scenes.bias
            assert learned.scenes.classes[scenes.argmax()] == item.label


def test_figures_are_those_of_recordings_that_taught_nothing():
    """Labels that mean nothing: a fit knows its own by heart, and the figures are those of chance."""
    rng = np.random.default_rng(0)
    examples = [example(label, 3 * rng.standard_normal(SIZE), rng) for label in "ab" for _ in range(40)]
    learned = learn_heads(examples)
    assert 0.3 < learned.accuracy < 0.7
    assert all(0.2 < item.event_f1 < 0.8 for item in learned.figures)


def test_frames_that_do_not_sound_are_no_event():
    rng = np.random.default_rng(0)
    examples = []
    for label, place in (("wren", 0), ("owl", 1)):
        for _ in range(6):
            loud = example(label, np.eye(SIZE)[place] * 6, rng)
            quiet = example(label, np.eye(SIZE)[5] * 6, rng, sounds=False)
            examples.append(
                Example(
                    label=label,
                    mean=loud.mean,
                    frames=np.concatenate([loud.frames, quiet.frames]),
                    sounds=np.concatenate([loud.sounds, quiet.sounds]),
                    duration_s=1.0,
                )
            )
    learned = learn_heads(examples)
    scores = (np.eye(SIZE)[[0, 1, 5]] * 6) @ learned.events.weight.T + learned.events.bias
    assert learned.events.classes == ("owl", "wren")
    assert (scores >= 0).tolist() == [[False, True], [True, False], [False, False]]


def test_every_class_counts_the_same():
    """However many recordings it has: both heads are as they are where every recording is there ten times."""
    rng = np.random.default_rng(0)
    many = [example("many", [1, 0, 0, 0, 0, 0], rng) for _ in range(10)]
    few = [example("few", [-1, 0, 0, 0, 0, 0], rng) for _ in range(10)]
    once = learn_heads([*many, *few])
    # copies stand beside their originals, so that a fold holds all of them
    often = learn_heads([*(item for item in many for _ in range(10)), *few])
    for head, other in ((once.scenes, often.scenes), (once.events, often.events)):
        np.testing.assert_allclose(other.weight, head.weight, atol=2e-2)
        np.testing.assert_allclose(other.bias, head.bias, atol=2e-2)
    for item, other in zip(once.figures, often.figures, strict=True):
        assert (other.recall, other.event_f1) == pytest.approx((item.recall, item.event_f1), abs=2e-2)


@pytest.mark.parametrize(
    ("loss_of", "truth"),
    [
        (softmax_loss, np.array([0, 2, 1, 2])),
        (sigmoid_loss, np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 1]]) > 0),
    ],
)
def test_gradients_are_those_of_the_loss(loss_of, truth):
    rng = np.random.default_rng(0)
    loss = loss_of(truth)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    logits = 3 * rng.standard_normal((4, 3))
    error = optimize.check_grad(
        lambda flat: loss(flat.reshape(4, 3), shares)[0],
        lambda flat: loss(flat.reshape(4, 3), shares)[1].ravel(),
        logits.ravel(),
    )
    assert error < 1e-4


def test_losses_stay_finite():
    logits = np.array([[1e4, -1e4]], np.float32)
    share = np.ones(1, np.float32)
    assert softmax_loss(np.array([1]))(logits, share)[0] == pytest.approx(2e4)
    assert sigmoid_loss(np.array([[False, True]]))(logits, share)[0] == pytest.approx(2e4)


def test_fits_are_those_of_another_library():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 20)
    rows = (np.eye(SIZE)[truth] * 1.5 + rng.standard_normal((60, SIZE))).astype(np.float32)
    weights = rng.uniform(0.5, 2.0, 60)
    weights /= weights.sum()
    rows -= weights @ rows
    rows /= np.sqrt(weights @ np.square(rows))
    penalties = (1e-1, 1e-2, 1e-3)
    for penalty, (weight, bias) in zip(
        penalties, fit_linear(rows, weights, softmax_loss(truth), 3, penalties), strict=True
    ):
        other = LogisticRegression(C=1 / (2 * penalty), max_iter=1000, tol=1e-8)
        other.fit(rows, truth, sample_weight=weights)
        np.testing.assert_allclose(weight, other.coef_, atol=2e-3)
        np.testing.assert_allclose(bias - bias.mean(), other.intercept_ - other.intercept_.mean(), atol=2e-3)


def test_inputs_may_have_any_offset_and_scale():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 20)
    rows = (np.eye(2)[truth] + rng.standard_normal((40, 2))).astype(np.float32)
    moved = (1000 * rows + 7).astype(np.float32)
    weights = np.full(40, 1 / 40)
    (weight, bias), (other, other_bias) = (
        next(fit_linear(inputs, weights, softmax_loss(truth), 2, [1e-2])) for inputs in (rows, moved)
    )
    np.testing.assert_allclose(rows @ weight.T + bias, moved @ other.T + other_bias, atol=5e-3)


@pytest.mark.parametrize(
    ("counts", "background", "message"),
    [
        ({}, [], "0 folders with recordings of a class found, expected at least 2"),
        ({"wren": 9}, [], "1 folder with recordings of a class found, expected at least 2"),
        ({"wren": 9, "owl": 1}, [], "class owl has 1 recording that can be heard, expected at least 2"),
        ({"wren": 0, "owl": 2}, [], "class wren has 0 recordings that can be heard, expected at least 2"),
        ({"wren": 9, "owl": 2}, ["crow"], "--background crow is no folder of recordings, expected one of wren, owl"),
        ({"wren": 9, "owl": 2}, ["owl", "wren"], "every class is background, expected at least one that is an event"),
    ],
)
def test_what_nothing_can_be_learned_from(counts, background, message):
    with pytest.raises(ConfigError, match=message):
        check_classes(counts, background)
