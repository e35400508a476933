import errno
import io
import json
from pathlib import Path

import numpy as np
import pytest
from fake_engine import CONFIG

import compactcli.cli.work
from compactcli.audio import read_audio
from compactcli.cli.options import LevelFormat
from compactcli.cli.output import write_pieces
from compactcli.formats import FORMATS, FRAME_FORMATS, NpyWriter
from compactcli.logmel import NumpyLogMel, band_centres_hz
from compactcli.scores import FrameLevels

FEATURES = CONFIG.features


def expected(path):
    """What the network hears of a recording, shape ``(n_frames, n_mels)``."""
    return NumpyLogMel(FEATURES)(read_audio(path, sample_rate=FEATURES.sample_rate)).T


def read_levels(text):
    heading, *rows = (line.split("\t") for line in text.splitlines())
    return heading, np.array(rows, dtype=np.float64)


# 0.5 s is 25 frames and 12.5 of the network's; three windows of 30 s leave seams where there could be any
@pytest.mark.parametrize("duration_s", [0.001, 0.5, 0.513, 2.03, 70.25])
def test_an_array_has_all_frames(duration_s, run_compact, write_recording, noise, tmp_path):
    path = write_recording("noise.wav", noise(duration_s))
    code, out, _ = run_compact("features", path, "--output", tmp_path / "levels.npy")
    assert (code, out) == (0, "")
    found = np.load(tmp_path / "levels.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(path), atol=1e-4)


def test_levels_are_raised(run_compact, write_recording, noise, tmp_path):
    path = write_recording("noise.wav", noise(2.0))
    assert run_compact("features", path, "--gain", 12.5, "--output", tmp_path / "levels.npy")[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "levels.npy"), expected(path) + 12.5, atol=1e-3)


def test_a_table_says_when_and_in_which_band(run_compact, write_recording, noise):
    path = write_recording("noise.wav", noise(2.03))
    code, out, _ = run_compact("features", path)
    assert code == 0
    heading, rows = read_levels(out)
    assert heading[:2] == ["onset", "offset"]
    np.testing.assert_allclose([float(hz) for hz in heading[2:]], band_centres_hz(FEATURES), atol=0.05)
    np.testing.assert_allclose(rows[:, 0], np.arange(len(rows)) * FEATURES.hop_length / FEATURES.sample_rate, atol=1e-6)
    np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])
    assert rows[-1, 1] == 2.03
    np.testing.assert_allclose(rows[:, 2:], expected(path), atol=0.0051)


def test_bands_are_named_by_where_they_hear_best(tone):
    for band in (3, len(band_centres_hz(FEATURES)) - 3):
        levels = NumpyLogMel(FEATURES)(tone(1.0, frequency_hz=band_centres_hz(FEATURES)[band]))
        assert (levels[:, 5:-5].argmax(axis=0) == band).all()


def test_a_folder_gets_an_array_for_each_recording(run_compact, write_tone, tmp_path):
    path = write_tone("in/deep/a.wav")
    bad = tmp_path / "in/bad.wav"
    bad.write_text("no audio")
    out_dir = tmp_path / "out"
    code, out, err = run_compact("features", tmp_path / "in", "--output-dir", out_dir)
    assert (code, out) == (1, "")
    assert "bad.wav is not audio" in err
    assert [item.name for item in out_dir.rglob("*") if item.is_file()] == ["a.wav.npy"]
    np.testing.assert_allclose(np.load(out_dir / "deep/a.wav.npy"), expected(path), atol=1e-4)


def test_several_formats_and_what_failed(run_compact, write_tone, tmp_path):
    path = write_tone("in/a.wav")
    (tmp_path / "in/bad.wav").write_text("no audio")
    words = [part for name in LevelFormat for part in ("--format", name) if name != "json"]
    code, _, _ = run_compact("features", tmp_path / "in", "--output-dir", tmp_path / "out", *words)
    assert code == 1
    names = ["a.wav.jsonl", "a.wav.npy", "a.wav.tsv", "bad.wav.jsonl"]
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == names
    record = json.loads((tmp_path / "out/a.wav.jsonl").read_text())
    assert (record["path"], record["status"]) == (str(path), "ok")
    assert {"scenes", "events"}.isdisjoint(record)
    assert json.loads((tmp_path / "out/bad.wav.jsonl").read_text())["error"]["code"] == "not-audio"
    _, rows = read_levels((tmp_path / "out/a.wav.tsv").read_text())
    np.testing.assert_allclose(rows[:, 2:], np.load(tmp_path / "out/a.wav.npy"), atol=0.0051)


def test_what_decodes_before_damage_is_written(run_compact, write_recording, noise, tmp_path):
    path = write_recording("cut.wav", noise(2.0))
    path.write_bytes(path.read_bytes()[:-16000])
    code, _, err = run_compact("features", path, "--output", tmp_path / "levels.npy")
    assert "cut.wav is damaged and analysed as far as it goes" in err
    assert code == 0
    assert len(np.load(tmp_path / "levels.npy")) == 75


@pytest.mark.parametrize("step", ["open", "frames", "finish"])
def test_a_full_disk_for_temporary_files_costs_the_recordings_that_do_not_fit(
    step, run_compact, write_recording, noise, tmp_path, monkeypatch
):
    for name, duration_s in (("a.wav", 2.0), ("b.wav", 1.0)):
        write_recording(f"in/{name}", noise(duration_s))

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(file, data):
        # 100 frames of 64 bands do not fit, 50 do
        return full() if len(data) > 20_000 else write_pieces(file, data)

    def open_elsewhere(path, *arguments, real=Path.open, **options):
        return full() if path.parent.name.startswith("compact-") else real(path, *arguments, **options)

    places = {
        "open": (Path, "open", open_elsewhere),
        "frames": (compactcli.cli.work, "write_pieces", write),
        "finish": (NpyWriter, "finish", full),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[step])
        code, out, err = run_compact("features", tmp_path / "in", "--output-dir", tmp_path / "out", "--format", "npy")
    assert (code, out) == (1, "")
    assert "the frames of" in err
    assert "cannot be written into a temporary file (No space left on device), expected room for them" in err
    expected = ["b.wav.npy"] if step == "frames" else []
    assert [path.name for path in (tmp_path / "out").iterdir()] == expected


def test_existing_arrays_are_skipped(run_compact, write_tone, tmp_path):
    write_tone("in/a.wav")
    words = ["features", tmp_path / "in", "--output-dir", tmp_path / "out"]
    assert run_compact(*words)[0] == 0
    (tmp_path / "out/a.wav.npy").write_bytes(b"kept")
    assert run_compact(*words)[0] == 2
    assert run_compact(*words, "--skip-existing")[0] == 0
    assert (tmp_path / "out/a.wav.npy").read_bytes() == b"kept"


def test_the_network_is_not_loaded(run_compact, folder, write_tone, tmp_path, monkeypatch):
    settings = tmp_path / "model/config.json"
    settings.parent.mkdir()
    settings.write_bytes((folder / "config.json").read_bytes())
    path = write_tone()
    words = ["features", path, "--model", settings.parent, "--output", tmp_path / "levels.npy", "--verbose"]
    code, _, err = run_compact(*words)
    assert code == 0
    assert "on cpu with numpy" in err
    assert len(np.load(tmp_path / "levels.npy")) == 50


def test_records_of_a_command_that_cannot_resume_are_not_kept(run_compact, write_tone, tmp_path, monkeypatch):
    write_tone("in/a.wav"), write_tone("in/b.wav")
    seen = []

    def begin(*_words, **_options):
        seen.extend(item.name for item in tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr("compactcli.inference.measure_recording", begin)
    code, _, err = run_compact("features", tmp_path / "in", "--format", "jsonl", "--output", tmp_path / "a.jsonl")
    assert code == 130
    assert "--resume" not in err
    assert not [name for name in (*seen, *(item.name for item in tmp_path.iterdir())) if "journal" in name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.wav", "b.wav"], "--format levels-tsv got 2 recordings, expected one"),
        (["a.wav", "--resume", "--output", "a.npy"], "No such option"),
        (["a.wav", "--format", "csv"], "'csv' is not one of"),
        (["a.wav", "--format", "npy", "--format", "levels-tsv"], "--format was given 2 times"),
    ],
)
def test_wrong_requests_do_nothing(words, message, run_compact, write_tone, tmp_path, monkeypatch):
    write_tone("a.wav"), write_tone("b.wav")
    monkeypatch.chdir(tmp_path)
    code, out, err = run_compact("features", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert {item.name for item in tmp_path.iterdir()} == {"a.wav", "b.wav"}


def test_bytes_are_not_for_a_terminal(run_compact, write_tone, on_terminal):
    path = write_tone("a.wav")
    on_terminal()
    code, out, err = run_compact("features", path, "--format", "npy")
    assert (code, out) == (2, "")
    assert "--format npy is not for a terminal" in err


def test_the_formats_are_those_that_can_be_written():
    assert [str(name) for name in LevelFormat] == [*FRAME_FORMATS["features"], *FORMATS["features"]]


def test_a_header_has_room_for_any_number_of_frames():
    writer, file = NpyWriter(), io.BytesIO()
    piece = FrameLevels(levels_db=np.ones((7, 3), np.float32), edges_s=np.arange(8.0), centres_hz=np.arange(3.0))
    for _ in range(3000):  # four digits more than the first header says
        file.write(writer.frames(piece))
    writer.finish(file)
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), np.ones((21000, 3), np.float32))
