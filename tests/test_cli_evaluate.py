import json
import math
import shutil
from pathlib import Path

import pytest

from compactcli.cli.app import main

SAMPLES = Path(__file__).parents[1] / "sample_audio"


@pytest.fixture
def evaluate(tiny_corpus, tiny_cache, tiny_model, capsys, monkeypatch):
    """``compact evaluate`` with the tiny model: its exit code, standard output and standard error."""
    monkeypatch.setattr("compactcli.heldout.SIMULATED_PER_SCENE", 2)

    def run(*words, model=tiny_model, corpus=tiny_corpus):
        capsys.readouterr()
        options = ["--model", model, "--corpus", corpus, "--cache", tiny_cache, "--device", "cpu", "--soundscapes", 3]
        code = main([str(word) for word in ["evaluate", *options, *words]])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def numbers(value):
    """Every number inside a JSON value."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def test_figures_are_finite_json(evaluate):
    code, out, err = evaluate()
    assert (code, err) == (0, "")
    figures = json.loads(out)
    found = numbers(figures)
    assert len(found) > 30
    assert all(math.isfinite(number) for number in found)
    assert figures["soundscapes"] == 3
    assert figures["scene_clips"]["clips"] == 7  # five clips of recordings, two simulated
    assert figures["scenes"]["clips"] == 6  # two of the clips are one recording
    assert (figures["esc50"]["clips"], figures["urbansound8k"]["clips"]) == (3, 2)
    assert set(figures["scenes"]["recall"]) == {"rain", "street", "talk"}
    shares = [
        figures[name][key] for name in ("scenes", "esc50", "urbansound8k") for key in ("accuracy", "macro_accuracy")
    ]
    shares += [figures[name][key] for name in ("segment_based", "event_based") for key in ("macro_f1", "micro_f1")]
    assert all(0 <= share <= 1 for share in shares)


def test_conditions_come_as_a_list(evaluate):
    code, out, err = evaluate("--condition", "quiet", "--condition", "clean")
    assert (code, err) == (0, "")
    quiet, clean = json.loads(out)
    assert (quiet["condition"], clean["condition"]) == ("quiet", "clean")
    assert quiet["condition_description"] == "-30 dB"
    assert set(quiet) == set(clean)
    assert quiet["scenes"]["clips"] == clean["scenes"]["clips"] == 6
    assert quiet["scenes"]["log_loss"] != clean["scenes"]["log_loss"]
    # as without the option
    assert clean == json.loads(evaluate()[1])


def test_every_condition_can_be_measured(evaluate):
    code, out, _ = evaluate("--condition", "all", "--format", "json")
    assert code == 0
    names = [figures["condition"] for figures in json.loads(out)]
    assert names == ["clean", "phone", "mp3-64", "telephone", "quiet", "loud", "noise"]


def test_a_table_says_which_condition(evaluate):
    code, out, _ = evaluate("--format", "table", "--condition", "loud", "--condition", "noise")
    assert code == 0
    assert "loud: +20 dB, clipped at full scale" in out
    assert out.index("loud: ") < out.index("noise: white noise 20 dB below each recording")
    assert out.count("scenes, macro accuracy") == 2
    assert "clean: " not in evaluate("--format", "table")[1]


def test_the_same_figures_at_every_call(evaluate):
    assert evaluate()[1] == evaluate("--quiet")[1]


def test_an_exported_network_is_measured_in_place_of_the_models(evaluate, tiny_model, tmp_path):
    words = ["export", str(tiny_model), "--no-frontend", "--check", str(SAMPLES / "rain.flac"), "--quiet"]
    exact, rough = tmp_path / "exact.onnx", tmp_path / "rough.onnx"
    assert main([*words, "-o", str(exact)]) == 0
    assert main([*words, "-o", str(rough), "--precision", "int8", "--ranges", str(SAMPLES / "speech.wav")]) == 0
    figures, of_exact, of_rough = (
        json.loads(evaluate(*words)[1]) for words in ([], ["--graph", exact], ["--graph", rough])
    )
    assert numbers(of_exact) == pytest.approx(numbers(figures), rel=1e-4)
    assert of_rough["scenes"]["log_loss"] != pytest.approx(figures["scenes"]["log_loss"], rel=1e-4)
    assert of_rough["scenes"]["clips"] == figures["scenes"]["clips"]


def test_bfloat16_is_less_exact(evaluate):
    exact, rough = (json.loads(evaluate("--precision", name)[1]) for name in ("fp32", "bf16"))
    assert rough["scenes"]["log_loss"] == pytest.approx(exact["scenes"]["log_loss"], rel=0.05)
    assert rough["scenes"]["log_loss"] != pytest.approx(exact["scenes"]["log_loss"], rel=1e-6)


def test_a_table_for_people(evaluate):
    code, out, _ = evaluate("--format", "table")
    assert code == 0
    assert "scenes, macro accuracy" in out
    assert "3 soundscapes of 10 s" in out
    assert "true scene" in out


def test_a_terminal_gets_the_table(evaluate, on_terminal):
    on_terminal()
    code, out, _ = evaluate("--quiet")
    assert code == 0
    assert "segment-based (1 s) macro F1" in out


def test_wrong_requests_end_with_2(evaluate, tiny_model, tmp_path):
    code, out, err = evaluate(model=tmp_path)
    assert (code, out) == (2, "")
    assert "was not found, expected an installed model" in err
    code, out, err = evaluate(corpus=tmp_path)
    assert (code, out) == (2, "")
    assert "point --corpus at the corpus" in err
    code, out, err = evaluate("--soundscapes", 0)
    assert (code, out) == (2, "")
    assert "--soundscapes" in err
    code, out, err = evaluate("--condition", "[underwater]")
    assert (code, out) == (2, "")
    assert "condition '[underwater]' is unknown, expected one of clean, phone" in " ".join(err.split())
    without_recipe = tmp_path / "model"
    shutil.copytree(tiny_model, without_recipe)
    (without_recipe / "recipe.toml").unlink()
    code, out, err = evaluate(model=without_recipe)
    assert (code, out) == (2, "")
    assert "model model has no recipe.toml, which says what is held out; expected one that compact train wrote" in err


def test_a_picture_of_both_heads(evaluate, tmp_path):
    picture = tmp_path / "reliability.png"
    code, out, err = evaluate("--picture", picture, "--condition", "clean")
    assert (code, err) == (0, "")
    assert out == evaluate("--condition", "clean")[1]
    assert picture.read_bytes().startswith(b"\x89PNG")
    before = picture.read_bytes()
    # the first condition's, in place of what was there
    assert evaluate("--picture", picture, "--condition", "clean", "--condition", "noise")[0] == 0
    assert picture.read_bytes() == before


def test_a_picture_of_another_kind_is_refused(evaluate, tmp_path):
    code, out, err = evaluate("--picture", tmp_path / "reliability.pdf")
    assert (code, out) == (2, "")
    assert "reliability.pdf has another suffix than .png" in err


def test_a_picture_that_cannot_be_written_costs_no_time(evaluate, tmp_path):
    code, out, err = evaluate("--picture", tmp_path / "missing/a.png")
    assert (code, out) == (2, "")
    assert "--picture" in err
    assert "is in a folder that does not exist" in err
