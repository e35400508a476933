import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from own_process import PYTHONPATH

from compactcli.checkpoint import find_model, read_config, verify
from compactcli.cli.app import main

RATE = 16000
SECONDS = np.arange(2 * RATE) / RATE


def tone(rng):
    return 0.3 * np.sin(2 * np.pi * rng.uniform(400, 900) * SECONDS)


def clicks(rng):
    waveform = 0.01 * rng.standard_normal(len(SECONDS))
    waveform[:: int(rng.uniform(1500, 2500))] = 0.9
    return waveform


def hiss(rng):
    return rng.uniform(0.02, 0.1) * rng.standard_normal(len(SECONDS))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Three classes of four recordings; tests do not write into it."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("sounds")
    for label, make in (("clicks", clicks), ("hiss", hiss), ("tone", tone)):
        (folder / label).mkdir()
        for number in range(4):
            soundfile.write(folder / label / f"{number}.wav", make(rng), RATE)
    return folder


@pytest.fixture
def learn(capsys, tmp_path):
    def run(*words):
        capsys.readouterr()
        code = main(["learn", *map(str, words), "--output", str(tmp_path / "mine"), "--device", "cpu"])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def run(capsys):
    def finish(*words):
        capsys.readouterr()
        code = main([*map(str, words), "--device", "cpu", "--quiet"])
        return code, *capsys.readouterr()

    return finish


def test_a_model_classifies_and_detects_what_it_has_learned(learn, run, sounds, tmp_path):
    code, out, err = learn(sounds, "--model", "compactnet-nano", "--background", "hiss")
    mine = tmp_path / "mine"
    assert (code, err) == (0, f"wrote {mine}\n")
    values = json.loads(out)
    shipped = read_config(find_model("compactnet-nano"))
    assert values == {
        "model": "compactnet-nano",
        "recordings": 12,
        "duration": 24.0,
        "folds": 4,
        "accuracy_cross_validated": 1.0,
        "classes": values["classes"],
        "background": ["hiss"],
        "output": str(mine),
        "outside": 0,
        "failed": [],
    }
    assert {label: item["recall"] for label, item in values["classes"].items()} == dict.fromkeys(
        ("clicks", "hiss", "tone"), 1.0
    )
    assert values["classes"]["hiss"]["event_f1"] is None
    assert values["classes"]["tone"]["event_f1"] > 0.9
    config = read_config(mine)
    verify(mine, config)
    assert (config.name, config.version, config.scenes) == ("mine", "1", ("clicks", "hiss", "tone"))
    assert config.events == ("clicks", "tone")
    assert config.training == {
        "network": f"compactnet-nano {shipped.version}",
        "recordings": 12,
        "seconds": 24,
        "accuracy_cross_validated": 1.0,
    }
    rng = np.random.default_rng(1)
    silence = np.zeros(3 * RATE)
    soundfile.write(tmp_path / "new.wav", np.concatenate([silence, tone(rng), silence, clicks(rng), silence]), RATE)
    soundfile.write(tmp_path / "hiss.wav", hiss(rng), RATE)
    _, out, _ = run("classify", tmp_path / "hiss.wav", "--model", mine)
    assert json.loads(out)["scenes"][0]["label"] == "hiss"
    code, out, _ = run("detect", tmp_path / "new.wav", "--model", mine)
    assert code == 0
    record = json.loads(out)
    assert record["model"] == "mine"
    assert [event["label"] for event in record["events"]] == ["tone", "clicks"]
    for event, onset in zip(record["events"], (3, 8), strict=True):
        assert abs(event["onset"] - onset) < 0.5
        assert abs(event["offset"] - onset - 2) < 0.5
    code, out, _ = run("detect", tmp_path / "hiss.wav", "--model", mine)
    assert json.loads(out)["events"] == []
    code, _, err = learn(sounds, "--model", mine, "--overwrite")
    assert code == 2
    assert "is the model that this one is made from, expected another folder" in err
    # a model that was learned can be learned on: the network is the same, and so is what it was trained as
    words = ["learn", sounds, "--model", mine, "--output", tmp_path / "again", "--quiet"]
    assert main([str(word) for word in words]) == 0
    again = read_config(tmp_path / "again")
    assert (again.events, again.training["network"]) == (("clicks", "hiss", "tone"), config.training["network"])


def test_both_engines_hear_the_same(learn, run, sounds, tmp_path):
    learn(sounds, "--quiet")
    words = ["classify", sounds / "tone/0.wav", "--model", tmp_path / "mine", "--engine"]
    by_onnx, by_torch = (json.loads(run(*words, engine)[1])["scenes"] for engine in ("onnx", "torch"))
    assert [item["label"] for item in by_onnx] == [item["label"] for item in by_torch]
    assert by_onnx[0]["score"] == pytest.approx(by_torch[0]["score"], abs=2e-3)


def test_a_table_on_a_terminal(learn, sounds, folder, on_terminal):
    on_terminal()
    code, out, err = learn(sounds, "--model", folder)
    assert code == 0
    assert "event F1 of frames" in out
    assert out.endswith("over 12 recordings, learned without each of 4 parts\n")
    assert "recordings" in err
    assert "fits" in err


def test_a_bad_recording_stops_no_other(learn, sounds, folder, tmp_path):
    mine = tmp_path / "in"
    shutil.copytree(sounds, mine)
    (mine / "tone/notes.txt").write_text("notes of the day")
    (mine / "README.txt").write_text("mine")
    (mine / ".hidden").mkdir()
    cut = mine / "tone/cut.flac"
    soundfile.write(cut, tone(np.random.default_rng(2)), RATE)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    code, out, err = learn(mine, "--model", folder)
    values = json.loads(out)
    assert (code, values["recordings"], values["outside"]) == (1, 13, 1)
    assert values["failed"] == [str(mine / "tone/notes.txt")]
    assert "warning: left out, which is no folder of a class: 1\n" in err
    assert "notes.txt is not audio" in err
    assert f"warning: {cut} is damaged, what comes before is used: " in err
    code, _, err = learn(mine, "--model", folder, "--overwrite", "--quiet")
    assert code == 1
    assert "warning" not in err
    assert "notes.txt is not audio" in err


def test_an_output_inside_the_folder_is_no_class(learn, sounds, folder, tmp_path):
    shutil.copytree(sounds, tmp_path / "in")
    words = ["learn", tmp_path / "in", "--model", folder, "--output", tmp_path / "in/mine", "--quiet"]
    for more in ([], ["--overwrite"]):
        assert main([str(word) for word in [*words, *more]]) == 0
    assert read_config(tmp_path / "in/mine").scenes == ("clicks", "hiss", "tone")


def test_a_model_in_the_folder_is_no_class(learn, sounds, folder, tmp_path):
    shutil.copytree(sounds, tmp_path / "in")
    shutil.copytree(folder, tmp_path / "in/older")
    code, out, err = learn(tmp_path / "in", "--model", folder)
    assert (code, json.loads(out)["outside"]) == (0, 1)
    assert "warning: left out, which is no folder of a class: 1\n" in err


def test_a_recording_in_two_classes_is_refused(learn, sounds, folder, tmp_path):
    shutil.copytree(sounds, tmp_path / "in")
    (tmp_path / "in/hiss/same.wav").symlink_to(tmp_path / "in/clicks/1.wav")
    code, out, err = learn(tmp_path / "in", "--model", folder)
    assert (code, out) == (2, "")
    place = tmp_path / "in"
    assert f"{place}/hiss/same.wav is in {place}/clicks too, expected recordings of one class" in err


def test_a_class_of_which_nothing_can_be_heard(learn, sounds, folder, tmp_path):
    shutil.copytree(sounds, tmp_path / "in")
    (tmp_path / "in/void").mkdir()
    code, out, err = learn(tmp_path / "in", "--model", folder)
    assert (code, out) == (2, "")
    assert err.startswith("error: class void has 0 recordings that can be heard, expected at least 2")
    for number in range(2):
        (tmp_path / f"in/void/{number}.wav").write_text("no audio")
    code, out, err = learn(tmp_path / "in", "--model", folder)
    assert (code, out) == (2, "")
    assert "0.wav is not audio" in err
    assert "error: class void has 0 recordings that can be heard, expected at least 2" in err
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere cannot be read (No such file or directory), expected a folder with a folder for each"),
        (["a.wav"], "a.wav cannot be read (Not a directory), expected a folder with a folder for each class"),
        (["in", "--background", "owl"], "--background owl is no folder of recordings, expected one of clicks, hiss"),
        (["in/tone"], "0 folders with recordings of a class found, expected at least 2"),
        (["in", "--model", "missing"], "model 'missing' was not found"),
        (["in", "--device", "cuda:99"], "device 'cuda:99'"),
    ],
)
def test_refusals(words, message, sounds, tmp_path, monkeypatch, capsys):
    shutil.copytree(sounds, tmp_path / "in")
    shutil.copy(sounds / "tone/0.wav", tmp_path / "a.wav")
    monkeypatch.chdir(tmp_path)
    code = main(["learn", *words, "--output", "mine"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("caf\udce9", "is not UTF-8, expected a name that the model's settings can hold"),
        ("a,b", "error: class 'a,b' has a comma in its name, expected one that --classes can hold"),
    ],
)
def test_a_name_that_no_model_can_use(name, message, learn, sounds, tmp_path):
    shutil.copytree(sounds, tmp_path / "in")
    (tmp_path / "in" / name).mkdir()
    code, _, err = learn(tmp_path / "in")
    assert code == 2
    assert message in err


def test_it_runs_without_torch(sounds, tmp_path):
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchaudio', 'librosa', 'sklearn'])); "
        "from compactcli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-W", "error", "-c", blocked, "learn", sounds, "--output", tmp_path / "mine", "--quiet"]
    result = subprocess.run(words, capture_output=True, text=True, check=False, env={"PYTHONPATH": PYTHONPATH})
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["accuracy_cross_validated"] == 1


@pytest.mark.parametrize("package", ["safetensors", "scipy", "threadpoolctl", "onnx"])
def test_what_a_light_install_lacks_is_named(package, learn, sounds, monkeypatch):
    monkeypatch.setattr("compactcli.packages.is_installed", lambda name: name != package)
    code, _, err = learn(sounds)
    assert (code, err.splitlines()[0]) == (
        2,
        f"error: compact learn needs the package {package}, which is not installed here",
    )
