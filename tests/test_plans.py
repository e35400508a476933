import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.bank import LogMelBank
from compactcli.datasets import TEST, TRAIN, VALIDATION, Recording
from compactcli.errors import ManifestError
from compactcli.plans import Plan, Planner
from compactcli.recipe import MixConfig, SceneConfig, SceneLayer
from compactcli.teacher import TeacherOutputs


def with_mix(recipe, **settings):
    return dataclasses.replace(recipe, mix=dataclasses.replace(recipe.mix, **settings))


KINDS = ("event_clips", "scene_clips", "soundscapes", "simulated_scenes", "noise_clips")


def only(recipe, kind, **settings):
    weights = dict.fromkeys(KINDS, 0.0)
    return with_mix(recipe, **{**weights, kind: 1.0, **settings})


def planner_of(bank, recipe, *, split=TRAIN, stretch=1.0, clip_s=1.0):
    return Planner(bank, recipe, split=split, clip_s=clip_s, stretch=stretch)


def bare_bank(folders, lengths):
    """Recordings of dogs about which nothing else is known."""
    recordings = tuple(
        Recording(folder=folder, file=str(index), label="dog", source=str(index), split=TRAIN, event="dog")
        for index, folder in enumerate(folders)
    )
    length = np.array(lengths, np.int64)
    nothing = np.zeros((0, 1), np.float32)
    none = np.full(len(folders), -1, np.int64)
    return LogMelBank(
        recordings=recordings,
        frames=np.zeros((int(length.sum()), 16), np.float16),
        start=np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64),
        length=length,
        level_db=np.zeros(len(folders)),
        state=np.zeros(int(length.sum()), np.uint8),
        cuts=tuple(((0, int(n)),) for n in length),
        unsure=np.zeros((len(folders), 5), np.bool_),
        teacher=TeacherOutputs(
            classes=("dog",),
            probabilities=nothing,
            embeddings=nothing,
            first=none,
            count=none * 0,
            tags=nothing,
            scenes=nothing,
            middle_s=nothing,
        ),
    )


@given(seed=st.integers(0, 10**6), split=st.sampled_from([TRAIN, VALIDATION, TEST]))
def test_parts_fit_their_clip_their_recording_and_their_side(tiny_bank, tiny_recipe, seed, split):
    recipe = tiny_recipe
    if split == VALIDATION:  # no scene is drawn there by itself
        recipe = with_mix(tiny_recipe, event_clips=0.5, scene_clips=0.0)
    planner = planner_of(tiny_bank, recipe, split=split, stretch=1.15)
    plan = planner.draw(np.random.default_rng(seed))
    assert plan.parts
    for part in plan.parts:
        assert tiny_bank.recordings[part.recording].split == split
        assert 0 <= part.start < part.start + part.length <= planner.n_frames == 50
        assert 1 / 1.15 <= part.stretch <= 1.15
        last = part.source_start + int((part.length - 1) * part.stretch)
        # a slowed piece may reach one frame past the end, where the last frame is held
        assert part.loop or 0 <= part.source_start < tiny_bank.length[part.recording] >= last


def test_the_same_seed_draws_the_same_clip(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe, stretch=1.15)
    plans = [[planner.draw(rng) for _ in range(20)] for rng in (np.random.default_rng(5), np.random.default_rng(5))]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("event_clips", "clip"), ("scene_clips", "clip"), ("soundscapes", "soundscape"), ("simulated_scenes", "scene")],
)
def test_the_weights_choose_the_kind_of_clip(tiny_bank, tiny_recipe, kind, expected):
    planner = planner_of(tiny_bank, only(tiny_recipe, kind, mixup_probability=0.0))
    rng = np.random.default_rng(0)
    plans = [planner.draw(rng) for _ in range(30)]
    assert {plan.kind for plan in plans} == {expected}
    recordings = [tiny_bank.recordings[plan.parts[0].recording] for plan in plans]
    if kind == "event_clips":
        assert all(item.event for item in recordings)
        assert {item.event for item in recordings} == set(tiny_recipe.events.classes)
    if kind == "scene_clips":
        assert {item.scene for item in recordings} == set(tiny_recipe.scenes)
    if expected == "clip":
        assert all(len(plan.parts) == 1 and plan.parts[0].level_db == 0 and plan.scene is None for plan in plans)


def test_noise_by_itself_has_no_parts(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, only(tiny_recipe, "noise_clips"))
    assert planner.draw(np.random.default_rng(0)) == Plan(parts=(), kind="noise")
    some = planner_of(tiny_bank, with_mix(tiny_recipe, noise_clips=0.25))
    rng = np.random.default_rng(0)
    kinds = [some.draw(rng).kind for _ in range(500)]
    others = sum(getattr(some.recipe.mix, name) for name in KINDS if name != "noise_clips")
    assert kinds.count("noise") / 500 == pytest.approx(0.25 / (0.25 + others), abs=0.05)


def test_mixup_adds_a_second_recording(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, only(tiny_recipe, "event_clips", mixup_probability=1.0, mixup_db=(-3.0, 2.0)))
    rng = np.random.default_rng(0)
    for plan in [planner.draw(rng) for _ in range(50)]:
        first, second = plan.parts
        assert first.level_db == 0
        assert -3 <= second.level_db <= 2


def test_a_long_recording_fills_the_clip_and_a_short_one_stands_anywhere_in_it(tiny_recipe):
    planner = planner_of(bare_bank(["esc50", "esc50"], [500, 10]), tiny_recipe)
    rng = np.random.default_rng(0)
    long, short = ([planner.place(rng, index, -4.0) for _ in range(300)] for index in (0, 1))
    assert {(part.start, part.length, part.level_db) for part in long} == {(0, 50, -4.0)}
    assert 0 <= min(part.source_start for part in long) < 20
    assert 430 < max(part.source_start for part in long) <= 450
    assert {(part.source_start, part.length) for part in short} == {(0, 10)}
    assert {part.start for part in short} == set(range(41))


def test_beds_fill_the_clip(tiny_recipe):
    planner = planner_of(bare_bank(["esc50"], [10]), tiny_recipe)
    part = planner.bed(np.random.default_rng(0), 0, -2.0)
    assert (part.source_start, part.start, part.length, part.level_db, part.loop) == (0, 0, 50, -2.0, True)


def test_a_bounded_event_is_cut_out_whole(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe)
    index = planner.pools.cuttable["dog"][0]
    rng = np.random.default_rng(0)
    parts = [planner.cut(rng, index, 0.0) for _ in range(30)]
    pieces = {(part.source_start, part.source_start + part.length) for part in parts}
    assert pieces == set(tiny_bank.cuts[index])


def test_a_continuous_event_gives_a_piece(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe, clip_s=1.5)
    index = planner.pools.cuttable["rain"][0]
    rng = np.random.default_rng(0)
    parts = [planner.cut(rng, index, 0.0) for _ in range(300)]
    lengths = [part.length for part in parts]
    assert 20 <= min(lengths) < 25  # 0.4 s
    assert 70 < max(lengths) <= 75  # the clip
    assert all(0 <= part.source_start <= 100 - part.length for part in parts)
    assert len({part.source_start for part in parts}) > 20


def test_soundscapes_have_events_over_a_background(tiny_bank, tiny_recipe):
    mix = MixConfig(events_per_soundscape=(2, 3), event_level_db=(5.0, 6.0))
    planner = planner_of(tiny_bank, dataclasses.replace(tiny_recipe, mix=mix))
    rng = np.random.default_rng(0)
    plans = [planner.draw_soundscape(rng) for _ in range(100)]
    with_bed = [plan for plan in plans if plan.parts[0].loop]
    assert 80 < len(with_bed) < 100  # nine of ten
    for plan in plans:
        events = [part for part in plan.parts if not part.loop]
        assert len(plan.parts) - len(events) <= 1
        assert 2 <= len(events) <= 3
        assert all(5 <= part.level_db <= 6 for part in events)
        assert all(tiny_bank.recordings[part.recording].event for part in events)


def test_a_soundscape_has_the_scene_of_its_background_unless_an_event_is_of_another(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe)
    rng = np.random.default_rng(1)
    plans = [planner.draw_soundscape(rng) for _ in range(200)]
    for plan in plans:
        scenes = [tiny_bank.recordings[part.recording].scene for part in plan.parts]
        expected = scenes[0] if plan.parts[0].loop and set(scenes[1:]) <= {None, scenes[0]} else None
        assert plan.scene == expected
    assert {plan.scene for plan in plans} == {None, "rain", "street"}


def test_layers_of_a_scene(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe)
    scene = SceneConfig(
        layers=(
            SceneLayer(labels=("esc50/siren",), level_db=(-1.0, -1.0)),
            SceneLayer(labels=("esc50/dog", "nowhere/nothing"), copies=(2, 3), whole=False, level_db=(-9.0, -3.0)),
            SceneLayer(labels=("nowhere/nothing",)),
            SceneLayer(labels=("effects/thud",), probability=0.5),
        )
    )
    rng = np.random.default_rng(0)
    drawn = [planner.layers(rng, scene) for _ in range(100)]
    thuds = 0
    for parts in drawn:
        labels = [tiny_bank.recordings[part.recording].key for part in parts]
        thuds += labels.count("effects/thud")
        dogs = [part for part, label in zip(parts, labels, strict=True) if label == "esc50/dog"]
        assert 2 <= len(dogs) <= 3
        assert all(not part.loop and -9 <= part.level_db <= -3 for part in dogs)
        assert labels[0] == "esc50/siren"
        assert (parts[0].loop, parts[0].length, parts[0].level_db) == (True, 50, -1.0)
        assert set(labels) <= {"esc50/siren", "esc50/dog", "effects/thud"}
    assert 30 < thuds < 70


def test_simulated_scenes_come_from_the_scenes_with_layers(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe)
    assert planner.draw_scene(np.random.default_rng(0)).scene == "street"
    flat = {name: dataclasses.replace(scene, layers=()) for name, scene in tiny_recipe.scenes.items()}
    planner = planner_of(tiny_bank, dataclasses.replace(tiny_recipe, scenes=flat))
    assert planner.draw_scene(np.random.default_rng(0)).kind == "soundscape"


def test_rare_events_are_drawn_more_often_than_their_recordings_say(tiny_bank, tiny_recipe):
    planner = planner_of(tiny_bank, tiny_recipe)
    counts = np.array([len(planner.pools.by_event[name]) for name in planner.event_names])
    assert planner.event_names == sorted(tiny_recipe.events.classes)
    assert planner.event_weights == pytest.approx(counts**0.3 / np.sum(counts**0.3))


def test_a_folder_is_drawn_by_the_root_of_its_size(tiny_recipe):
    bank = bare_bank(["effects"] * 9 + ["esc50"], [10] * 10)
    planner = planner_of(bank, only(tiny_recipe, "event_clips", mixup_probability=0.0))
    rng = np.random.default_rng(0)
    drawn = [planner.draw(rng).parts[0].recording for _ in range(2000)]
    # 3 : 1, although there are nine times as many recordings
    assert np.mean([index == 9 for index in drawn]) == pytest.approx(0.25, abs=0.03)
    assert set(drawn) == set(range(10))


def test_sources_rather_than_clips_can_have_equal_chances(tiny_recipe):
    bank = bare_bank(["esc50"] * 10, [10] * 10)
    recordings = tuple(
        dataclasses.replace(item, source="one" if index else "other") for index, item in enumerate(bank.recordings)
    )
    recipe = only(tiny_recipe, "event_clips", mixup_probability=0.0, by_source=True)
    planner = planner_of(dataclasses.replace(bank, recordings=recordings), recipe)
    rng = np.random.default_rng(0)
    drawn = [planner.draw(rng).parts[0].recording for _ in range(2000)]
    assert np.mean([index == 0 for index in drawn]) == pytest.approx(0.5, abs=0.04)
    assert set(drawn) == set(range(10))


@pytest.mark.parametrize("kind", ["soundscapes", "simulated_scenes"])
@pytest.mark.parametrize(("by_source", "share"), [(True, 0.5), (False, 0.1)])
def test_so_can_those_that_soundscapes_and_scenes_are_made_of(tiny_recipe, kind, by_source, share):
    bank = bare_bank(["esc50"] * 10, [10] * 10)
    recordings = tuple(
        dataclasses.replace(item, source="one" if index else "other") for index, item in enumerate(bank.recordings)
    )
    layer = SceneLayer(labels=(recordings[0].key,), copies=(4, 4))
    recipe = dataclasses.replace(
        only(tiny_recipe, kind, by_source=by_source), scenes={"yard": SceneConfig(recordings={}, layers=(layer,))}
    )
    planner = planner_of(dataclasses.replace(bank, recordings=recordings), recipe)
    planner.pools.beds.extend(range(10))
    rng = np.random.default_rng(0)
    drawn = [part.recording for _ in range(800) for part in planner.draw(rng).parts]
    assert np.mean([index == 0 for index in drawn]) == pytest.approx(share, abs=0.04)


def test_backgrounds_are_ambience_and_steady_scenes(tiny_bank, tiny_recipe):
    beds = {tiny_bank.recordings[index].key for index in planner_of(tiny_bank, tiny_recipe).pools.beds}
    # speech is a scene too, but not steady
    assert beds == {"ambience/downpour", "ambience/avenue", "esc50/rain", "urbansound8k/siren"}


@pytest.mark.parametrize("kind", ["event_clips", "scene_clips", "soundscapes"])
def test_a_side_without_the_recordings_a_clip_needs_is_refused(tiny_bank, tiny_recipe, kind):
    planner = planner_of(tiny_bank, only(tiny_recipe, kind), split="nowhere")
    with pytest.raises(ManifestError, match="this side of the split has no recording for what a clip needs"):
        for seed in range(20):  # one soundscape in ten has no background
            planner.draw(np.random.default_rng(seed))
