import importlib.util
import json

import numpy as np
import pytest
from fake_engine import FakeEngine

from compactcli.cli.options import PictureFormat
from compactcli.formats import FORMATS, FRAME_FORMATS
from compactcli.inference import Listening, picture_recording
from compactcli.pictures import N_COLUMNS

PNG = b"\x89PNG"


@pytest.fixture
def picture_of():
    """What a picture of a recording shows."""

    def find(path, **settings):
        found = []
        record = picture_recording(path, FakeEngine(), listening=Listening(on_picture=found.append), **settings)
        assert [picture.record for picture in found] == [record]
        return found[0]

    return find


def test_a_picture_holds_levels_and_scores(picture_of, write_recording, tone):
    waveform = np.concatenate([tone(1.0, level=1e-4), tone(1.0, level=0.5)])
    picture = picture_of(write_recording("a.wav", waveform))
    assert (picture.levels_db.shape, picture.probabilities.shape) == ((100, 64), (50, 3))
    assert (picture.level_column_s, picture.score_column_s) == (0.02, 0.04)
    loud = picture.probabilities[:, picture.classes.index("loud")]
    assert (loud[:25] < 0.5).all()
    assert (loud[25:] > 0.5).all()
    assert picture.levels_db[60:90].max() - picture.levels_db[10:40].max() > 60
    assert ("loud", 1.0, 2.0) in [(event.label, event.onset, event.offset) for event in picture.record.events]


def test_a_long_recording_has_no_more_columns_than_a_picture(picture_of, write_recording, noise):
    picture = picture_of(write_recording("a.flac", noise(95.0)))
    assert N_COLUMNS <= len(picture.levels_db) <= 2 * N_COLUMNS
    assert N_COLUMNS <= len(picture.probabilities) <= 2 * N_COLUMNS
    for columns, column_s in (
        (picture.levels_db, picture.level_column_s),
        (picture.probabilities, picture.score_column_s),
    ):
        assert 0 <= len(columns) * column_s - 95.0 < column_s


def test_only_the_classes_asked_for(picture_of, write_tone):
    assert picture_of(write_tone(), classes=["faint", "loud"], exclude=["loud"]).classes == ("faint",)


def test_one_recording_one_picture(run_compact, write_tone, tmp_path):
    assert run_compact("plot", write_tone(), "--output", tmp_path / "a.png") == (0, "", "")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_the_suffix_chooses_the_form(run_compact, write_tone, tmp_path):
    path = write_tone("tone.wav")
    assert run_compact("plot", path, "--output", tmp_path / "a.svg", "--threshold", "0.1")[0] == 0
    assert "tone.wav" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert run_compact("plot", path, "--output", tmp_path / "a.pdf")[0] == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_settings_are_those_of_detect(run_compact, write_tone):
    path = write_tone(level=0.5)
    _, found, _ = run_compact("plot", path, "--format", "json")
    _, expected, _ = run_compact("detect", path, "--format", "json")
    assert json.loads(found) == json.loads(expected)
    _, strict, _ = run_compact(
        "plot", path, "--format", "json", "--threshold", "0.99", "--classes", "loud", "--top-k", "1"
    )
    assert json.loads(strict)[0]["events"] == []
    assert len(json.loads(strict)[0]["scenes"]) == 1


def test_scenes_of_stretches(run_compact, write_tone, tmp_path):
    path = write_tone(duration_s=3.0)
    _, found, _ = run_compact("plot", path, "--format", "json", "--every", 1)
    _, expected, _ = run_compact("classify", path, "--format", "json", "--every", 1)
    [record] = json.loads(found)
    assert record["stretches"] == json.loads(expected)[0]["stretches"]
    assert run_compact("plot", path, "--every", 1, "--output", tmp_path / "a.svg")[0] == 0
    assert ">scenes<" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_picture_knows_every_scene_of_a_stretch(picture_of, write_recording, tone):
    path = write_recording("a.wav", np.concatenate([tone(1.0, level=0.05), tone(1.0, level=0.5)]))
    found = []
    listening = Listening(on_picture=found.append)
    record = picture_recording(path, FakeEngine(), top_k=1, every_s=1.0, listening=listening)
    assert [len(stretch.scenes) for stretch in record.stretches] == [1, 1]
    assert [len(stretch.scenes) for stretch in found[0].record.stretches] == [3, 3]
    assert (len(record.scenes), found[0].record.scenes) == (1, record.scenes)


def test_a_folder_gets_a_picture_for_each_recording(run_compact, write_tone, tmp_path):
    write_tone("in/deep/a.wav")
    (tmp_path / "in/bad.wav").write_text("no audio")
    words = ["plot", tmp_path / "in", "--output-dir", tmp_path / "out"]
    code, out, err = run_compact(*words)
    assert (code, out) == (1, "")
    assert "bad.wav is not audio" in err
    assert [item.name for item in (tmp_path / "out").rglob("*") if item.is_file()] == ["a.wav.png"]


def test_pictures_and_records_at_once(run_compact, write_tone, tmp_path):
    write_tone("in/a.wav")
    words = [part for name in PictureFormat for part in ("--format", name) if name != "jsonl"]
    assert run_compact("plot", tmp_path / "in", "--output-dir", tmp_path / "out", *words)[0] == 0
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == [
        f"a.wav.{end}" for end in ("json", "pdf", "png", "svg")
    ]


def test_what_decodes_before_damage_is_drawn(run_compact, write_recording, noise, tmp_path):
    path = write_recording("cut.wav", noise(2.0))
    path.write_bytes(path.read_bytes()[:-16000])
    code, _, err = run_compact("plot", path, "--output", tmp_path / "a.svg")
    assert "cut.wav is damaged and analysed as far as it goes" in err
    assert code == 0
    assert "damaged · " in (tmp_path / "a.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.wav", "b.wav"], "--format png got 2 recordings, expected one"),
        (
            ["a.wav", "--output", "a.gif"],
            "--output a.gif ends in .gif, which names no format of compact plot, expected .json, .jsonl, .png",
        ),
        (["a.wav", "--output", "a.png", "--resume"], "No such option"),
        (["a.wav", "--output", "a.png", "--every", "nan"], "every is nan, expected 1 to"),
        (["a.wav", "--output", "a.png", "--classes", "cat"], "'cat' is not an event class"),
    ],
)
def test_wrong_requests_do_nothing(words, message, run_compact, write_tone, tmp_path, monkeypatch):
    write_tone("a.wav"), write_tone("b.wav")
    monkeypatch.chdir(tmp_path)
    code, out, err = run_compact("plot", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert {item.name for item in tmp_path.iterdir()} == {"a.wav", "b.wav"}


def test_bytes_are_not_for_a_terminal(run_compact, write_tone, on_terminal):
    path = write_tone()
    on_terminal()
    code, out, err = run_compact("plot", path)
    assert (code, out) == (2, "")
    assert "--format png is not for a terminal" in err
    assert "add --output FILE.png" in err


def test_matplotlib_is_asked_for(run_compact, write_tone, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else found(name))
    code, _, err = run_compact("plot", write_tone(), "--output", tmp_path / "a.png")
    assert code == 2
    assert "compact plot needs the package matplotlib" in err


def test_the_formats_are_those_that_can_be_written():
    assert [str(name) for name in PictureFormat] == [*FRAME_FORMATS["plot"], *FORMATS["plot"]]
