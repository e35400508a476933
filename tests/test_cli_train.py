import dataclasses
import json

import pytest
from tiny_corpus import RECIPE, write_wav

from compactcli.checkpoint import read_config
from compactcli.cli.app import main
from compactcli.cli.steps import StepProgress, cache_folder
from compactcli.config import CalibrationConfig
from compactcli.recipe import read_recipe
from compactcli.tomlfiles import is_whole


@pytest.fixture
def train(tiny_corpus, tiny_cache, tmp_path, capsys, monkeypatch):
    """``compact train`` with the tiny recipe: its exit code, standard output and standard error."""
    monkeypatch.setattr("compactcli.tuning.N_SOUNDSCAPES", 4)
    monkeypatch.setattr("compactcli.heldout.SIMULATED_PER_SCENE", 2)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE, encoding="utf-8")

    def run(*words, recipe=recipe, corpus=tiny_corpus, output=tmp_path / "model"):
        capsys.readouterr()
        options = ["--corpus", corpus, "--cache", tiny_cache, "--device", "cpu", "--output", output]
        code = main([str(word) for word in ["train", recipe, *options, *words]])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_training_writes_a_model_folder(tiny_model):
    files = {path.name for path in tiny_model.iterdir()}
    assert files == {"config.json", "model.onnx", "model.safetensors", "recipe.toml", "state.pt", "log.jsonl"}
    assert (tiny_model / "recipe.toml").read_text(encoding="utf-8") == RECIPE
    config = read_config(tiny_model)
    assert (config.name, config.events) == ("tiny", ("dog", "rain", "siren", "speech", "music"))
    assert len(config.calibration.event_bias) == 5


def test_the_folder_is_what_classify_and_detect_accept(tiny_model, tmp_path, capsys, tone):
    write_wav(tmp_path / "tone.wav", tone(1.5))
    words = ["--model", str(tiny_model), "--device", "cpu", "--quiet", str(tmp_path / "tone.wav")]
    assert main(["classify", *words]) == 0
    [record] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (record["status"], record["model"]) == ("ok", "tiny")
    assert {scene["label"] for scene in record["scenes"]} == {"rain", "street", "talk"}
    assert sum(scene["score"] for scene in record["scenes"]) == pytest.approx(1, abs=1e-3)
    assert main(["detect", "--threshold", "0", *words]) == 0
    [record] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["label"] for event in record["events"]} == {"dog", "rain", "siren", "speech", "music"}


def test_training_says_what_it_does_on_standard_error(train, tmp_path):
    code, out, err = train()
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[-1] == f"wrote {tmp_path / 'model'}: 3 scenes, 5 events"
    assert lines[0].startswith("step 2 of 6, ")
    assert "validation: esc50 " in lines[0]
    # done already: nothing is trained, the folder is written again
    code, out, err = train()
    assert code == 0
    assert err.splitlines() == [f"wrote {tmp_path / 'model'}: 3 scenes, 5 events"]


def test_quiet_training_says_nothing(train):
    assert train("--quiet") == (0, "", "")


def test_the_recipe_may_lie_in_the_output_folder(train, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    code, _, _ = train("--quiet", recipe=folder / "recipe.toml", output=folder)
    assert code == 0
    assert (folder / "recipe.toml").read_text(encoding="utf-8") == RECIPE


def test_a_changed_recipe_does_not_go_on(train, tmp_path):
    assert train("--quiet")[0] == 0
    changed = tmp_path / "changed.toml"
    changed.write_text(RECIPE.replace("seed = 3", "seed = 4"), encoding="utf-8")
    code, _, err = train(recipe=changed)
    assert code == 2
    assert "was saved by another recipe, from another start or on another corpus than this run's" in err
    assert "give an empty --output folder" in err


def test_a_fold_and_a_seed_are_written_into_the_recipe(train, tmp_path):
    code, _, _ = train("--quiet", "--fold", 2, "--seed", 9)
    assert code == 0
    text = (tmp_path / "model/recipe.toml").read_text(encoding="utf-8")
    assert text.startswith("# tiny.toml with everything that it is based on and all options\n")
    kept, asked = read_recipe(tmp_path / "model/recipe.toml"), read_recipe(tmp_path / "tiny.toml")
    assert kept.split.test_folds == {"esc50": ("2",), "urbansound8k": ("3",)}
    assert kept.seed == 9
    split = dataclasses.replace(kept.split, test_folds=asked.split.test_folds)
    assert dataclasses.replace(kept, seed=3, split=split) == asked
    assert read_config(tmp_path / "model").training["seed"] == 9
    # what it was trained by goes on without the options
    assert train("--quiet", recipe=tmp_path / "model/recipe.toml")[0] == 0
    assert (tmp_path / "model/recipe.toml").read_text(encoding="utf-8") == text


def test_a_recipe_that_is_based_on_another_is_kept_whole(train, tmp_path):
    based = tmp_path / "based.toml"
    based.write_text('based_on = "tiny.toml"\nname = "based"\n[optimisation]\nsteps = 4\n', encoding="utf-8")
    assert train("--quiet", recipe=based)[0] == 0
    kept = read_recipe(tmp_path / "model/recipe.toml")
    assert (kept.name, kept.optimisation.steps, kept.optimisation.batch_size) == ("based", 4, 4)
    assert is_whole(tmp_path / "model/recipe.toml")
    assert kept == read_recipe(based)


def test_without_validation_recordings_nothing_is_calibrated(train, tmp_path):
    recipe = tmp_path / "all.toml"
    recipe.write_text(RECIPE.replace("validation_share = 0.3", "validation_share = 0.0"), encoding="utf-8")
    code, _, err = train(recipe=recipe)
    assert code == 0
    assert read_config(tmp_path / "model").calibration == CalibrationConfig()
    assert err.splitlines() == [f"wrote {tmp_path / 'model'}: 3 scenes, 5 events"]


def test_what_cannot_be_calibrated_is_not_trained(train, tmp_path):
    recipe = tmp_path / "none.toml"
    text = RECIPE.replace("validation_share = 0.3", "validation_share = 0.000001")
    recipe.write_text(text, encoding="utf-8")
    code, _, err = train(recipe=recipe)
    assert code == 2
    assert "has no validation recordings under recipe 'tiny'" in err
    assert "step" not in err
    assert not (tmp_path / "model").exists()


def test_a_model_is_there_when_it_is_calibrated(train, tmp_path, monkeypatch):
    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("compactcli.tuning.fit_calibration", stop)
        assert train("--quiet")[0] == 130
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"state.pt", "log.jsonl", "recipe.toml"}
    assert train("--quiet")[0] == 0
    assert read_config(tmp_path / "model").calibration != CalibrationConfig()


def test_what_a_recipe_may_have_misspelled_is_said(train, tmp_path):
    recipe = tmp_path / "misspelled.toml"
    recipe.write_text(RECIPE.replace('ambience = ["downpour"]', 'ambience = ["downpuor"]'), encoding="utf-8")
    code, _, err = train(recipe=recipe)
    assert code == 0
    assert err.startswith("warning: scene 'rain' names 'ambience/downpuor', which the corpus does not have\n")
    assert "warning" not in train("--quiet", recipe=recipe, output=tmp_path / "other")[2]


def test_a_folder_with_another_model_is_left_alone(train, tmp_path):
    assert train("--quiet")[0] == 0
    (tmp_path / "model/state.pt").unlink()
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    code, _, err = train()
    assert code == 2
    assert f"error: --output {tmp_path / 'model'} holds a model, and no state of a training to go on from" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("-", "--output - would be standard output, expected the name of a folder"),
        ("/", "--output / has no name, expected one for the model"),
        ("taken", "--output taken is not a folder, expected the name of one"),
        ("taken/model", "--output taken/model is not a folder, expected the name of one"),
        ("/proc/model", "/proc/model cannot be written"),
        ("\udce9", "is not UTF-8, expected a name that the model's settings can hold"),
    ],
)
def test_places_where_no_model_can_be(train, tmp_path, monkeypatch, output, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("here")
    code, _, err = train(output=output)
    assert code == 2
    assert message in err
    assert (tmp_path / "taken").read_text() == "here"


def test_a_fold_that_is_not_there_ends_with_2(train, tmp_path):
    code, out, err = train("--fold", 6)
    assert (code, out) == (2, "")
    assert "fold is '6', expected one of 1, 2, 3, 4, 5" in err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("damage", ["recipe", "corpus", "device"])
def test_wrong_requests_end_with_2(train, tmp_path, damage):
    output = tmp_path / "never"
    if damage == "recipe":
        code, out, err = train(recipe=tmp_path / "none.toml", output=output)
        assert "none.toml' cannot be read" in err
    elif damage == "corpus":
        code, out, err = train(corpus=tmp_path, output=output)
        assert "point --corpus at the corpus" in err
    else:
        code, out, err = train("--device", "abacus", output=output)
        assert "device 'abacus' is unknown" in err
    assert (code, out) == (2, "")
    assert not (output / "config.json").exists()


def test_where_log_mels_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(tmp_path / "asked") == tmp_path / "asked"
    assert cache_folder(None) == tmp_path / "xdg/compact"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder(None) == tmp_path / "home/.cache/compact"


def test_bars_are_for_terminals(capsys, on_terminal):
    with StepProgress(active=True) as progress:
        progress.show("training", 1, 2)
        progress.say("not a bar")
    assert capsys.readouterr().err == "not a bar\n"
    on_terminal()
    with StepProgress(active=True) as progress:
        progress.show("training", 1, 2, "loss 3")
        count = progress.counter("clips")
        count()
        count()
        progress.say("above [the] bars")
    out, err = capsys.readouterr()
    assert out == ""
    assert "training" in err
    assert "1/2" in err
    assert "loss 3" in err
    assert "2/?" in err
    assert "above [the] bars" in err
    with StepProgress(active=False) as progress:
        progress.show("training", 1, 2)
    assert capsys.readouterr() == ("", "")
