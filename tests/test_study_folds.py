import dataclasses
import json

import pytest

from compactcli.engine import load_engine
from compactcli.errors import ConfigError
from compactcli.evaluation import hear, tag_scores
from compactcli.heldout import HeldOut
from compactcli.recipe import read_recipe
from compactcli.study.folds import (
    FoldFigure,
    fold_tables,
    held_fold,
    measure_fold,
    read_figures,
    updated,
    write_figures,
)
from compactcli.study.tables import fold_markdown
from compactcli.training import build_network

FIGURE = FoldFigure(
    recipe="small",
    fold="1",
    seed=1,
    accuracy=0.8,
    clips=400,
    parameters=100_000,
    steps=10,
    folders=(),
    taught=True,
    weights="abc",
)


def all_folds(recipe="small", seed=1, **changes):
    return [
        dataclasses.replace(FIGURE, recipe=recipe, seed=seed, fold=str(fold), accuracy=0.7 + fold / 100, **changes)
        for fold in range(1, 6)
    ]


def test_a_figure_is_measured_on_the_fold_that_is_held_out(tiny_model, tiny_corpus, tiny_cache):
    recipe = read_recipe(tiny_model / "recipe.toml")
    engine = load_engine(tiny_model, device="cpu")
    heard = []
    figure = measure_fold(engine, recipe, tiny_corpus, cache=tiny_cache, report=lambda: heard.append(1))
    assert (figure.recipe, figure.fold, figure.seed, figure.steps, figure.clips) == ("tiny", "5", 3, 6, 3)
    assert len(heard) == 3
    assert figure.parameters == sum(item.numel() for item in build_network(recipe).parameters())
    assert figure.taught
    assert figure.weights == json.loads((tiny_model / "config.json").read_text())["sha256"]["model.safetensors"][:12]
    # the same answers by hand
    held_out = HeldOut(tiny_corpus, recipe, split="test", cache=tiny_cache)
    right = 0
    for item in held_out.recordings:
        if item.folder == "esc50":
            scores = tag_scores(hear(engine, held_out.waveform(item)).events, engine.config.calibration)
            best = max(("dog", "rain", "siren"), key=lambda name: scores[engine.config.events.index(name)])
            right += best == item.event
    assert figure.accuracy == pytest.approx(right / 3, abs=1e-5)


@pytest.mark.parametrize("folds", [(), ("1", "2"), ("6",)])
def test_a_recipe_that_holds_out_no_fold_is_refused(tiny_recipe, folds):
    split = dataclasses.replace(tiny_recipe.split, test_folds={"esc50": folds})
    with pytest.raises(ConfigError, match=r"recipe 'tiny' holds out the folds .* of ESC-50, expected one of") as caught:
        held_fold(dataclasses.replace(tiny_recipe, split=split))
    assert caught.value.hint == "train a model for each fold with compact train --fold"


@pytest.mark.parametrize(
    ("weights", "taught"),
    [
        ({}, False),
        ({"teacher_weight": 1.0}, True),
        ({"embedding_weight": 0.1}, True),
        ({"teacher_share": 0.1, "teacher_hears": "embedding"}, True),
        ({"scene_teacher_share": 0.1}, True),
    ],
)
def test_who_was_taught(tiny_model, tiny_corpus, tiny_cache, weights, taught):
    recipe = read_recipe(tiny_model / "recipe.toml")
    options = dataclasses.replace(recipe.optimisation, **{"teacher_weight": 0.0, "embedding_weight": 0.0, **weights})
    engine = load_engine(tiny_model, device="cpu")
    recipe = dataclasses.replace(recipe, optimisation=options)
    assert measure_fold(engine, recipe, tiny_corpus, cache=tiny_cache).taught is taught


def test_figures_are_read_again(tmp_path):
    path = tmp_path / "new/folds.json"
    assert read_figures(path) == []
    figures = all_folds("b") + all_folds("a")
    write_figures(path, figures)
    assert read_figures(path) == all_folds("a") + all_folds("b")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2 + 10
    write_figures(path, [])
    assert read_figures(path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", r"results '.*folds.json' cannot be read: "),
        ("{}", r"results '.*folds.json' hold dict, expected a list of figures"),
        ("[{}]", r"folds.json\[0\] lacks the settings \['recipe', "),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, text, message):
    (tmp_path / "folds.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_figures(tmp_path / "folds.json")


def test_a_model_measured_again_takes_its_place():
    figures = all_folds()
    again = dataclasses.replace(figures[2], accuracy=0.99)
    assert {item.accuracy for item in updated(figures, again)} == {0.71, 0.72, 0.99, 0.74, 0.75}
    assert len(updated(figures, dataclasses.replace(again, seed=2))) == 6


def test_a_mean_asks_for_all_folds():
    [table] = fold_tables(all_folds())
    assert table.mean == pytest.approx(0.73)
    [table] = fold_tables(all_folds()[1:])
    assert table.mean is None
    assert table.accuracy == {"1": None, "2": 0.72, "3": 0.73, "4": 0.74, "5": 0.75}


def test_the_table_of_folds():
    lines = fold_markdown(fold_tables([*all_folds(seed=2), *all_folds("none", taught=False)[3:]])).splitlines()
    assert lines[2] == "| none | no | 100,000 | 1 | - | - | - | 74.00 | 75.00 | - |"
    assert lines[3] == "| small | yes | 100,000 | 2 | 71.00 | 72.00 | 73.00 | 74.00 | 75.00 | 73.00 |"
    assert len({line.count("|") for line in lines}) == 1


def test_seeds_are_averaged_where_no_fold_is_missing():
    better = [dataclasses.replace(item, seed=2, accuracy=item.accuracy + 0.02) for item in all_folds()]
    lines = fold_markdown(fold_tables([*all_folds(), *better, *all_folds(seed=3)[1:], *all_folds("z")])).splitlines()
    assert [line.split(" | ")[3] for line in lines[2:]] == ["1", "2", "3", "2 seeds", "1"]
    # 73 and 75 %
    assert lines[5] == "| small | yes | 100,000 | 2 seeds |  |  |  |  |  | 74.00 ± 1.41 |"
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    "changes", [{"parameters": 1}, {"steps": 11, "seed": 2}, {"taught": False}, {"folders": ("esc50",)}]
)
def test_folds_that_do_not_belong_together_are_refused(changes):
    figures = all_folds()
    figures[4] = dataclasses.replace(figures[4], **changes)
    with pytest.raises(ConfigError, match="models of recipe 'small' differ in size, steps") as caught:
        fold_tables(figures)
    assert caught.value.hint == "give recipes that differ different names"
