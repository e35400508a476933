import numpy as np
import onnxruntime
import pytest

from compactcli.cli import export as command
from compactcli.cli.app import main


@pytest.fixture
def run(capsys):
    """Run one command: its exit code, standard output and standard error."""

    def run_words(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run_words


def test_a_model_becomes_one_file(folder, run, tmp_path, write_tone):
    output = tmp_path / "tiny.onnx"
    code, out, err = run("export", folder, "--to", "onnx", "--output", output, "--check", write_tone())
    assert (code, out) == (0, "")
    assert f"wrote {output}: onnx, fp32, {output.stat().st_size:,} bytes" in err.replace("\n", " ")
    assert "probabilities on 1 recordings, 1 s, differ from torch by" in err.replace("\n", " ")
    scenes, events = onnxruntime.InferenceSession(str(output)).run(None, {"waveform": np.zeros((1, 999), np.float32)})
    assert (scenes.shape, events.shape) == ((1, 2), (1, 2, 3))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_options_reach_the_graph(folder, run, tmp_path, write_tone):
    output = tmp_path / "tiny.onnx"
    words = ["--precision", "int8", "--no-frontend", "--ranges", write_tone("a.wav"), "--check", write_tone("b.wav")]
    assert run("export", folder, "--output", output, *words, "--quiet") == (0, "", "")
    session = onnxruntime.InferenceSession(str(output))
    assert [item.name for item in session.get_inputs()] == ["log_mel"]


def test_the_samples_are_compared_on_by_default(folder, run, tmp_path):
    code, _, err = run("export", folder, "--output", tmp_path / "tiny.onnx")
    assert code == 0
    assert "probabilities on 9 recordings, 54 s" in err.replace("\n", " ")


def test_without_samples_recordings_have_to_be_named(folder, run, tmp_path, monkeypatch):
    monkeypatch.setattr("compactcli.__file__", str(tmp_path / "compactcli" / "__init__.py"))
    code, _, err = run("export", folder, "--output", tmp_path / "tiny.onnx")
    assert code == 2
    assert "no recordings to compare with torch on, expected --check" in err.replace("\n", " ")


def test_the_first_minute_is_enough(write_recording, noise):
    path = write_recording("long.wav", noise(61.0))
    [waveform] = command._read([path], sample_rate=16000)
    assert len(waveform) == 60 * 16000


def test_notes_in_a_folder_are_left_out(tmp_path, write_tone):
    write_tone("folder/a.wav")
    (tmp_path / "folder" / "notes.txt").write_text("notes", encoding="utf-8")
    assert [len(waveform) for waveform in command._read([tmp_path / "folder"], sample_rate=16000)] == [16000]


@pytest.mark.parametrize("name", ["notes.txt", "missing.wav", "empty"])
def test_what_is_named_has_to_be_a_recording(folder, run, tmp_path, name):
    (tmp_path / "notes.txt").write_text("notes", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    output = tmp_path / "tiny.onnx"
    code, _, err = run("export", folder, "--output", output, "--check", tmp_path / name)
    assert code == 2
    assert name in err.replace("\n", "")
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--precision", "int8"], "--precision int8 came without --ranges, expected recordings that show how large"),
        (["--ranges", "folder"], "--ranges came with --precision fp32, expected int8"),
        (["--to", "tflite"], "Invalid value for '--to'"),
        (["--check", ""], "an empty path stands for nothing, expected a file or a folder"),
        (["--precision", "int8", "--ranges", ""], "an empty path stands for nothing, expected a file or a folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, run, tmp_path, words, message):
    code, _, err = run("export", folder, "--output", tmp_path / "tiny.onnx", *words)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())


def test_a_file_that_is_there_stays(folder, run, tmp_path, write_tone):
    output = tmp_path / "tiny.onnx"
    output.write_bytes(b"mine")
    words = ["export", folder, "--output", output, "--check", write_tone(), "--quiet"]
    code, _, err = run(*words)
    assert (code, output.read_bytes()) == (2, b"mine")
    assert "is there already" in err
    assert run(*words, "--overwrite") == (0, "", "")
    assert len(output.read_bytes()) > 10_000


def test_a_full_disk_is_told(folder, run, tmp_path, write_tone, monkeypatch):
    def fail(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    code, _, err = run("export", folder, "--output", tmp_path / "tiny.onnx", "--check", write_tone())
    assert code == 1
    assert "cannot be written (No space left on device)" in err.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tone.wav"]


@pytest.mark.parametrize("package", ["onnx", "torch"])
def test_a_light_install_says_what_is_missing(folder, run, tmp_path, monkeypatch, package):
    monkeypatch.setattr("compactcli.packages.is_installed", lambda name: name != package)
    code, _, err = run("export", folder, "--output", tmp_path / "tiny.onnx")
    assert code == 2
    assert f"compact export needs the package {package}, which is not installed here" in err.replace("\n", " ")


@pytest.mark.parametrize("words", [["train", "recipe.toml", "--output", "model"], ["evaluate"]])
def test_other_commands_of_a_light_install_say_it_too(run, tmp_path, monkeypatch, words):
    monkeypatch.setattr("compactcli.packages.is_installed", lambda name: name != "torch")
    code, _, err = run(*words, "--corpus", tmp_path)
    assert code == 2
    assert f"compact {words[0]} needs the package torch, which is not installed here" in err.replace("\n", " ")
