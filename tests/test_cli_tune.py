import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_tone
from fake_engine import FakeEngine, with_detection
from own_process import PYTHONPATH

from compactcli.checkpoint import copy_model, find_model, read_config
from compactcli.cli.app import main
from compactcli.cli.tune import Metric
from compactcli.formats import FORMATS, read_events
from compactcli.judging import METRICS
from compactcli.records import Record

HEAD = "filename\tonset\toffset\tevent_label"
EVENTS_WAV = Path(__file__).parents[1] / "sample_audio/events.wav"


@pytest.fixture
def deaf(run_compact, monkeypatch):
    """``run_compact`` with a model whose threshold is above all its scores."""
    config = with_detection(threshold=0.99)
    monkeypatch.setattr("compactcli.inference.load_model", lambda *_words, **_options: FakeEngine(config=config))
    return run_compact


@pytest.fixture
def labelled(write_recording, tmp_path):
    """Three recordings with two tones each, in a folder, and their table."""
    rows = [HEAD]
    for name in ("a.wav", "b.wav", "deep/c.wav"):
        silence, loud = np.zeros(2 * 16000, np.float32), make_tone(2.0)
        write_recording(f"in/{name}", np.concatenate([silence, loud, silence, loud, silence]))
        rows += [f"{name}\t{onset}\t{onset + 2}\tloud" for onset in (2, 6)]
    table = tmp_path / "truth.tsv"
    table.write_text("\n".join(rows) + "\n")
    return tmp_path / "in", table


def add(table, *rows):
    table.write_text(table.read_text() + "\n".join(rows) + "\n")


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "raven"])
def test_labels_in_other_layouts_tell_the_same(form, deaf, labelled, tmp_path):
    folder, table = labelled
    expected = deaf("tune", folder, "--reference", table)
    writer = FORMATS["detect"][form]()
    events_of = read_events(table.read_text(), str(table))
    records = [Record(path=name, scenes=(("hum", 1.0),), events=tuple(events)) for name, events in events_of.items()]
    other = tmp_path / "truth.other"
    other.write_text(writer.begin() + "".join(map(writer.record, records)) + writer.end())
    assert deaf("tune", folder, "--reference", other) == expected


def test_labels_may_be_tracks_of_audacity(deaf, labelled, tmp_path):
    folder, table = labelled
    expected = deaf("tune", folder, "--reference", table)
    for name, events in read_events(table.read_text(), str(table)).items():
        writer = FORMATS["detect"]["audacity"]()
        track = tmp_path / "labels" / f"{name}.txt"
        track.parent.mkdir(parents=True, exist_ok=True)
        track.write_text(writer.record(Record(path=name, events=tuple(events))))
    assert deaf("tune", folder, "--reference", tmp_path / "labels") == expected


def test_a_class_with_few_events_stays_as_it_is(deaf, labelled):
    folder, table = labelled
    code, out, err = deaf("tune", folder, "--reference", table)
    assert (code, err) == (0, "")
    values = json.loads(out)
    # without one recording there are four events
    assert values["classes"]["loud"]["kept"] == "few events"
    assert values["f1"] == {"before": 0, "after_same_recordings": 0, "after_cross_validated": 0}
    assert values["improved"] is False


@pytest.fixture
def more(labelled, write_recording):
    """Twice as many recordings."""
    folder, table = labelled
    for name in ("a", "b", "c"):
        shutil.copy(folder / "a.wav", folder / f"more-{name}.wav")
        add(table, *(f"more-{name}.wav\t{onset}\t{onset + 2}\tloud" for onset in (2, 6)))
    return folder, table


def test_settings_that_prove_themselves(deaf, more):
    folder, table = more
    code, out, err = deaf("tune", folder, "--reference", table)
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values["f1"] == {"before": 0, "after_same_recordings": 1, "after_cross_validated": 1}
    assert (values["improved"], values["recordings"], values["folds"], values["duration"]) == (True, 6, 5, 60.0)
    assert values["options"] == "--threshold loud=0.95"
    assert values["detection"]["chosen"]["class_thresholds"] == {"loud": 0.95}
    assert (values["output"], values["unlabelled"], values["failed"]) == (None, 0, [])
    # what the options do is what was promised
    _, out, _ = deaf("detect", folder / "a.wav", "--format", "tsv", *shlex.split(values["options"]))
    assert [line.split("\t")[1:] for line in out.splitlines()[1:]] == [
        ["2.000", "4.000", "loud"],
        ["6.000", "8.000", "loud"],
    ]


def test_a_table_on_a_terminal(deaf, more, on_terminal):
    folder, table = more
    on_terminal()
    code, out, err = deaf("tune", folder, "--reference", table)
    assert code == 0
    assert "segment-based (1 s) macro F1" in out
    assert out.splitlines()[-1] == "compact detect --threshold loud=0.95"
    assert "recordings" in err
    assert "fits" in err
    code, out, err = deaf("tune", folder, "--reference", table, "--quiet", "--format", "json", "--metric", "event")
    assert (code, err) == (0, "")
    assert json.loads(out)["metric"] == "event"
    assert "event-based (200 ms)" in deaf("tune", folder, "--reference", table, "--metric", "event")[1]


def test_what_the_table_does_not_name_is_left_out(deaf, more):
    folder, table = more
    (folder / "truth.txt").write_text("notes")
    shutil.copy(table, folder / "truth.tsv")
    code, out, err = deaf("tune", folder, "--reference", folder / "truth.tsv")
    # the table itself is none of the files
    assert (code, err) == (0, f"warning: files left out, which {folder / 'truth.tsv'} does not name: 1\n")
    assert json.loads(out)["unlabelled"] == 1
    shutil.copy(folder / "a.wav", folder / "unheard.wav")
    _, out, err = deaf("tune", folder, "--reference", folder / "truth.tsv")
    assert "does not name: 2\n" in err
    assert json.loads(out)["recordings"] == 6
    assert deaf("tune", folder, "--reference", folder / "truth.tsv", "--quiet")[2] == ""


def test_labels_that_the_model_does_not_know_are_left_out(deaf, more):
    folder, table = more
    add(table, "a.wav\t0\t1\tfox", "b.wav\t0\t1\t[owl]")
    code, out, err = deaf("tune", folder, "--reference", table)
    assert (code, err) == (0, "warning: labels left out, which fake does not know: 'fox' (once), '[owl]' (once)\n")
    values = json.loads(out)
    assert values["unknown_labels"] == ["fox", "[owl]"]
    assert list(values["classes"]) == ["loud"]


def test_labels_that_overlap_another_of_their_class_are_one_event(deaf, more):
    folder, table = more
    before = json.loads(deaf("tune", folder, "--reference", table)[1])
    first = next(line for line in table.read_text().splitlines()[1:] if line.endswith("loud"))
    name, onset, offset, label = first.split("\t")
    add(table, f"{name}\t{float(onset) + 0.01}\t{offset}\t{label}")
    code, out, err = deaf("tune", folder, "--reference", table)
    assert (code, err) == (0, "warning: labels joined with another of their class, which they touch: 1\n")
    assert json.loads(out) == before
    assert deaf("tune", folder, "--reference", table, "--quiet")[2] == ""


def test_a_recording_without_events_is_heard(deaf, more, write_recording):
    folder, table = more
    write_recording("in/quiet.wav", make_tone(10.0))
    add(table, "quiet.wav\t\t\t")
    values = json.loads(deaf("tune", folder, "--reference", table)[1])
    assert values["recordings"] == 7
    assert values["f1"]["after_same_recordings"] == pytest.approx(2 * 24 / (2 * 24 + 10), abs=1e-4)


def test_what_fails_is_told_and_the_others_count(deaf, more):
    folder, table = more
    (folder / "b.wav").write_text("no audio")
    (folder.parent / "empty").mkdir()
    damaged = folder / "more-a.wav"
    damaged.write_bytes(damaged.read_bytes()[: 44 + 2 * 16000 * 5])
    words = ["tune", folder, folder.parent / "gone.wav", folder.parent / "empty", "--reference", table]
    code, out, err = deaf(*words)
    assert code == 1
    values = json.loads(out)
    assert values["failed"] == [
        str(path) for path in (folder / "b.wav", folder.parent / "gone.wav", folder.parent / "empty")
    ]
    assert (values["recordings"], values["improved"], values["duration"]) == (5, True, 45.0)
    assert f"error: {folder / 'b.wav'} is not audio" in err
    assert "gone.wav does not exist" in err
    assert "empty is a folder without recordings" in err
    assert f"warning: {damaged} is damaged, what comes before is used: " in err
    assert "warning: labels left out, which begin after the end of their recording: 1\n" in err
    code, _, err = deaf(*words, "--quiet")
    assert code == 1
    assert "warning" not in err
    assert "gone.wav does not exist" in err


def test_folders_inside_folders_can_be_left(deaf, more):
    folder, table = more
    code, out, err = deaf("tune", folder, "--no-recursive", "--reference", table)
    assert (code, out) == (2, "")
    assert "names 'deep/c.wav', found no such recording" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nope", "--output", "mine"], "model 'nope' was not found"),
        (["--output", "in"], "--output in is there already, expected a new name"),
        (["--output", "in", "--overwrite"], "--output in holds a.wav, which is no part of a model"),
        (["--output", "no/mine"], "--output no/mine is in a folder that does not exist"),
        (["--metric", "psds"], "'psds'"),
        (["--reference", "none.tsv"], "--reference none.tsv cannot be read"),
        (["-"], "- is standard input, expected recordings that have names"),
        ([""], "an empty path stands for nothing"),
    ],
)
def test_wrong_requests_do_nothing(words, said, deaf, more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("compactcli.cli.hearing.hear_labelled", None)
    code, out, err = deaf("tune", "in", "--reference", "truth.tsv", *words)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ["a.wav\t0\t1\tfox"],
            "holds only labels that the model does not know, such as 'fox' (once), expected",
        ),
        (["a.wav\t\t\t"], "holds no labels, expected names of the model's events"),
        (["a.wav\t0\t1\tloud", "b.wav\t0\t1\tfox"], "1 of 2 labelled recordings hold an event that the model knows"),
        (["x.wav\t0\t1\tloud"], "names 'x.wav', found no such recording"),
        ([], "names no recordings"),
    ],
)
def test_tables_that_nothing_can_be_fitted_to(rows, said, deaf, labelled):
    folder, table = labelled
    table.write_text("\n".join([HEAD, *rows]) + "\n")
    code, out, err = deaf("tune", folder, "--reference", table)
    assert (code, out) == (2, "")
    assert said in err


def test_too_few_recordings_can_be_heard(deaf, labelled):
    folder, table = labelled
    for name in ("a.wav", "b.wav"):
        (folder / name).write_text("no audio")
    code, out, err = deaf("tune", folder, "--reference", table)
    assert (code, out) == (2, "")
    assert "a.wav is not audio" in err
    assert "1 of 1 labelled recordings hold an event" in err


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A copy of the shipped model that reports next to nothing, and seven labelled recordings."""
    place = tmp_path_factory.mktemp("strict")
    shipped = find_model("compactnet")
    config = read_config(shipped)
    copy_model(
        shipped,
        place / "strict",
        replace(config, name="strict", detection=replace(config.detection, threshold=0.96, hysteresis=0.0)),
    )
    waveform, rate = soundfile.read(EVENTS_WAV, dtype="float32")
    rows = [HEAD]
    (place / "in").mkdir()
    for number in range(7):
        soundfile.write(place / f"in/{number}.wav", np.roll(waveform, -number * 100, axis=0), rate)
        for row in EVENTS_WAV.with_suffix(".tsv").read_text(encoding="utf-8").splitlines()[1:]:
            rows.append(f"{number}.wav\t" + row.split("\t", 1)[1])
    (place / "truth.tsv").write_text("\n".join(rows) + "\n")
    return place


def events_of(out):
    return [json.loads(line)["events"] for line in out.splitlines()]


def test_a_model_is_written_that_detects_as_the_options_do(strict, tmp_path, capsys):
    output = tmp_path / "my model"
    words = ["tune", strict / "in", "--reference", strict / "truth.tsv", "--model", strict / "strict"]
    assert main([str(word) for word in [*words, "--output", output, "--device", "cpu"]]) == 0
    out, err = capsys.readouterr()
    values = json.loads(out)
    assert err == f"wrote {output}\n"
    assert (values["improved"], values["output"]) == (True, str(output))
    assert values["f1"]["after_cross_validated"] > values["f1"]["before"] + 0.1
    config = read_config(output)
    assert config.name == "my model"
    assert config.detection.class_thresholds == values["detection"]["chosen"]["class_thresholds"]
    own = read_config(strict / "strict")
    assert replace(config, name="strict", detection=own.detection) == own
    assert (output / "recipe.toml").read_bytes() == (find_model("compactnet") / "recipe.toml").read_bytes()

    def detect(*options):
        words = ["detect", strict / "in", "--format", "jsonl", "--quiet", *options]
        assert main([str(word) for word in words]) == 0
        return events_of(capsys.readouterr().out)

    by_options = detect(*shlex.split(values["options"]))
    assert values["options"].startswith(f"--model {strict / 'strict'} ")
    assert by_options == detect("--model", output)
    assert by_options != detect("--model", strict / "strict")
    assert main(["models", "info", str(output), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "my model"


def test_a_model_that_would_be_no_better_is_not_written(run_compact, labelled, monkeypatch, folder, tmp_path):
    monkeypatch.setattr("compactcli.checkpoint.find_model", lambda name: folder)
    words = ["tune", labelled[0], "--reference", labelled[1], "--output", tmp_path / "mine"]
    code, out, err = run_compact(*words)
    values = json.loads(out)
    assert (code, values["improved"], values["output"], values["options"]) == (1, False, None, "")
    assert values["f1"] == {"before": 1, "after_same_recordings": 1, "after_cross_validated": 1}
    reason = f"{tmp_path / 'mine'} was not written: the model's own settings stay\n"
    assert err == reason
    assert not (tmp_path / "mine").exists()
    # nothing else tells a script why there is no model
    assert run_compact(*words, "--quiet")[::2] == (1, reason)
    assert run_compact(*words[:-2])[::2] == (0, "")


def test_recordings_that_are_not_there_are_no_fault_of_the_table(run_compact, labelled, tmp_path):
    code, _, err = run_compact("tune", tmp_path / "nowhere", "--reference", labelled[1])
    assert code == 2
    assert f"{tmp_path / 'nowhere'} does not exist, expected labelled recordings or a folder of them" in err


def test_an_output_inside_the_folder_of_recordings_is_no_recording(deaf, more, monkeypatch, folder):
    place, table = more
    monkeypatch.setattr("compactcli.checkpoint.find_model", lambda name: folder)
    shutil.copytree(folder, place / "mine")
    monkeypatch.setattr("compactcli.cli.model_output.write_model", lambda target, write: None)
    code, out, _ = deaf("tune", place, "--reference", table, "--output", place / "mine", "--overwrite")
    assert (code, json.loads(out)["unlabelled"]) == (0, 0)


def test_a_light_install_tunes(strict, tmp_path):
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchaudio', 'onnx', 'librosa', 'scipy'])); "
        "from compactcli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["tune", strict / "in", "--reference", strict / "truth.tsv", "--model", strict / "strict", "--quiet"]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocked, *words, "--output", tmp_path / "mine"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": PYTHONPATH},
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["improved"] is True
    assert (tmp_path / "mine/model.onnx").is_file()


def test_the_metrics_are_those_that_can_be_measured():
    assert [str(name) for name in Metric] == list(METRICS)
