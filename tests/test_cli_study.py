import json
import shutil

import pytest
from test_study_tables import RUNS

from compactcli.cli.app import main
from compactcli.study.results import append_run
from compactcli.study.variants import variants


@pytest.fixture
def study(capsys):
    """``compact study``: its exit code, standard output and standard error."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in ["study", *words]])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A folder with the results of a few runs, and latencies of few networks in few rounds."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("compactcli.study.latency.variants", lambda: variants()[:2])
    monkeypatch.setattr("compactcli.study.latency.REPEATS", 2)
    for run in RUNS:
        append_run(tmp_path / "out/results.jsonl", run)
    return tmp_path / "out"


def test_what_is_there_becomes_a_table_and_a_picture(study, finished):
    code, out, err = study("interchannel", "--no-train", "--output", finished, "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("**image classification, scikit-learn's digits**\n")
    assert (finished / "table.md").read_text(encoding="utf-8") == out
    assert {path.name for path in finished.iterdir()} == {
        "results.jsonl",
        "latency.json",
        "table.md",
        "interchannel.png",
    }
    measured = (finished / "latency.json").read_text(encoding="utf-8")
    assert study("interchannel", "--no-train", "--output", finished)[:2] == (0, out)
    assert (finished / "latency.json").read_text(encoding="utf-8") == measured
    # measured anew when asked
    (finished / "latency.json").write_text("old", encoding="utf-8")
    assert study("interchannel", "--no-train", "--output", finished, "--latency", "--quiet")[0] == 0
    assert len(json.loads((finished / "latency.json").read_text(encoding="utf-8"))["networks"]) == 3 * 2


def test_missing_runs_are_done(study, finished, tiny_corpus, monkeypatch):
    asked = {}

    def run_study(output, **options):
        asked.update(options, output=output)
        options["loading"](1, 2)
        options["report"](1, 1, RUNS[0])
        return list(RUNS)

    monkeypatch.setattr("compactcli.study.running.run_study", run_study)
    words = ["--corpus", tiny_corpus, "--output", finished, "--seeds", 2, "--task", "clips", "--device", "cpu"]
    code, _, err = study("interchannel", *words)
    assert (code, err) == (0, "")
    assert (asked["output"], asked["corpus"], asked["n_seeds"]) == (finished, tiny_corpus, 2)
    assert (asked["tasks"], asked["device"].type) == (("clips",), "cpu")
    code, _, err = study("interchannel", "--output", finished, "--task", "digits", "--device", "cpu")
    assert (code, err, asked["corpus"], asked["tasks"]) == (0, "", None, ("digits",))


def test_wrong_requests_end_with_2(study, tmp_path, tiny_corpus, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    code, out, err = study("interchannel", "--output", tmp_path)
    assert (code, out) == (2, "")
    assert "--corpus is missing, which training on clips and soundscapes needs" in err
    code, out, err = study("interchannel", "--output", tmp_path, "--corpus", tiny_corpus, "--task", "chess")
    assert (code, out) == (2, "")
    assert "--task is 'chess', expected one of digits, clips, soundscapes" in err
    code, out, err = study("interchannel", "--output", tmp_path, "--no-train")
    assert (code, out) == (2, "")
    assert "results.jsonl' holds no runs, expected some" in " ".join(err.split())
    monkeypatch.setattr("compactcli.study.is_installed", lambda name: name not in ("sklearn", "matplotlib"))
    code, out, err = study("interchannel", "--output", tmp_path, "--no-train")
    assert (code, out) == (2, "")
    text = " ".join(err.split())
    assert "needs the packages scikit-learn, matplotlib, which are not installed here" in text
    assert "pip install 'compactcli[study]'" in text


def test_models_of_folds_are_gathered(study, tmp_path, tiny_model, tiny_corpus, tiny_cache):
    results = tmp_path / "new/folds.json"
    options = ["--corpus", tiny_corpus, "--cache", tiny_cache, "--results", results, "--device", "cpu", "--quiet"]
    code, out, err = study("folds", *options)
    assert (code, out) == (2, "")
    assert "folds.json does not exist, expected figures" in " ".join(err.split())
    code, out, err = study("folds", tiny_model, *options)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("| tiny | yes | ")
    [figure] = json.loads(results.read_text(encoding="utf-8"))
    assert out.splitlines()[-1].endswith(f" | 3 | - | - | - | - | {100 * figure['accuracy']:.2f} | - |")
    # another fold of the same recipe joins it
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    recipe = (other / "recipe.toml").read_text(encoding="utf-8")
    (other / "recipe.toml").write_text(recipe.replace('esc50 = ["5"]', 'esc50 = ["1"]'), encoding="utf-8")
    code, out, _ = study("folds", other, *options)
    assert code == 0
    assert [figure["fold"] for figure in json.loads(results.read_text(encoding="utf-8"))] == ["1", "5"]
    assert len(out.splitlines()) == 3
    # the table alone
    assert study("folds", *options)[1] == out


def test_folds_of_unlike_models_are_not_written(study, tmp_path, tiny_model, tiny_corpus, tiny_cache):
    results = tmp_path / "folds.json"
    options = ["--corpus", tiny_corpus, "--cache", tiny_cache, "--results", results, "--device", "cpu", "--quiet"]
    assert study("folds", tiny_model, *options)[0] == 0
    before = results.read_text(encoding="utf-8")
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    recipe = (other / "recipe.toml").read_text(encoding="utf-8").replace("steps = 6", "steps = 7")
    (other / "recipe.toml").write_text(recipe.replace('esc50 = ["5"]', 'esc50 = ["1"]'), encoding="utf-8")
    code, out, err = study("folds", other, *options)
    assert (code, out) == (2, "")
    assert "models of recipe 'tiny' differ in size, steps" in " ".join(err.split())
    assert results.read_text(encoding="utf-8") == before


def test_what_cannot_be_written_is_told_before_any_work(study, tmp_path, tiny_model, tiny_corpus):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    place = tmp_path / "file/there"
    for words in (
        ["interchannel", "--corpus", tiny_corpus, "--output", place],
        ["folds", tiny_model, "--corpus", tiny_corpus, "--results", place / "folds.json"],
    ):
        code, out, err = study(*words, "--device", "cpu", "--quiet")
        assert (code, out) == (2, "")
        assert "file/there is not a folder, expected the name of one" in " ".join(err.split())


def test_help_loads_no_study():
    import subprocess
    import sys

    code = "import sys; from compactcli.cli.app import main; main(['study', 'folds', '--help']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Measure models on the fold" in loaded
    assert not {"torch", "sklearn", "matplotlib", "compactcli.study"} & set(loaded.splitlines()[-1].split())
