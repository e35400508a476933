"""``compact cut`` on real tables and files, in a process or with the fake engine's events."""

import csv
import io
import json
import os
import re
from collections import Counter

import numpy as np
import pytest
import soundfile

from compactcli.cli.cut import ClipPick, cut
from compactcli.clips import ClipChoice, Pick

RATE = 16000
HEAD = "filename\tonset\toffset\tevent_label\n"


@pytest.fixture
def night(write_recording, tone, tmp_path, monkeypatch):
    """Two recordings of six seconds, each in a folder, with labels of both; the working folder is around them."""
    for name in ("in/north/a.wav", "in/south/b.wav"):
        write_recording(name, tone(6.0))
    monkeypatch.chdir(tmp_path)
    rows = ["a.wav\t1.0\t1.5\tdog\n", "a.wav\t4.0\t4.25\tcat\n", "b.wav\t5.5\t6.0\tdog\n", "b.wav\t0.25\t0.5\tdog\n"]
    (tmp_path / "labels.tsv").write_text(HEAD + "".join(rows))
    return tmp_path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_table_of_labels_becomes_folders_of_classes(run_compact, night):
    code, out, err = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")
    assert (code, err) == (0, "")
    expected = [
        "cat/north/a.wav_00004.000-00004.250.wav",
        "dog/north/a.wav_00001.000-00001.500.wav",
        "dog/south/b.wav_00000.250-00000.500.wav",
        "dog/south/b.wav_00005.500-00006.000.wav",
    ]
    assert files(night / "clips") == expected
    # a second before and after, as far as the recording goes
    assert [soundfile.info(night / "clips" / name).duration for name in expected] == [2.25, 2.5, 1.5, 1.5]
    report = json.loads(out)
    assert (report["output"], report["late"], report["failed"]) == ("clips", 0, [])
    assert [clip["path"] for clip in report["clips"]] == [f"clips/{expected[index]}" for index in (1, 0, 3, 2)]
    assert report["clips"][2] == {
        "path": f"clips/{expected[3]}",
        "recording": "in/south/b.wav",
        "label": "dog",
        "onset": 5.5,
        "offset": 6.0,
        "score": None,
        "start": 4.5,
        "stop": 6.0,
    }


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_what_detect_found_is_cut_where_it_was_found(form, run_compact, night, write_recording, tone):
    write_recording("in/c.wav", np.concatenate([np.zeros(RATE, np.float32), tone(1.0), np.zeros(RATE, np.float32)]))
    (night / "in/notes.txt").write_text("no recording")
    assert run_compact("detect", "in", "--output", f"events.{form}", "--classes", "loud", "--quiet")[0] == 1
    code, out, _ = run_compact("cut", f"events.{form}", "--output-dir", "clips", "--margin", 0, "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["path"] for row in rows] == [
        "clips/loud/c.wav_00001.000-00002.000_0.98.wav",
        "clips/loud/north/a.wav_00000.000-00006.000_0.98.wav",
        "clips/loud/south/b.wav_00000.000-00006.000_0.98.wav",
    ]
    assert {key: rows[0][key] for key in ("recording", "label", "onset", "offset", "score", "start", "stop")} == {
        "recording": "in/c.wav",
        "label": "loud",
        "onset": "1.0",
        "offset": "2.0",
        "score": "0.982",
        "start": "1.0",
        "stop": "2.0",
    }
    expected, _ = soundfile.read("in/c.wav", start=RATE, stop=2 * RATE, dtype="int16")
    np.testing.assert_array_equal(soundfile.read(rows[0]["path"], dtype="int16")[0], expected)


def test_label_tracks_of_audacity(run_compact, night):
    assert run_compact("detect", "in", "--output-dir", "labels", "--format", "audacity", "--classes", "loud")[0] == 0
    (night / "labels/north/a.wav.txt").write_text("1.0\t1.5\tdog\n")
    (night / "labels/south/b.wav.txt").write_text("")
    assert run_compact("cut", "labels", "in", "--output-dir", "clips")[0] == 0
    assert files(night / "clips") == ["dog/north/a.wav_00001.000-00001.500.wav"]
    assert run_compact("cut", "labels/north/a.wav.txt", "in/north", "--output-dir", "more")[0] == 0
    assert files(night / "more") == ["dog/a.wav_00001.000-00001.500.wav"]
    # beside the recordings, where nothing else has to be named
    (night / "labels/north/a.wav.txt").rename(night / "in/north/a.wav.txt")
    assert run_compact("cut", "in", "--output-dir", "beside")[0] == 0
    assert files(night / "beside") == ["dog/a.wav_00001.000-00001.500.wav"]


def test_events_on_standard_input(run_compact, night, give_stdin):
    table = (night / "labels.tsv").read_bytes()
    give_stdin(table)
    assert run_compact("cut", "-", "in", "--output-dir", "clips", "--classes", "cat")[0] == 0
    assert files(night / "clips") == ["cat/north/a.wav_00004.000-00004.250.wav"]


def test_a_label_that_is_not_utf8(run_compact, night):
    (night / "labels.tsv").write_bytes((night / "labels.tsv").read_bytes().replace(b"dog", b"d\xf6g"))
    assert run_compact("cut", "labels.tsv", "in", "--output-dir", "clips", "--classes", os.fsdecode(b"d\xf6g"))[0] == 0
    assert [os.fsencode(path.name) for path in (night / "clips").iterdir()] == [b"d\xf6g"]


def test_a_table_for_people_counts_clips(run_compact, night, on_terminal):
    on_terminal()
    code, out, _ = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")
    assert code == 0
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert [line.split() for line in plain.splitlines()] == [
        ["class", "clips", "seconds"],
        ["cat", "1", "2.2"],
        ["dog", "3", "5.5"],
    ]


def test_which_events_are_cut(run_compact, night):
    words = ["cut", "labels.tsv", "in", "--output-dir", "clips", "--margin", 0]
    any_of_them = "warning: labels.tsv: no event has a score, so that --at-most takes any\n"
    code, _, err = run_compact(*words, "--at-most", 1)
    assert (code, err) == (0, any_of_them)
    for more in (["--at-most", 3], ["--at-most", 1, "--pick", "random"], ["--at-most", 1, "--classes", "cat"]):
        assert run_compact(*words[:-3], "other", "--margin", 0, "--overwrite", *more)[2] == ""
    assert files(night / "clips") == [
        "cat/north/a.wav_00004.000-00004.250.wav",
        "dog/north/a.wav_00001.000-00001.500.wav",
    ]
    code, out, err = run_compact(*words, "--classes", "dog,owl", "--exclude", "dog", "--threshold", "bat=0.5")
    assert (code, json.loads(out)["clips"]) == (0, [])
    assert err == (
        "warning: labels.tsv: no events of owl, bat\n"
        "warning: labels.tsv: no event has a score, so that --threshold leaves none out\n"
    )
    code, _, err = run_compact(*words, "--exclude", "dog,cat")
    assert (code, err) == (0, "warning: labels.tsv: no events that are asked for\n")
    assert run_compact(*words, "--exclude", "dog,cat", "--quiet")[2] == ""


def test_clips_that_are_there_are_kept_unless_they_may_be_replaced(run_compact, night):
    words = ["cut", "labels.tsv", "in", "--output-dir", "clips"]
    run_compact(*words, "--classes", "dog")
    first = night / "clips/dog/north/a.wav_00001.000-00001.500.wav"
    first.write_text("mine")
    code, out, err = run_compact(*words)
    assert (code, out) == (2, "")
    assert f"{first.relative_to(night)} and 2 more clips are there already, expected new names" in err
    assert len(files(night / "clips")) == 3
    assert run_compact(*words, "--overwrite")[0] == 0
    assert soundfile.info(first).duration == 2.5
    assert len(files(night / "clips")) == 4


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(run_compact, night):
    words = ["cut", "labels.tsv", "in", "--output-dir", "clips"]
    expected = json.loads(run_compact(*words)[1])
    kept = night / "clips/dog/south/b.wav_00005.500-00006.000.wav"
    before = kept.stat().st_mtime_ns
    for name in ("dog/north/a.wav_00001.000-00001.500.wav", "dog/south/b.wav_00000.250-00000.500.wav"):
        (night / "clips" / name).unlink()
    code, out, err = run_compact(*words, "--skip-existing")
    assert (code, err, json.loads(out)) == (0, "", expected)
    assert len(files(night / "clips")) == 4
    assert kept.stat().st_mtime_ns == before
    # what is no clip is cut again
    kept.write_bytes(b"")
    code, out, err = run_compact(*words, "--skip-existing")
    assert (code, err, json.loads(out)) == (0, "", expected)
    assert soundfile.info(kept).duration == 1.5


def test_recordings_of_two_folders_must_not_meet(run_compact, night):
    (night / "in/south/b.wav").rename(night / "in/south/a.wav")
    (night / "labels.tsv").write_text(HEAD + "north/a.wav\t1\t2\tdog\nsouth/a.wav\t1\t2\tdog\n")
    code, _, err = run_compact("cut", "labels.tsv", "in/north", "in/south", "--output-dir", "clips")
    assert code == 2
    assert "clips of in/north/a.wav and in/south/a.wav would both be clips/dog/a.wav_00001.000-00002.000.wav" in err
    assert run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")[0] == 0
    assert len(files(night / "clips")) == 2


def test_a_row_that_is_there_twice_is_one_clip(run_compact, night):
    row = {"schema": 1, "path": "in/north/a.wav", "events": [{"onset": 1, "offset": 2, "label": "dog", "score": 0.75}]}
    (night / "events.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"path": "./in/north//a.wav"}))
    code, out, _ = run_compact("cut", "events.jsonl", "--output-dir", "clips")
    assert (code, len(json.loads(out)["clips"])) == (0, 1)
    assert files(night / "clips") == ["dog/a.wav_00001.000-00002.000_0.75.wav"]


def test_a_recording_is_never_replaced(run_compact, night, write_recording, tone):
    name = "dog/a.wav_00001.000-00001.500.wav"
    write_recording(name, tone(2.0))
    (night / name).rename(night / "kept.wav")
    (night / name).hardlink_to(night / "kept.wav")
    (night / "a.wav").symlink_to(night / name)
    (night / "labels.tsv").write_text(HEAD + "a.wav\t1.0\t1.5\tdog\n")
    code, _, err = run_compact("cut", "labels.tsv", "--output-dir", ".", "--overwrite")
    assert code == 2
    assert f"{name} is one of the recordings, expected another folder" in err


def test_one_bad_recording_does_not_stop_the_others(run_compact, night):
    (night / "in/bad.wav").write_text("no recording")
    records = [
        {"schema": 1, "path": path, "events": [{"onset": 1, "offset": 2, "label": "dog", "score": 0.75}]}
        for path in ("in/gone.wav", "in/bad.wav", "in/south/b.wav", "", "a\0b", "\ud800", "x/..", f"in/{'x' * 240}.wav")
    ]
    (night / "events.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    code, out, err = run_compact("cut", "events.jsonl", "--output-dir", "clips")
    assert code == 1
    assert files(night / "clips") == ["dog/south/b.wav_00001.000-00002.000_0.75.wav"]
    assert "in/gone.wav does not exist" in err
    assert "in/bad.wav is not audio" in err
    assert "is no path of a recording, expected one" in err
    assert "would have a name of 273 bytes, expected at most 255" in err
    assert len(json.loads(out)["failed"]) == 7


def test_events_behind_the_end_are_counted(run_compact, night):
    (night / "labels.tsv").write_text(HEAD + "a.wav\t5.0\t9.0\tdog\na.wav\t6.0\t7.0\tdog\na.wav\t7.0\t7.5\tdog\n")
    for margin in (0, 1, 2):
        code, out, err = run_compact("cut", "labels.tsv", "in", "--output-dir", f"clips{margin}", "--margin", margin)
        assert code == 1
        assert err == "warning: in/north/a.wav ends at 6.00 s; events that begin later have no clip: 2\n"
        assert (json.loads(out)["late"], json.loads(out)["clips"][0]["stop"]) == (2, 6.0)
        assert len(files(night / f"clips{margin}")) == 1


def test_what_lies_between_events_may_be_a_class_too(run_compact, night, write_recording, tone):
    write_recording("in/c.wav", tone(12.0))
    (night / "labels.tsv").write_text((night / "labels.tsv").read_text() + "c.wav\t\t\t\n")
    words = ["cut", "labels.tsv", "in", "--output-dir", "clips", "--rest", "background"]
    code, out, err = run_compact(*words, "--classes", "cat", "--at-most", 99)
    assert (code, err) == (0, "")
    assert files(night / "clips") == [
        "background/c.wav_00000.000-00006.000.wav",
        "background/c.wav_00006.000-00012.000.wav",
        # a dog, which is none of what was asked for
        "background/north/a.wav_00001.000-00001.500.wav",
        "background/north/a.wav_00002.000-00003.500.wav",
        "background/north/a.wav_00004.750-00006.000.wav",
        "background/south/b.wav_00000.250-00000.500.wav",
        "background/south/b.wav_00001.000-00005.000.wav",
        "background/south/b.wav_00005.500-00006.000.wav",
        "cat/north/a.wav_00004.000-00004.250.wav",
    ]
    # no margin around what is none of the classes
    lengths = [clip["stop"] - clip["start"] for clip in json.loads(out)["clips"]]
    assert sorted(lengths) == [0.25, 0.5, 0.5, 1.25, 1.5, 2.25, 4.0, 6.0, 6.0]
    code, out, _ = run_compact(*words, "--at-most", 2, "--overwrite")
    counts = Counter(clip["label"] for clip in json.loads(out)["clips"])
    assert counts == {"dog": 2, "cat": 1, "background": 2}


def test_the_rest_holds_nothing_of_the_classes(run_compact, night):
    (night / "labels.tsv").write_text(HEAD + "a.wav\t1.0\t2.0\tdog\na.wav\t0.5\t5.0\tcat\na.wav\t1.5\t2.4\tcow\n")
    words = ["cut", "labels.tsv", "in", "--output-dir", "clips", "--margin", 0, "--rest", "background"]
    assert run_compact(*words, "--classes", "dog")[0] == 0
    # half a second away from the dog; nothing is left of the cow
    assert files(night / "clips") == [
        "background/north/a.wav_00002.500-00005.000.wav",
        "dog/north/a.wav_00001.000-00002.000.wav",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--rest", ""], "--rest is '', expected the name of a class"),
        (["--rest", "a/b"], "--rest is 'a/b', expected the name of a class"),
        (["--rest", "owl", "--classes", "owl,cat"], "--rest owl is named by --classes or --exclude too"),
        (["--rest", "owl", "--exclude", "owl"], "--rest owl is named by --classes or --exclude too"),
    ],
)
def test_a_name_of_the_rest_that_cannot_be(words, expected, run_compact, night):
    code, out, err = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips", *words)
    assert (code, out) == (2, "")
    assert expected in err


def test_the_rest_of_a_recording_that_is_named_in_two_ways_is_that_of_all_its_events(run_compact, night):
    names = ["in/north/a.wav", "./in//north/a.wav", str(night / "in/north/a.wav")]
    times = [(0.5, 1.0), (2.0, 3.0), (5.0, 5.9)]
    records = [
        {"schema": 1, "path": name, "events": [{"onset": onset, "offset": offset, "label": "dog", "score": None}]}
        for name, (onset, offset) in zip(names, times, strict=True)
    ]
    (night / "events.jsonl").write_text("\n".join(map(json.dumps, records)))
    code, out, _ = run_compact("cut", "events.jsonl", "--output-dir", "clips", "--rest", "rest", "--margin", 0)
    report = json.loads(out)
    assert (code, {clip["recording"] for clip in report["clips"]}) == (0, {"in/north/a.wav"})
    assert [(clip["start"], clip["stop"]) for clip in report["clips"] if clip["label"] == "rest"] == [(3.5, 4.5)]
    assert [(clip["start"], clip["stop"]) for clip in report["clips"] if clip["label"] == "dog"] == times


def test_a_recording_without_events_that_cannot_be_read_is_told_where_its_rest_was_wanted(run_compact, night):
    (night / "in/bad.wav").write_text("no recording")
    (night / "labels.tsv").write_text(HEAD + "bad.wav\t\t\t\na.wav\t1.0\t2.0\tdog\n")
    assert run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")[0] == 0
    code, out, err = run_compact("cut", "labels.tsv", "in", "--output-dir", "rest", "--rest", "background")
    assert code == 1
    assert "in/bad.wav is not audio" in err
    assert json.loads(out)["failed"] == ["in/bad.wav"]
    assert len(files(night / "rest")) == 2


def test_a_damaged_recording_gives_what_comes_before(run_compact, night, write_recording, tone):
    path = write_recording("in/cut.flac", tone(30.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (night / "labels.tsv").write_text(HEAD + "cut.flac\t1.0\t2.0\tdog\ncut.flac\t2.0\t29.0\tcat\n")
    code, out, err = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")
    assert code == 0
    assert "in/cut.flac is damaged, what comes before is used: the decoder gave up" in err
    assert [clip["label"] for clip in json.loads(out)["clips"]] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["none.tsv", "--output-dir", "clips"],
            "none.tsv cannot be read (No such file or directory), expected a table",
        ),
        (
            ["in/north/a.wav", "--output-dir", "clips"],
            "in/north/a.wav is not text in UTF-8, expected a table of events",
        ),
        (["labels.tsv", "in/north", "--output-dir", "clips"], "labels.tsv names 'b.wav', found no such recording"),
        (["labels.tsv", "in", "--output-dir", "labels.tsv"], "--output-dir labels.tsv is not a folder"),
        (["labels.tsv", "in", "--output-dir", "clips", "--margin", 61], "61.0 is not in the range 0.0<=x<=60.0"),
        (["labels.tsv", "in", "--output-dir", "clips", "--margin", "nan"], "--margin is nan, expected 0 to 60 seconds"),
        (["labels.tsv", "in", "--output-dir", "-"], "--output-dir - would be standard output, expected a folder"),
        (
            ["labels.tsv", "in", "typo", "--output-dir", "clips"],
            "typo does not exist, expected a recording",
        ),
        (["labels.tsv", "in", "--output-dir", "clips", "--rest", "dog"], "--rest dog is a class in labels.tsv already"),
        (["labels.tsv", "in", "--output-dir", "clips", "--rest", ""], "--rest is '', expected the name of a class"),
        (["labels.tsv", "-", "--output-dir", "clips"], "- is standard input, expected recordings that have names"),
        (["labels.tsv", "in", "--output-dir", "clips", "--overwrite", "--skip-existing"], "contradict each other"),
        (["labels.tsv", "in", "--output-dir", "clips", "--at-most", 0], "0 is not in the range x>=1"),
        (
            ["labels.tsv", "in", "--output-dir", "clips", "--threshold", "x"],
            "--threshold is 'x', expected X or CLASS=X",
        ),
        (["slash.tsv", "in", "--output-dir", "clips"], "'../x' cannot be the name of a folder"),
        (["empty.tsv", "in", "--output-dir", "clips"], "empty.tsv names no recordings, expected the events of some"),
        (["labels.tsv", "--output-dir", "clips"], "labels.tsv names 'a.wav' and 1 more, found no such recording"),
        (["labels.tsv", "in"], "Missing option '--output-dir'"),
    ],
)
def test_requests_that_make_no_sense_do_nothing(words, expected, run_compact, night):
    (night / "slash.tsv").write_text(HEAD + "a.wav\t1.0\t2.0\t../x\n")
    (night / "empty.tsv").write_text(HEAD)
    before = files(night)
    code, out, err = run_compact("cut", *words)
    assert (code, out) == (2, "")
    assert expected in err
    assert files(night) == before


def test_a_class_that_no_folder_can_be_called_may_be_left_out(run_compact, night):
    (night / "labels.tsv").write_text(HEAD + "a.wav\t1.0\t2.0\t../x\na.wav\t2.0\t3.0\tdog\n")
    assert run_compact("cut", "labels.tsv", "in", "--output-dir", "clips", "--exclude", "../x")[0] == 0
    assert files(night / "clips") == ["dog/north/a.wav_00002.000-00003.000.wav"]


def test_a_choice_of_events_changes_no_recording(run_compact, night):
    (night / "in/a.wav").mkdir()
    (night / "in/north/a.wav").rename(night / "in/a.wav/a.wav")
    (night / "labels.tsv").write_text(HEAD + "a.wav\t1\t2\tdog\na.wav/a.wav\t3\t4\tcat\n")
    for words in ([], ["--classes", "dog"]):
        code, _, err = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips", *words)
        assert code == 2
        assert "labels.tsv names 'a.wav'" in err


def test_a_class_whose_name_is_too_long_costs_its_recording_alone(run_compact, night):
    (night / "labels.tsv").write_text(HEAD + f"a.wav\t1\t2\t{'x' * 300}\nb.wav\t3\t4\tcat\n")
    code, _, err = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")
    assert code == 1
    assert "a clip of in/north/a.wav would have a name of 300 bytes, expected at most 255" in err
    assert files(night / "clips") == ["cat/south/b.wav_00003.000-00004.000.wav"]


def test_the_csv_of_clips_holds_any_name(run_compact, night, write_recording, tone):
    name = 'a "b",\r\nc.wav'
    write_recording(f"in/{name}", tone(3.0))
    record = {"schema": 1, "path": f"in/{name}", "events": [{"onset": 1, "offset": 2, "label": "dog", "score": None}]}
    (night / "events.jsonl").write_text(json.dumps(record))
    code, out, _ = run_compact("cut", "events.jsonl", "--output-dir", "clips", "--format", "csv")
    [row] = csv.DictReader(io.StringIO(out, newline=""))
    assert (code, row["recording"], row["score"]) == (0, f"in/{name}", "")


def test_a_name_longer_than_any_file_has_does_not_stop_the_others(run_compact, night):
    records = [
        {"schema": 1, "path": path, "events": [{"onset": 1, "offset": 2, "label": "dog", "score": 0.75}]}
        for path in ("x" * 300, "in/north/a.wav")
    ]
    (night / "events.jsonl").write_text("\n".join(map(json.dumps, records)))
    code, _, err = run_compact("cut", "events.jsonl", "--output-dir", "clips")
    assert code == 1
    assert "would have a name of" in err
    assert len(files(night / "clips")) == 1


def test_names_that_are_not_utf8_keep_their_bytes(run_compact, night, write_recording, tone):
    write_recording("in/x.wav", tone(3.0)).rename(os.fsdecode(os.fsencode(night) + b"/in/caf\xe9.wav"))
    (night / "labels.tsv").write_bytes(HEAD.encode() + b"caf\xe9.wav\t1.0\t2.0\tdog\n")
    code, out, _ = run_compact("cut", "labels.tsv", "in", "--output-dir", "clips")
    assert (code, json.loads(out)["clips"][0]["recording"]) == (0, "in/caf\udce9.wav")
    assert files(night / "clips") == ["dog/caf\udce9.wav_00001.000-00002.000.wav"]


def test_the_shell_offers_what_the_choice_takes():
    assert [str(pick) for pick in ClipPick] == [str(pick) for pick in Pick]
    assert cut.__defaults__ is not None
    assert ClipChoice().pick == Pick.BEST


def test_labels_become_a_model(night, run_compact, monkeypatch):
    """The clips are what ``compact learn`` takes: a folder for each class."""
    from compactcli.cli.learn import _find_classes

    run_compact("cut", "labels.tsv", "in", "--output-dir", "sounds", "--margin", 0)
    found, n_outside = _find_classes(night / "sounds", output=night / "model")
    assert {label: len(items) for label, items in found.items()} == {"cat": 1, "dog": 3}
    assert n_outside == 0
