import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from compactcli.losses import (
    TeacherHeads,
    masked_binary_entropy,
    pool_presence,
    pool_tags,
    share_entropy,
    training_losses,
)
from compactcli.mixing import Batch
from compactcli.recipe import OptimisationConfig

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def make_batch(n_clips=3, **settings):
    nothing = {
        "log_mel": torch.zeros(n_clips, 16, 10),
        "frames": torch.zeros(n_clips, 5, 4),
        "known": torch.ones(n_clips, 5, 4),
        "tags": torch.zeros(n_clips, 4),
        "present": torch.zeros(n_clips, 4),
        "present_known": torch.ones(n_clips, 4),
        "scenes": torch.zeros(n_clips, 2),
        "teacher": torch.zeros(n_clips, 6),
        "embedding": torch.zeros(n_clips, 3),
        "taught": torch.ones(n_clips),
    }
    return Batch(**{**nothing, **settings})


def losses_of(batch, *, scenes=None, events=None, classes=None, embedding=None, weights=None):
    n_clips = len(batch.tags)
    return training_losses(
        torch.zeros(n_clips, 5, 2) if scenes is None else scenes,
        torch.zeros(n_clips, 5, 4) if events is None else events,
        (
            torch.zeros(n_clips, 6) if classes is None else classes,
            torch.zeros(n_clips, 3) if embedding is None else embedding,
        ),
        batch,
        weights or OptimisationConfig(teacher_weight=1.0, weak_weight=1.0),
    )


def test_tags_pool_by_the_mean_of_the_odds():
    logits = random(2, 7, 3)
    np.testing.assert_allclose(pool_tags(logits), np.log(np.exp(logits.numpy()).mean(axis=1)), rtol=1e-5)
    # a steady logit is itself, and 1000 is no overflow
    torch.testing.assert_close(pool_tags(torch.full((1, 9, 1), 1000.0)), torch.tensor([[1000.0]]))


def test_presence_weighs_probabilities_with_themselves():
    probabilities = torch.tensor([[0.9, 0.3], [0.1, 0.3]])[None]
    expected = [(0.81 + 0.01) / 1.0, 0.3]
    np.testing.assert_allclose(pool_presence(probabilities)[0], expected, atol=1e-5)
    assert pool_presence(torch.zeros(1, 5, 2)).tolist() == [[0, 0]]


def test_share_entropy_is_cross_entropy():
    logits, truth = random(5, 4), torch.tensor([0, 3, 1, 1, 2])
    hard = nn.functional.one_hot(truth, 4).float()
    torch.testing.assert_close(share_entropy(logits, hard), nn.functional.cross_entropy(logits, truth))
    soft = torch.softmax(random(5, 4), dim=1)
    torch.testing.assert_close(share_entropy(logits, soft), nn.functional.cross_entropy(logits, soft))


def test_clips_without_shares_count_for_nothing():
    logits = random(3, 4)
    shares = torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0.5, 0.5]])
    torch.testing.assert_close(share_entropy(logits, shares), share_entropy(logits[[0, 2]], shares[[0, 2]]))
    assert share_entropy(logits, torch.zeros(3, 4)) == 0


def test_frames_count_where_they_are_known():
    logits, targets = random(2, 5, 3), (random(2, 5, 3) > 0).float()
    known = (random(2, 5, 3) > 0).float()
    p = 1 / (1 + np.exp(-logits.numpy()))
    entropy = -np.where(targets.numpy() == 1, np.log(p), np.log(1 - p)) * known.numpy()
    # summed over classes, averaged over clips and frames
    assert float(masked_binary_entropy(logits, targets, known)) == pytest.approx(entropy.sum() / 10, rel=1e-5)
    assert masked_binary_entropy(logits, targets, torch.zeros(2, 5, 3)) == 0


def test_teacher_heads_see_mean_and_maximum_over_time():
    heads = TeacherHeads(4, 6, 3)
    assert (heads.classes.bias == -4).all()
    embedding = random(2, 4, 9)
    classes, hidden = heads(embedding)
    pooled = torch.cat([embedding.mean(dim=2), embedding.max(dim=2).values], dim=1)
    torch.testing.assert_close(classes, pooled @ heads.classes.weight.T + heads.classes.bias)
    torch.testing.assert_close(hidden, pooled @ heads.embedding.weight.T + heads.embedding.bias)


def test_losses_of_logits_that_say_nothing():
    batch = make_batch(
        tags=torch.tensor([[1.0, 0, 0, 0]] * 3),
        scenes=torch.tensor([[0.5, 0.5]] * 3),
        embedding=torch.full((3, 3), 2.0),
    )
    losses = {name: float(value) for name, value in losses_of(batch).items()}
    assert losses == pytest.approx(
        {
            "frame": 4 * math.log(2),
            "tag": math.log(4),
            "weak": 4 * math.log(2),
            "scene": math.log(2),
            "teacher": math.log(2),
            "embedding": 4.0,
        },
        rel=1e-4,
    )


def test_weights_scale_their_losses():
    batch = make_batch(tags=torch.ones(3, 4) / 4, scenes=torch.ones(3, 2) / 2, embedding=torch.ones(3, 3))
    names = ("frame", "tag", "weak", "scene", "teacher", "embedding")
    plain = OptimisationConfig(**{f"{name}_weight": 1.0 for name in names})
    once = losses_of(batch, weights=plain)
    assert tuple(once) == names
    for name in names:
        tripled = losses_of(batch, weights=dataclasses.replace(plain, **{f"{name}_weight": 3.0}))
        assert {key for key in names if not torch.equal(tripled[key], once[key])} == {name}
        torch.testing.assert_close(tripled[name], 3 * once[name])


def test_scene_logits_are_averaged_over_time():
    scenes = random(3, 5, 2)
    truth = torch.tensor([1, 0, 1])
    batch = make_batch(scenes=nn.functional.one_hot(truth, 2).float())
    expected = nn.functional.cross_entropy(scenes.mean(dim=1), truth)
    torch.testing.assert_close(losses_of(batch, scenes=scenes)["scene"], expected)


def test_weak_labels_count_where_they_are_known():
    known = torch.tensor([[1.0, 0, 0, 0]] * 3)
    batch = make_batch(present=torch.tensor([[1.0, 1, 0, 0]] * 3), present_known=known)
    events = torch.full((3, 5, 4), 2.0)
    p = 1 / (1 + math.exp(-2))
    assert float(losses_of(batch, events=events)["weak"]) == pytest.approx(-math.log(p), rel=1e-4)


def test_clips_that_are_not_taught_teach_nothing():
    classes, embedding = random(3, 6).requires_grad_(), random(3, 3).requires_grad_()
    batch = make_batch(taught=torch.tensor([1.0, 0, 1]))
    losses = losses_of(batch, classes=classes, embedding=embedding)
    (losses["teacher"] + losses["embedding"]).backward()
    assert classes.grad[1].abs().sum() == embedding.grad[1].abs().sum() == 0
    assert classes.grad[0].abs().min() > 0
    expected = nn.functional.softplus(classes[[0, 2]]).mean()
    torch.testing.assert_close(losses["teacher"], expected)
    none = losses_of(make_batch(taught=torch.zeros(3)), classes=classes)
    assert none["teacher"] == none["embedding"] == 0


def test_certain_logits_stay_finite():
    batch = make_batch(present=torch.ones(3, 4), frames=torch.ones(3, 5, 4), tags=torch.ones(3, 4) / 4)
    events = torch.full((3, 5, 4), -200.0, requires_grad=True)
    losses = losses_of(batch, events=events)
    sum(losses.values()).backward()
    assert all(math.isfinite(value.detach()) for value in losses.values())
    assert torch.isfinite(events.grad).all()
