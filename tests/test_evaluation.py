import dataclasses
import json

import numpy as np
import pytest

from compactcli.conditions import CLEAN, Condition
from compactcli.config import CalibrationConfig, DetectionConfig, ModelConfig
from compactcli.datasets import TEST, VALIDATION
from compactcli.detection import detect_events
from compactcli.diagrams import draw_reliability
from compactcli.engine.base import LogitChunk
from compactcli.errors import ManifestError
from compactcli.evaluation import (
    HeardSoundscape,
    evaluate,
    event_calibration,
    hear,
    scene_metrics,
    tag_scores,
    threshold_scores,
)
from compactcli.events import Event, events_to_roll
from compactcli.heldout import HeldOut
from compactcli.metrics.clip import clip_metrics
from compactcli.scores import FrameScores

N_SOUNDSCAPES, N_NOISES = 5, 36
EXACT = DetectionConfig(median_s=0.0, max_gap_s=0.0, min_duration_s=0.0)


@pytest.fixture(scope="module")
def held_out(tiny_corpus, tiny_recipe, tiny_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compactcli.heldout.SIMULATED_PER_SCENE", 3)
        yield HeldOut(tiny_corpus, tiny_recipe, split=TEST, cache=tiny_cache)


class Oracle:
    """Knows the held-out recordings by heart; anything else it takes for the first scene without events."""

    device = "cpu"

    def __init__(self, held_out, *, wrong=()):
        recipe = held_out.recipe
        self.config = ModelConfig(
            name="oracle",
            version="1",
            scenes=tuple(recipe.scenes),
            events=recipe.events.classes,
            features=recipe.features,
            detection=EXACT,
        )
        self.scenes, self.events = {}, {}
        for recording in held_out.scenes():
            for waveform in (recording.waveform, *recording.clips):
                self.scenes[waveform.tobytes()] = self.config.scenes.index(recording.scene)
        for item in held_out.recordings:
            if item.event is not None and item.file not in wrong:
                waveform = held_out.waveform(item)
                roll = np.zeros((self.n_frames(waveform), len(self.config.events)), np.bool_)
                roll[0, self.config.events.index(item.event)] = True
                self.events[waveform.tobytes()] = roll
        for soundscape in held_out.soundscapes(N_SOUNDSCAPES):
            edges = self.config.clock.edges_s(len(soundscape.waveform))
            roll = events_to_roll(soundscape.events, edges_s=edges, classes=self.config.events)
            self.events[soundscape.waveform.tobytes()] = roll

    def n_frames(self, waveform):
        return self.config.clock.n_frames(len(waveform))

    def stream(self, blocks):
        [waveform] = blocks
        n_frames = self.n_frames(waveform)
        scenes = np.zeros((n_frames, len(self.config.scenes)), np.float32)
        scenes[:, self.scenes.get(waveform.tobytes(), 0)] = 8.0
        silent = np.zeros((n_frames, len(self.config.events)), np.bool_)
        events = np.where(self.events.get(waveform.tobytes(), silent), 8.0, -8.0).astype(np.float32)
        for first in range(0, n_frames, 40):
            rows = slice(first, first + 40)
            yield LogitChunk(scenes=scenes[rows], events=events[rows])


def closer_than_the_grid(soundscapes):
    """Classes with two events in one soundscape that frames of 40 ms cannot tell apart."""
    found = set()
    for soundscape in soundscapes:
        for one in soundscape.events:
            for other in soundscape.events:
                if one.label == other.label and 0 < other.onset - one.offset < 0.08:
                    found.add(one.label)
    return found


def test_only_one_side_is_held_out(held_out, tiny_corpus, tiny_recipe, tiny_cache):
    assert {item.split for item in held_out.recordings} == {TEST}
    assert held_out.bank.recordings == tuple(held_out.recordings)
    other = HeldOut(tiny_corpus, tiny_recipe, split=VALIDATION, cache=tiny_cache)
    assert not {item.source for item in held_out.recordings} & {item.source for item in other.recordings}


def test_a_side_without_recordings_is_refused(tiny_corpus, tiny_recipe, tiny_cache):
    split = dataclasses.replace(tiny_recipe.split, validation_share=0.0)
    with pytest.raises(ManifestError, match=r"corpus '.*' has no validation recordings under recipe 'tiny'"):
        HeldOut(tiny_corpus, dataclasses.replace(tiny_recipe, split=split), split=VALIDATION, cache=tiny_cache)


def test_the_soundscapes_are_the_same_at_every_call(held_out, tiny_corpus, tiny_recipe, tiny_cache):
    fresh = HeldOut(tiny_corpus, tiny_recipe, split=TEST, cache=tiny_cache)
    calls = [list(held_out.soundscapes(4)), list(held_out.soundscapes(4)), list(fresh.soundscapes(6))[:4]]
    for others in calls[1:]:
        for one, other in zip(calls[0], others, strict=True):
            np.testing.assert_array_equal(one.waveform, other.waveform)
            assert one.events == other.events
    assert len({soundscape.waveform.tobytes() for soundscape in calls[0]}) == 4
    assert all(len(soundscape.waveform) == 160000 for soundscape in calls[0])


def test_how_a_model_was_trained_does_not_change_what_it_is_tested_on(held_out, tiny_corpus, tiny_recipe, tiny_cache):
    mix = dataclasses.replace(
        tiny_recipe.mix, by_source=True, events_per_soundscape=(4, 6), event_level_db=(20.0, 30.0)
    )
    other = HeldOut(tiny_corpus, dataclasses.replace(tiny_recipe, seed=99, mix=mix), split=TEST, cache=tiny_cache)
    for one, same in zip(held_out.soundscapes(4), other.soundscapes(4), strict=True):
        np.testing.assert_array_equal(one.waveform, same.waveform)
        assert one.events == same.events
    for one, same in zip(held_out.scenes(), other.scenes(), strict=True):
        np.testing.assert_array_equal(one.waveform, same.waveform)


def test_scenes_are_recordings_and_simulated_ones(held_out):
    first, second = (list(held_out.scenes()) for _ in range(2))
    lengths = [(item.scene, len(item.waveform) / 16000) for item in first]
    # a siren and a street, then three simulated streets
    assert lengths == [("rain", 2.0), ("street", 2.0), ("street", 21.0), ("talk", 2.0), *[("street", 10.0)] * 3]
    assert [len(item.clips) for item in first] == [1, 1, 2, 1, 1, 1, 1]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)


def test_long_recordings_are_cut_without_overlap(held_out):
    pieces = [item.clips for item in held_out.scenes() if item.scene == "street"][1]
    whole = held_out.waveform(next(item for item in held_out.recordings if item.label == "street"))
    np.testing.assert_array_equal(np.concatenate(pieces), whole[:320000])


def test_what_a_model_hears_is_joined_from_its_chunks(held_out):
    waveform = held_out.waveform(next(item for item in held_out.recordings if item.event == "dog"))
    heard = hear(Oracle(held_out), waveform)
    assert heard.events.shape == (50, 5)
    assert heard.events[0].tolist() == [8, -8, -8, -8, -8]
    assert heard.scenes == pytest.approx([8, 0, 0])


def test_tag_scores_are_the_mean_odds():
    logits = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert tag_scores(logits, CalibrationConfig()) == pytest.approx(np.log(np.exp(logits.astype(float)).mean(axis=0)))
    calibration = CalibrationConfig(event_scale=2.0, event_bias=(0.0, 1.0, -1.0))
    odds = np.exp(2.0 * logits.astype(float) + [0.0, 1.0, -1.0])
    assert tag_scores(logits, calibration) == pytest.approx(np.log(odds.mean(axis=0)))
    assert tag_scores(np.full((5, 1), 5000, np.float32), CalibrationConfig()) == pytest.approx([5000])


def test_who_knows_everything_gets_everything_right(held_out):
    calls = []
    figures = evaluate(Oracle(held_out), held_out, n_soundscapes=N_SOUNDSCAPES, report=lambda: calls.append(1))
    assert figures.scenes.accuracy == figures.scenes.macro_accuracy == 1
    assert (figures.scenes.n_clips, figures.scene_clips.n_clips) == (7, 8)
    assert figures.scene_clips.accuracy == 1
    assert figures.esc50.accuracy == figures.urbansound8k.accuracy == 1
    assert (figures.esc50_classes, figures.esc50.n_clips) == (("dog", "rain", "siren"), 3)
    assert (figures.urbansound8k_classes, figures.urbansound8k.n_clips) == (("dog", "siren"), 2)
    assert figures.segment.macro.f1 == figures.segment.micro.f1 == 1
    missed = {label for label, counts in figures.event.per_class.items() if counts.occurs and counts.f1 < 1}
    assert missed <= closer_than_the_grid(held_out.soundscapes(N_SOUNDSCAPES))
    assert figures.event.per_class["dog"].tp == 2
    assert figures.psds2.value == 1
    found_late = {label for label, value in figures.psds1.per_class.items() if value < 1}
    assert found_late <= closer_than_the_grid(held_out.soundscapes(N_SOUNDSCAPES))
    assert len(calls) == N_SOUNDSCAPES + 3 + 2 + 7 + 2 + N_NOISES
    assert figures.scene_confusions(5) == []


def test_mistakes_are_counted(held_out):
    oracle = Oracle(held_out, wrong=[item.file for item in held_out.recordings if item.label == "siren"])
    oracle.scenes.clear()  # every scene is taken for rain
    figures = evaluate(oracle, held_out, n_soundscapes=N_SOUNDSCAPES)
    assert figures.scenes.accuracy == pytest.approx(1 / 7)
    assert figures.scenes.macro_accuracy == pytest.approx(1 / 3)
    assert figures.scene_clips.accuracy == pytest.approx(1 / 8)
    assert figures.scene_confusions(2) == [("street", "rain", 5), ("talk", "rain", 1)]
    # all scores are equal where nothing is heard, and the first class is taken
    assert figures.esc50.accuracy == pytest.approx(2 / 3)
    assert figures.urbansound8k.accuracy == pytest.approx(1 / 2)


def test_a_recording_is_one_answer_whatever_its_clips_say(held_out):
    oracle = Oracle(held_out)
    [street] = [item for item in held_out.scenes() if len(item.clips) == 2]
    oracle.scenes[street.clips[1].tobytes()] = 0  # taken for rain

    def listen(waveform):
        return hear(oracle, waveform)

    whole, by_clip = scene_metrics(listen, oracle.config, [street], lambda: None)
    assert (whole.n_clips, whole.accuracy) == (1, 1.0)
    assert (by_clip.n_clips, by_clip.accuracy) == (2, 0.5)


def test_silence_misses_every_event(held_out):
    oracle = Oracle(held_out)
    oracle.events.clear()
    figures = evaluate(oracle, held_out, n_soundscapes=N_SOUNDSCAPES)
    assert figures.segment.micro.f1 == figures.event.micro.f1 == 0


def test_a_condition_changes_what_is_heard_and_nothing_else(held_out):
    heard = []

    def apply(waveform):
        heard.append(waveform.copy())
        return np.zeros_like(waveform)

    oracle = Oracle(held_out)
    deaf = Condition(name="deaf", description="nothing is left", apply=apply)
    figures = evaluate(oracle, held_out, n_soundscapes=N_SOUNDSCAPES, condition=deaf)
    # every waveform passed it as it is, and the model got what came out
    assert len(heard) == N_SOUNDSCAPES + 3 + 2 + 7 + 2 + N_NOISES
    known = set(oracle.scenes) | set(oracle.events) | {waveform.tobytes() for waveform in held_out.noises()}
    assert {waveform.tobytes() for waveform in heard} == known
    assert figures.condition is deaf
    assert figures.segment.micro.f1 == 0
    assert figures.scenes.accuracy == pytest.approx(1 / 7)
    clean = evaluate(oracle, held_out, n_soundscapes=N_SOUNDSCAPES)
    assert clean.condition is CLEAN
    assert clean.scenes.accuracy == 1


@pytest.mark.parametrize("gone", ["esc50", "urbansound8k", "scenes"])
def test_what_a_corpus_does_not_hold_out_has_no_figures(held_out, gone, monkeypatch):
    oracle = Oracle(held_out)
    if gone == "scenes":
        monkeypatch.setattr(held_out, "scenes", lambda: iter(()))
    else:
        monkeypatch.setattr(held_out, "recordings", [item for item in held_out.recordings if item.folder != gone])
    figures = evaluate(oracle, held_out, n_soundscapes=2)
    plain = json.loads(json.dumps(figures.to_dict(), allow_nan=False))
    missing = {"scenes", "scene_clips"} if gone == "scenes" else {gone}
    assert {name for name, value in plain.items() if value is None} == missing
    assert not any(what.lower().replace("-", "").startswith(gone) for what, _, _ in figures.summary())
    assert len(figures.summary()) == (11 if gone == "scenes" else 14)
    assert (figures.scene_confusions(3) == []) == (gone == "scenes" or figures.scenes.accuracy == 1)
    assert draw_reliability(figures).startswith(b"\x89PNG")


def test_noise_has_its_level_and_colour(held_out):
    rate = held_out.recipe.features.sample_rate
    noises = list(held_out.noises())
    assert len(noises) == N_NOISES
    assert all(len(waveform) == 10 * rate for waveform in noises)
    levels = [20 * np.log10(np.sqrt(np.mean(waveform.astype(np.float64) ** 2))) for waveform in noises]
    expected = np.tile(np.repeat([-75, -60, -45, -30], 3), 3)
    np.testing.assert_allclose(levels, expected, atol=0.01)
    hz = np.fft.rfftfreq(10 * rate, 1 / rate)
    for index, slope_db in enumerate((0, 3, 6)):
        power = np.mean(
            [np.abs(np.fft.rfft(waveform)) ** 2 for waveform in noises[12 * index : 12 * index + 12]], axis=0
        )
        assert power[hz < 19.9].max() < power[hz >= 20].mean() / 1e6
        low, high = (power[(hz >= first) & (hz < 2 * first)].mean() for first in (100, 200))
        assert 10 * np.log10(low / high) == pytest.approx(slope_db, abs=0.5)
    assert len({waveform.tobytes() for waveform in noises}) == N_NOISES


def test_what_is_said_of_noise_by_itself(held_out):
    oracle = Oracle(held_out)
    quiet = evaluate(oracle, held_out, n_soundscapes=1).noise
    assert (quiet.n_clips, quiet.with_events) == (N_NOISES, 0)
    assert quiet.scene_score == pytest.approx(0.9993, abs=1e-4)  # sure of the first scene
    for waveform in list(held_out.noises())[:9]:
        roll = np.zeros((oracle.n_frames(waveform), len(oracle.config.events)), np.bool_)
        roll[3, 1] = True
        oracle.events[waveform.tobytes()] = roll
    assert evaluate(oracle, held_out, n_soundscapes=1).noise.with_events == 0.25


def test_event_probabilities_are_judged_frame_by_frame():
    scores = FrameScores(
        probabilities=np.array([[0.95, 0.25], [0.85, 0.25], [0.05, 0.25], [0.05, 0.25]], np.float32),
        edges_s=np.arange(5.0),
        classes=("dog", "cat"),
    )
    reference = (Event(onset=0.0, offset=1.0, label="dog"), Event(onset=2.0, offset=4.0, label="cat"))
    sure = HeardSoundscape(scores=scores, reference=reference, unsure=frozenset())
    found = event_calibration([sure])
    assert found.n_scores == 8
    assert found.error == pytest.approx((0.05 + 0.85 + 2 * 0.05 + 4 * 0.25) / 8)
    assert [item.n_scores for item in found.reliability] == [2, 0, 4, 0, 0, 0, 0, 0, 1, 1]
    assert [found.reliability[index].share_right for index in (0, 2, 8, 9)] == [0, 0.5, 0, 1]
    unsure = HeardSoundscape(scores=scores, reference=reference, unsure=frozenset({"cat"}))
    assert event_calibration([unsure]).n_scores == 4
    assert event_calibration([unsure, sure]).n_scores == 12


@pytest.mark.parametrize("settings", [{"median_s": 0.2}, {"median_s": 0.0}, {"step_s": 0.32}, {"step_s": 0.64}])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_any_threshold_cuts_the_events_that_it_gives(settings, threshold):
    generator = np.random.default_rng(8)
    levels = generator.random((40, 2), dtype=np.float32) * (generator.random((40, 2)) < 0.4)
    rough = np.repeat(levels, 10, axis=0)
    edges_s = np.append(np.arange(400) * 0.04, 15.99)
    scores = FrameScores(probabilities=rough, edges_s=edges_s, classes=("rain", "dog"))
    detection = dataclasses.replace(EXACT, threshold=threshold, **settings)
    cut = detect_events(threshold_scores(scores, detection), dataclasses.replace(EXACT, threshold=threshold))
    expected = detect_events(scores, detection)
    assert len(expected) > 3
    assert [(event.onset, event.offset, event.label) for event in cut] == [
        (event.onset, event.offset, event.label) for event in expected
    ]


def test_figures_are_json(held_out):
    figures = evaluate(Oracle(held_out), held_out, n_soundscapes=N_SOUNDSCAPES)
    plain = json.loads(json.dumps(figures.to_dict(), allow_nan=False))
    assert set(plain) == {
        *("condition", "condition_description"),
        *("scenes", "scene_clips", "esc50", "urbansound8k", "soundscapes", "segment_based", "event_based"),
        *("psds1", "psds2", "event_calibration", "noise_alone"),
    }
    assert plain["scenes"]["recall"] == {"rain": 1.0, "street": 1.0, "talk": 1.0}
    assert plain["soundscapes"] == N_SOUNDSCAPES
    assert set(plain["segment_based"]["f1"]) == {"dog", "rain", "siren", "speech", "music"}
    assert (plain["condition"], plain["condition_description"]) == ("clean", "recordings as they are")
    assert (plain["psds1"]["score"], plain["psds1"]["median_s"]) == (round(figures.psds1.value, 4), 0.0)
    assert set(plain["psds2"]["per_class"]) <= {"dog", "rain", "siren", "speech", "music"}
    # the oracle is always sure, of the right scene
    bins = plain["scenes"]["reliability"]
    assert [item["count"] for item in bins] == [0] * 9 + [7]
    assert bins[0] == {"low": 0.0, "high": 0.1, "count": 0, "mean_score": None, "share_right": None}
    assert (bins[9]["mean_score"], bins[9]["share_right"]) == (pytest.approx(0.9993, abs=1e-4), 1.0)
    assert len(plain["event_calibration"]["reliability"]) == 10


def test_a_class_without_clips_has_no_recall(held_out):
    figures = evaluate(Oracle(held_out), held_out, n_soundscapes=1)
    figures = dataclasses.replace(figures, scenes=clip_metrics([0], [[1.0, 0.0, 0.0]]))
    assert figures.to_dict()["scenes"]["recall"] == {"rain": 1.0, "street": None, "talk": None}


def test_the_summary_says_what_was_measured_over_what(held_out):
    summary = evaluate(Oracle(held_out), held_out, n_soundscapes=N_SOUNDSCAPES).summary()
    assert ("scenes, macro accuracy", "100.0 %", "7 recordings") in summary
    assert ("scenes of clips, macro accuracy", "100.0 %", "8 clips, long recordings cut every 10 s") in summary
    assert ("ESC-50 test fold, top-1", "100.0 %", "3 clips") in summary
    assert ("segment-based (1 s) macro F1", "1.000", "5 soundscapes of 10 s") in summary
    assert ("PSDS2 (median 0 s)", "1.000", "5 soundscapes of 10 s") in summary
    assert ("events, calibration error", "0.000", "5 soundscapes of 10 s") in summary
    assert len({what for what, _, _ in summary}) == len(summary) == 15
