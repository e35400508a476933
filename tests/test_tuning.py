import dataclasses

import numpy as np
import pytest
import torch

from compactcli.calibration import event_probabilities
from compactcli.checkpoint import read_config
from compactcli.config import ModelConfig
from compactcli.datasets import VALIDATION
from compactcli.engine import load_engine
from compactcli.engine.base import LogitChunk
from compactcli.evaluation import hear
from compactcli.events import events_to_roll
from compactcli.heldout import HeldOut
from compactcli.training import build_network
from compactcli.tuning import fit_calibration, release

SHIFT = {"dog": 2.0, "speech": -1.0}


@pytest.fixture(autouse=True)
def few_clips(monkeypatch):
    monkeypatch.setattr("compactcli.tuning.N_SOUNDSCAPES", 12)
    monkeypatch.setattr("compactcli.heldout.SIMULATED_PER_SCENE", 4)
    # soundscapes with speech in so many that the shift of all classes leaves its bias a part that it can bear
    monkeypatch.setattr("compactcli.heldout.SEED", 3)
    # the shifts below stand for classes with many recordings, whose biases are believed
    monkeypatch.setattr("compactcli.tuning.PRIOR_WEIGHT", 0.02)


@pytest.fixture
def held_out(tiny_corpus, tiny_recipe, tiny_cache):
    return HeldOut(tiny_corpus, tiny_recipe, split=VALIDATION, cache=tiny_cache)


def scene_clips(held_out):
    return [(recording.scene, clip) for recording in held_out.scenes() for clip in recording.clips]


class Biased:
    """Knows what sounds, but puts some classes too high and others too low, and is as sure of wrong scenes.

    With ``sign`` -1 it takes every event for silence, and silence for events.
    """

    device = "cpu"

    def __init__(self, held_out, *, right_scenes, sign=1):
        recipe = held_out.recipe
        self.config = ModelConfig(
            name="biased",
            version="1",
            scenes=tuple(recipe.scenes),
            events=recipe.events.classes,
            features=recipe.features,
        )
        shift = np.array([SHIFT.get(name, 0.0) for name in self.config.events])
        self.unheard = np.full(len(self.config.events), -9.0, np.float32)
        self.events, self.scenes = {}, {}
        for soundscape in held_out.soundscapes(12):
            edges = self.config.clock.edges_s(len(soundscape.waveform))
            roll = events_to_roll(soundscape.events, edges_s=edges, classes=self.config.events)
            self.events[soundscape.waveform.tobytes()] = (sign * np.where(roll, 1.5, -1.5) + shift).astype(np.float32)
        for number, (scene, clip) in enumerate(scene_clips(held_out)):
            column = self.config.scenes.index(scene)
            self.scenes[clip.tobytes()] = column if number in right_scenes else (column + 1) % 3

    def stream(self, blocks):
        [waveform] = blocks
        n_frames = self.config.clock.n_frames(len(waveform))
        scenes = np.zeros((n_frames, 3), np.float32)
        scenes[:, self.scenes.get(waveform.tobytes(), 0)] = 1.0
        events = self.events.get(waveform.tobytes(), np.tile(self.unheard, (n_frames, 1)))
        yield LogitChunk(scenes=scenes, events=events)


def test_every_class_gets_one_half_as_its_operating_point(held_out):
    calls = []
    engine = Biased(held_out, right_scenes=())
    calibration = fit_calibration(engine, held_out, report=lambda: calls.append(1))
    n_scene_clips = len(list(scene_clips(held_out)))
    assert len(calls) == 12 + n_scene_clips
    heard = False
    for soundscape in held_out.soundscapes(12):
        probabilities = event_probabilities(hear(engine, soundscape.waveform).events, calibration)
        edges = engine.config.clock.edges_s(len(soundscape.waveform))
        roll = events_to_roll(soundscape.events, edges_s=edges, classes=engine.config.events)
        np.testing.assert_array_equal(probabilities >= 0.5, roll)
        heard |= bool(roll[:, 0].any() and roll[:, 3].any())
    assert heard


def test_a_class_that_hears_itself_in_faint_noise_is_held_down(held_out):
    engine = Biased(held_out, right_scenes=())
    free = fit_calibration(engine, held_out)
    engine.unheard[1] = 1.0
    held = fit_calibration(engine, held_out)
    logits = held.event_scale * engine.unheard + np.array(held.event_bias)
    assert logits[1] == pytest.approx(-0.1, abs=1e-3)
    assert held.event_bias[1] < free.event_bias[1]
    assert [bias for index, bias in enumerate(held.event_bias) if index != 1] == [
        bias for index, bias in enumerate(free.event_bias) if index != 1
    ]


def test_the_scene_scale_is_the_best_temperature(held_out):
    n_clips = len(list(scene_clips(held_out)))
    n_right = n_clips - 2
    calibration = fit_calibration(Biased(held_out, right_scenes=range(n_right)), held_out)
    # three scenes, logit 1 for the one that is named: the log-loss is least where its probability is its accuracy
    accuracy = n_right / n_clips
    assert calibration.scene_scale == pytest.approx(np.log(2 * accuracy / (1 - accuracy)), rel=0.03)
    assert calibration.scene_bias == ()


def test_a_network_that_is_worse_than_chance_still_gets_a_calibration(held_out):
    calibration = fit_calibration(Biased(held_out, right_scenes=(), sign=-1), held_out)
    assert calibration.event_scale == 0.01
    assert np.isfinite(calibration.event_bias).all()


def test_a_network_becomes_a_folder(held_out, tiny_recipe, tmp_path):
    torch.manual_seed(0)
    network = build_network(tiny_recipe).eval()
    config = release(network, tiny_recipe, held_out, tmp_path / "model")
    assert read_config(tmp_path / "model") == config
    assert (config.name, config.version) == ("tiny", "0")
    assert config.scenes == ("rain", "street", "talk")
    assert config.events == tiny_recipe.events.classes
    assert config.training == {"steps": 6, "clips": 24, "seed": 3}
    assert len(config.calibration.event_bias) == 5
    assert config.calibration.event_scale > 0
    log_mel = torch.randn(1, 16, 60)
    engine = load_engine(tmp_path / "model", device="cpu", engine="torch")
    assert engine.config == config
    with torch.inference_mode():
        for found, expected in zip(engine._network(log_mel), network(log_mel), strict=True):
            torch.testing.assert_close(found, expected)


def test_the_calibration_is_fitted_to_the_network_without_one(held_out, tiny_recipe, tmp_path):
    torch.manual_seed(0)
    network = build_network(tiny_recipe).eval()
    once = release(network, tiny_recipe, held_out, tmp_path / "model")
    again = release(network, tiny_recipe, held_out, tmp_path / "model")
    assert dataclasses.asdict(once) == dataclasses.asdict(again)
