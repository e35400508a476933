"""The recipes of ESC-50's official folds: what trains, what tests, and how large the networks are."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_datasets import write_corpus

from compactcli.datasets import DROPPED, TEST, TRAIN, read_corpus
from compactcli.recipe import FOLDS, read_recipe, with_fold
from compactcli.study.folds import count_parameters, held_fold

RECIPES = Path(__file__).parent.parent / "models/recipes"
DISTILLED = ("esc50-nano", "esc50-base")
# one fold in less than an hour on two cores with units for bfloat16
SHORT = ("esc50-nano-short", "esc50-nano-short-soft", "esc50-nano-short-soft-32", "esc50-base-short-soft")
LONG = ("esc50-nano-long-soft", "esc50-base-long-soft")
SCRATCH = (
    "esc50-nano-scratch",
    "esc50-base-scratch",
    "esc50-nano-short-scratch",
    "esc50-base-long-scratch",
    "esc50-base-long-strong",
)
NAMES = DISTILLED + SHORT + LONG + SCRATCH
# what differs in the teacher alone
PAIRS = (
    ("esc50-nano", "esc50-nano-scratch"),
    ("esc50-base", "esc50-base-scratch"),
    ("esc50-nano-short", "esc50-nano-short-scratch"),
    ("esc50-nano-short-soft", "esc50-nano-short-scratch"),
)
clips = st.lists(
    st.tuples(st.sampled_from(["esc50", "urbansound8k"]), st.integers(1, 5), st.integers(1, 15)), max_size=40
)


def read(name):
    return read_recipe(RECIPES / f"{name}.toml")


@pytest.mark.parametrize("name", NAMES)
def test_sizes(name):
    assert count_parameters(read(name)) <= (131_000 if "nano" in name else 500_000)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_name_themselves_and_hold_out_one_fold(name):
    recipe = read(name)
    assert recipe.name == name
    assert held_fold(recipe) == "1"
    assert [held_fold(with_fold(recipe, fold)) for fold in FOLDS] == list(FOLDS)
    # nothing came before
    assert recipe.optimisation.start_share == 0
    # nothing else is held out, so nothing is left to choose or to calibrate by
    assert {folder for folder, folds in recipe.split.test_folds.items() if folds} == {"esc50"}
    assert not any([*recipe.split.test_sources.values(), *recipe.split.test_prefixes.values()])
    assert not any([*recipe.split.test_share.values(), recipe.split.validation_share])


@pytest.mark.parametrize("name", SCRATCH)
def test_from_scratch_no_teacher_and_no_other_recording_has_a_say(name):
    recipe = read(name)
    assert recipe.split.folders == ("esc50",)
    assert not recipe.optimisation.has_teacher
    assert recipe.events.unsure == ()
    assert recipe.mix.response_probability == 0


@pytest.mark.parametrize(("distilled", "scratch"), PAIRS)
def test_both_regimes_train_the_same_network_as_long(distilled, scratch):
    one, other = read(distilled), read(scratch)
    assert one.network == other.network
    assert (one.optimisation.steps, one.features) == (other.optimisation.steps, other.features)


@pytest.mark.parametrize("length", ["short", "long"])
def test_the_sizes_differ_in_the_network_alone(length):
    nano, base = read(f"esc50-nano-{length}-soft"), read(f"esc50-base-{length}-soft")
    assert base.network == read("esc50-base").network
    assert replace(base, name=nano.name, network=nano.network) == nano


@pytest.mark.parametrize(("name", "length"), [("esc50-nano-short-soft-32", 1), ("esc50-nano-long-soft", 5)])
def test_other_schedules_differ_in_nothing_else(name, length):
    short, other = read("esc50-nano-short-soft"), read(name)
    assert replace(other, name=short.name, optimisation=short.optimisation) == short
    teaching = ("teacher_share", "teacher_hears", "teacher_weight", "embedding_weight", "frame_weight", "weak_weight")
    assert all(getattr(other.optimisation, name) == getattr(short.optimisation, name) for name in teaching)
    clips = [recipe.optimisation.steps * recipe.optimisation.batch_size for recipe in (short, other)]
    assert clips[1] == length * clips[0]


def test_the_long_recipe_from_scratch_is_the_short_one_with_another_schedule_and_network():
    short, long = read("esc50-nano-short-scratch"), read("esc50-base-long-scratch")
    assert long.network == read("esc50-base").network
    schedule = read("esc50-nano-long-soft").optimisation
    assert replace(short.optimisation, steps=schedule.steps, batch_size=schedule.batch_size) == replace(
        long.optimisation,
        learning_rate=short.optimisation.learning_rate,
        warmup_steps=short.optimisation.warmup_steps,
        validate_every=short.optimisation.validate_every,
        save_every=short.optimisation.save_every,
    )
    assert (long.optimisation.learning_rate, long.optimisation.warmup_steps) == (3e-3, 600)
    assert replace(long, name=short.name, network=short.network, optimisation=short.optimisation) == short


def test_the_strong_recipe_changes_clips_alone():
    plain, strong = read("esc50-base-long-scratch"), read("esc50-base-long-strong")
    assert replace(strong, name=plain.name, mix=plain.mix) == plain
    assert strong.mix.mixup_probability > plain.mix.mixup_probability
    assert strong.mix.spectrum_probability > plain.mix.spectrum_probability


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(clips=clips, fold=st.sampled_from(FOLDS))
def test_no_freesound_recording_of_the_test_fold_trains(name, clips, fold):
    recipe = with_fold(read(name), fold)
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder), clips)
        recordings = read_corpus(Path(folder), recipe)
    tested = {item.source for item in recordings if item.split == TEST}
    for item in recordings:
        if item.folder == "esc50" and item.file.startswith(f"{fold}-"):
            assert item.split == TEST
        elif item.split == TEST:
            # the one filler clip of fold 1
            assert (item.folder, item.file, fold) == ("esc50", "0.ogg", "1")
        if item.split == TRAIN:
            assert item.source not in tested
            assert name in DISTILLED or item.folder == "esc50"
        if item.split == DROPPED and name in DISTILLED:
            assert item.source in tested or item.file in recipe.split.dropped.get(item.folder, ())


def test_every_other_clip_trains(tmp_path):
    write_corpus(tmp_path, [("esc50", fold, 10 + fold) for fold in range(1, 6)] + [("urbansound8k", 1, 12)])
    sides = {item.file: item.split for item in read_corpus(tmp_path, with_fold(read("esc50-base"), "2"))}
    # the clip of UrbanSound8K comes from the Freesound recording of ESC-50's clip in fold 2
    assert sides["2-1.ogg"] == TEST
    assert sides["1-5.ogg"] == DROPPED
    assert {sides[name] for name in ("1-0.ogg", "3-2.ogg", "4-3.ogg", "5-4.ogg", "a.ogg", "s.ogg", "e.ogg")} == {TRAIN}


@pytest.mark.parametrize("fold", FOLDS)
def test_copies_of_esc50s_recordings_are_dropped_whatever_the_fold(fold):
    dropped = with_fold(read("esc50-base"), fold).split.dropped
    assert {"opensfx_chainsaw_56.ogg", "minetest_fire_fire_small.ogg"} <= set(dropped["effects"])
    assert dropped["ambience"] == ("other_alarm.ogg",)
