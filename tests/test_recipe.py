import dataclasses
import math
from pathlib import Path

import pytest
from tiny_corpus import RECIPE

from compactcli.errors import ConfigError
from compactcli.plainjson import from_json, to_json
from compactcli.recipe import MixConfig, OptimisationConfig, Recipe, SceneLayer, SplitConfig, read_recipe, with_fold

RELEASED = Path(__file__).parent.parent / "models/compactnet/recipe.toml"


def write(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read_from_toml(tmp_path):
    recipe = read_recipe(write(tmp_path, RECIPE))
    assert (recipe.name, recipe.seed, list(recipe.scenes)) == ("tiny", 3, ["rain", "street", "talk"])
    assert recipe.split.test_folds == {"esc50": ("5",), "urbansound8k": ("3",)}
    assert recipe.scenes["street"].layers[1] == SceneLayer(
        labels=("esc50/dog", "urbansound8k/dog_bark", "nowhere/nothing"),
        level_db=(-6.0, 0.0),
        copies=(1, 2),
        probability=0.9,
        whole=False,
    )
    assert recipe.events.classes == ("dog", "rain", "siren", "speech", "music")
    assert [stage.channels for stage in recipe.network.stages] == [8]


def test_what_is_not_said_keeps_its_default(tmp_path):
    recipe = read_recipe(write(tmp_path, RECIPE))
    assert recipe.mix.mixup_db == (-12.0, 6.0)
    assert recipe.features.hop_length == 320
    assert recipe.optimisation.weight_decay == OptimisationConfig().weight_decay


def test_a_recipe_survives_json(tiny_recipe):
    assert from_json(Recipe, to_json(tiny_recipe), where="json") == tiny_recipe


def test_the_released_recipe_is_consistent():
    recipe = read_recipe(RELEASED)
    assert recipe.name == RELEASED.parent.name
    assert len(set(recipe.events.classes)) == len(recipe.events.classes)
    assert all(scene.recordings or scene.layers for scene in recipe.scenes.values())
    folders = {"esc50", "urbansound8k", "ambience", "speech", "music", "effects"}
    layered = {label for scene in recipe.scenes.values() for layer in scene.layers for label in layer.labels}
    assert {label.partition("/")[0] for label in layered} <= folders
    # the teacher is asked about every class that may be hidden
    assert set(recipe.events.unsure) <= set(recipe.events.teacher)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", r"recipe '.*recipe.toml' cannot be read: Invalid value"),
        ('name = "x"\nversion = "1"\n', r"recipe.toml lacks the settings \['split', 'scenes', 'events'\]"),
        (RECIPE.replace("seed = 3", "sead = 3"), r"recipe.toml has unknown settings \['sead'\]"),
        (RECIPE.replace("clip_s", "clip_length"), r"recipe.toml.mix has unknown settings \['clip_length'\]"),
        (RECIPE.replace("steps = 6", 'steps = "six"'), r"recipe.toml.optimisation.steps is 'six', expected int"),
    ],
)
def test_a_recipe_that_cannot_be_understood_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(write(tmp_path, text))


def test_a_recipe_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"recipe '.*none.toml' cannot be read: .*No such file") as caught:
        read_recipe(tmp_path / "none.toml")
    assert caught.value.hint == "give a TOML recipe"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary.toml' cannot be read: 'utf-8' codec"):
        read_recipe(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SplitConfig, {"validation_share": 1.0}, r"validation_share is 1.0, expected a share from 0 up to 1"),
        (SplitConfig, {"test_share": {"music": -0.1}}, r"music is -0.1, expected a share"),
        (SceneLayer, {"labels": ()}, r"a scene layer has no labels"),
        (SceneLayer, {"labels": ("a/b",), "probability": 0.0}, r"probability is 0.0, expected 0 to 1"),
        (SceneLayer, {"labels": ("a/b",), "probability": 1.5}, r"probability is 1.5, expected 0 to 1"),
        (SceneLayer, {"labels": ("a/b",), "copies": (3, 2)}, r"copies are \(3, 2\), expected fewest, most"),
        (OptimisationConfig, {"precision": "fp16"}, r"precision is 'fp16', expected 'fp32' or 'bf16'"),
        (OptimisationConfig, {"steps": 10, "warmup_steps": 10}, r"warmup_steps is 10 of 10 steps"),
        (OptimisationConfig, {"warmup_steps": 0}, r"warmup_steps is 0 of 10000 steps"),
        (OptimisationConfig, {"start_share": 1.0}, r"start_share is 1.0, expected a share from 0 up to 1"),
        (OptimisationConfig, {"dropout": 1.0}, r"dropout is 1.0, expected a share from 0 up to 1"),
        (OptimisationConfig, {"teacher_share": -0.1}, r"teacher_share is -0.1, expected 0 to 1"),
        (OptimisationConfig, {"scene_teacher_share": 1.1}, r"scene_teacher_share is 1.1, expected 0 to 1"),
        (
            OptimisationConfig,
            {"teacher_hears": "voices"},
            r"teacher_hears is 'voices', expected 'names' or 'embedding'",
        ),
        (OptimisationConfig, {"batch_size": 1}, r"batch_size is 1, expected at least 2"),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('dog_bark = "dog"', 'dog_bark = "hound"'),
        ('continuous = ["rain"', 'continuous = ["hound", "rain"'),
        ('unsure = ["speech"]', 'unsure = ["hound"]'),
        ("[events.teacher]", '[events.teacher]\nhound = ["Dog"]'),
    ],
)
def test_event_classes_without_a_place_in_the_head_are_refused(tmp_path, old, new):
    assert old in RECIPE
    with pytest.raises(ConfigError, match=r"recipe 'tiny' uses event classes \['hound'\] that are not in events.class"):
        read_recipe(write(tmp_path, RECIPE.replace(old, new)))


def test_shares_of_the_teacher_ask_for_a_mapping_of_every_event(tmp_path):
    text = RECIPE.replace("[optimisation]", "[optimisation]\nteacher_share = 0.5")
    with pytest.raises(ConfigError, match=r"teacher_share is 0.5, but events.teacher maps nothing to \['dog', 'music'"):
        read_recipe(write(tmp_path, text))


def test_shares_by_the_embedding_need_no_mapping(tmp_path):
    text = RECIPE.replace("[optimisation]", '[optimisation]\nteacher_share = 0.5\nteacher_hears = "embedding"')
    assert read_recipe(write(tmp_path, text)).optimisation.teacher_hears == "embedding"


def test_another_fold_is_held_out(tiny_recipe):
    held = with_fold(tiny_recipe, "2")
    assert held.split.test_folds == {"esc50": ("2",), "urbansound8k": ("3",)}
    assert with_fold(held, "5") == tiny_recipe
    with pytest.raises(ConfigError, match=r"fold is '0', expected one of 1, 2, 3, 4, 5"):
        with_fold(tiny_recipe, "0")


def test_a_recipe_may_be_based_on_another(tmp_path):
    write(tmp_path, RECIPE)
    other = tmp_path / "other.toml"
    other.write_text(
        'based_on = "recipe.toml"\n[split.test_folds]\nesc50 = ["1"]\n[mix]\nclip_s = 2.0\n', encoding="utf-8"
    )
    recipe, base = read_recipe(other), read_recipe(tmp_path / "recipe.toml")
    assert recipe.mix == dataclasses.replace(base.mix, clip_s=2.0)
    assert recipe.split.test_folds == {"esc50": ("1",), "urbansound8k": ("3",)}
    assert dataclasses.replace(recipe, mix=base.mix, split=base.split) == base
    other.write_text('based_on = "recipe.toml"\n[mix]\nclip_length = 2.0\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"other.toml.mix has unknown settings \['clip_length'\]"):
        read_recipe(other)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SplitConfig, {"folders": ("esc5",)}, r"\[split\] names the folders \['esc5'\], expected some of \['esc50',"),
        (SplitConfig, {"test_folds": {"ecs50": ("5",)}}, r"\[split\] names the folders \['ecs50'\]"),
        (MixConfig, {"event_clips": -1.0}, "event_clips is -1.0, expected a number from 0 up"),
        (
            MixConfig,
            dict.fromkeys(("event_clips", "scene_clips", "soundscapes", "simulated_scenes"), 0.0),
            "event_clips, .*, noise_clips are all 0, expected clips of some kind",
        ),
        (MixConfig, {"clip_s": 0.0}, "clip_s is 0.0, expected at least 0.2 s"),
        (MixConfig, {"noise_probability": 1.5}, "noise_probability is 1.5, expected 0 to 1"),
        (MixConfig, {"spectrum_share": -0.5}, "spectrum_share is -0.5, expected 0 to 1"),
        (MixConfig, {"gain_db": (5.0, -5.0)}, r"gain_db is \[5.0, -5.0\], expected lowest, highest"),
        (MixConfig, {"events_per_soundscape": (4, 1)}, r"events_per_soundscape is \[4, 1\], expected lowest"),
        (MixConfig, {"events_per_soundscape": (-1, 1)}, "events_per_soundscape begins with -1, expected 0 or more"),
        (MixConfig, {"stretch": 0.5}, "stretch is 0.5, expected a factor from 1 up"),
        (MixConfig, {"filter_db": -1.0}, "filter_db is -1.0, expected a number from 0 up"),
        (OptimisationConfig, {"learning_rate": math.nan}, "learning_rate is nan, expected more than 0"),
        (OptimisationConfig, {"frame_weight": -1.0}, "frame_weight is -1.0, expected a number from 0 up"),
        (OptimisationConfig, {"save_every": 0}, "save_every is 0, expected at least 1"),
        (OptimisationConfig, {"validate_every": 0}, "validate_every is 0, expected at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(**settings)
