import dataclasses

import numpy as np
import pytest
import torch
from tiny_corpus import write_table

from compactcli.config import NetworkConfig, StageConfig
from compactcli.datasets import TEST, TRAIN, read_corpus
from compactcli.errors import ManifestError
from compactcli.recipe import OptimisationConfig
from compactcli.study.clips import Clips
from compactcli.study.corpus import esc50_categories, load_study_bank, study_split
from compactcli.study.soundscapes import Soundscapes
from compactcli.study.tasks import fit
from compactcli.study.variants import BASELINE, Shape, Variant

CPU = torch.device("cpu")
SMALL = NetworkConfig(
    stem_channels=4, stem_kernel_size=(3, 3), stages=(StageConfig(channels=8, n_blocks=0),), context=(), group_size=1
)


def small(design, n_events, steps=4):
    """A task's numbers with a network that trains in no time."""
    return dataclasses.replace(
        design,
        shape=Shape(network=SMALL, n_mels=design.shape.n_mels, n_events=n_events, head="event_head"),
        optimisation=OptimisationConfig(steps=steps, batch_size=4, warmup_steps=1, learning_rate=3e-3),
    )


@pytest.fixture
def folds(monkeypatch):
    """The tiny corpus has no fold 4: its fold 5 is scored, and fold 2 takes no part."""
    monkeypatch.setattr("compactcli.study.corpus.SCORED_FOLD", "5")
    monkeypatch.setattr("compactcli.study.corpus.UNTOUCHED_FOLD", "2")


@pytest.fixture
def clips(folds, monkeypatch, tiny_corpus, tiny_cache):
    monkeypatch.setattr(Clips, "design", small(Clips.design, n_events=3))
    return Clips(tiny_corpus, cache=tiny_cache, device=CPU, loading=lambda done, total: None)


@pytest.fixture
def soundscapes(folds, monkeypatch, tiny_corpus, tiny_cache):
    monkeypatch.setattr(Soundscapes, "design", small(Soundscapes.design, n_events=2))
    monkeypatch.setattr("compactcli.study.soundscapes.CONTINUOUS", ("rain",))
    monkeypatch.setattr("compactcli.study.soundscapes.TRAINING_BEDS", ("avenue",))
    monkeypatch.setattr("compactcli.study.soundscapes.SCORED_BEDS", ("street",))
    monkeypatch.setattr("compactcli.study.soundscapes.N_SCORED", 3)
    monkeypatch.setattr("compactcli.study.soundscapes.N_FOR_THRESHOLD", 2)
    return Soundscapes(tiny_corpus, cache=tiny_cache, device=CPU, loading=lambda done, total: None)


def test_categories_are_in_alphabetical_order(tiny_corpus, tmp_path):
    assert esc50_categories(tiny_corpus) == ("dog", "rain", "siren")
    assert esc50_categories(tiny_corpus, esc10=True) == ("dog", "rain")
    write_table(tmp_path / "esc50/esc50.csv", [{"category": "dog"}])
    with pytest.raises(ManifestError, match=r"esc50.csv' lacks the columns \['esc10'\]"):
        esc50_categories(tmp_path)


def test_the_released_models_test_fold_takes_no_part(folds, tiny_corpus, tiny_cache, tiny_recipe):
    recipe = dataclasses.replace(tiny_recipe, split=study_split(beds=("street",)))
    bank = load_study_bank(tiny_corpus, recipe, wanted=lambda item: item.folder == "esc50", cache=tiny_cache)
    sides = {item.file[0]: item.split for item in bank.recordings}
    assert sides == {"1": TRAIN, "3": TRAIN, "5": TEST}
    placed = {item.label: item.split for item in read_corpus(tiny_corpus, recipe) if item.folder == "ambience"}
    assert placed == {"downpour": TRAIN, "avenue": TRAIN, "street": TEST}


def test_clips_are_scored_by_the_category(clips):
    class Constant(torch.nn.Module):
        def forward(self, log_mel):
            events = torch.zeros(len(log_mel), 10, 3)
            events[:, 4, 1] = 5  # rain, in one frame
            return events[..., :1], events

    # one clip of each of the three categories
    assert clips.score(Constant()) == pytest.approx(1 / 3)


def test_clips_teach(clips):
    torch.manual_seed(0)
    network = clips.design.shape.build(BASELINE)
    loss = clips.loss(network, np.random.default_rng(1))
    assert torch.equal(loss, clips.loss(network, np.random.default_rng(1)))
    assert float(loss.detach()) == pytest.approx(np.log(3), abs=0.5)
    loss.backward()
    assert float(network.event_head.weight.grad.abs().sum()) > 0


def test_soundscapes_are_scored_by_segments(soundscapes):
    class Knows(torch.nn.Module):
        """Truth in the same frames that the task compares with."""

        def __init__(self, right):
            super().__init__()
            self.right = right

        def forward(self, log_mel):
            mixed = next(
                item for item in (soundscapes._scored, soundscapes._for_threshold) if len(item.truth) == len(log_mel)
            )
            logits = torch.full((len(log_mel), log_mel.shape[2] // 2, 2), -9.0)
            for clip, soundscape in enumerate(mixed.truth):
                for event in soundscape.events:
                    column = ("dog", "rain").index(event.label)
                    frames = slice(int(event.onset / 0.08), int(np.ceil(event.offset / 0.08)))
                    logits[clip, frames, column if self.right else 1 - column] = 9.0
            return logits[..., :1], logits

    assert soundscapes.score(Knows(True)) > 0.9
    assert soundscapes.score(Knows(False)) < 0.5
    assert [len(item.waveform) for item in soundscapes._scored.truth] == [160000] * 3


def test_soundscapes_teach(soundscapes):
    torch.manual_seed(0)
    network = soundscapes.design.shape.build(BASELINE)
    loss = soundscapes.loss(network, np.random.default_rng(1))
    assert torch.equal(loss, soundscapes.loss(network, np.random.default_rng(1)))
    loss.backward()
    assert float(network.event_head.weight.grad.abs().sum()) > 0


def test_training_is_seeded_and_ends_in_evaluation_mode(clips):
    variant = Variant(group_size=2, operation="lse", matched="width")
    once, again, other = (fit(clips, variant, seed, device=CPU) for seed in (1, 1, 2))
    assert not once.training
    weights = [network.state_dict()["stem.0.weight"] for network in (once, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    torch.manual_seed(1)
    assert not torch.equal(weights[0], clips.design.shape.build(variant).state_dict()["stem.0.weight"])


def test_settings_in_words():
    assert Clips.design.settings == (
        "600 steps of 32, learning rate 0.004; 32 bands, 640 samples a frame; widths 16 32 64 96 96"
    )
