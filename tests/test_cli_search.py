"""``compact search`` in vectors of the fake engine, whose embedding says how loud a sound is."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_engine import fake_embedder

RATE = 16000
SAMPLES = Path(__file__).parents[1] / "sample_audio"


@pytest.fixture
def search(run_compact, monkeypatch):
    def load(model=None, *, device="auto"):
        loaded.append(model)
        return fake_embedder()

    loaded = []
    monkeypatch.setattr("compactcli.inference.load_embedder", load)
    monkeypatch.setattr("compactcli.cli.searching.list_models", lambda: [Path("models/fake")])

    def run(*words):
        return run_compact("search", *words)

    run.loaded = loaded
    return run


@pytest.fixture
def night(search, run_compact, write_recording, tone, tmp_path, monkeypatch):
    """Six seconds that are loud in the fourth and fifth, four that are faint, and vectors of each second of both."""
    silence = np.zeros(3 * RATE, np.float32)
    write_recording("rec/a.wav", np.concatenate([silence, tone(2.0), silence[:RATE]]))
    write_recording("rec/b.wav", tone(4.0, level=0.1))
    write_recording("loud.wav", tone(1.0))
    write_recording("hum.wav", tone(1.0, level=0.1))
    monkeypatch.chdir(tmp_path)
    assert run_compact("embed", "rec", "--every", 1, "--output", "v.csv", "--quiet")[0] == 0
    search.loaded.clear()
    return tmp_path


def rows_of(out):
    return list(csv.DictReader(io.StringIO(out)))


def test_the_most_similar_come_first(search, night):
    # the cosine of all the others is below 0
    code, out, err = search("v.csv", "loud.wav", "--top-k", 3)
    assert (code, err) == (0, "")
    rows = rows_of(out)
    assert [(row["path"], row["onset"], row["offset"], row["score"]) for row in rows] == [
        ("rec/a.wav", "3.0", "4.0", "1.0"),
        ("rec/a.wav", "4.0", "5.0", "1.0"),
    ]
    assert {row["label"] for row in rows} == {"loud"}
    # the model is the one that made the vectors
    assert search.loaded == ["fake"]


def test_several_examples_and_a_folder_of_them(search, night):
    code, out, _ = search("v.csv", "loud.wav", "hum.wav", "--threshold", 0.9, "--per-recording", 1)
    assert code == 0
    assert [(row["path"], row["label"]) for row in rows_of(out)] == [("rec/a.wav", "loud"), ("rec/b.wav", "hum")]
    code, out, _ = search("v.csv", "rec", "--label", "mine", "--format", "csv")
    assert {row["label"] for row in rows_of(out)} == {"mine"}


def test_examples_of_one_name_are_searched_for_together(search, night, monkeypatch):
    # as in compact learn, the folder is the class
    _, out, _ = search("v.csv", "rec", "--top-k", 1)
    assert rows_of(out)[0]["label"] == "rec"
    monkeypatch.chdir(night / "rec")
    for folder in (".", "../rec", night / "rec"):
        assert rows_of(search("../v.csv", folder, "--top-k", 1)[1])[0]["label"] == "rec"
    monkeypatch.chdir(night)
    # halfway between (1, -1, 1) and (-1, 1, 1) is (0, 0, 1), 55 degrees away from both
    _, out, _ = search("v.csv", "loud.wav", "hum.wav", "--label", "sound")
    assert [(row["label"], row["score"]) for row in rows_of(out)] == [("sound", "0.5774")] * 6


def test_a_part_of_an_example(search, night):
    code, out, _ = search("v.csv", "rec/a.wav", "--start", 3, "--stop", 5, "--threshold", 0.99)
    assert code == 0
    assert [(row["path"], row["onset"]) for row in rows_of(out)] == [("rec/a.wav", "3.0"), ("rec/a.wav", "4.0")]


def test_what_was_found_is_cut(search, night, run_compact, give_stdin):
    _, out, _ = search("v.csv", "loud.wav", "--threshold", 0.99)
    give_stdin(out.encode())
    assert run_compact("cut", "-", "--output-dir", "clips", "--margin", 0)[0] == 0
    assert sorted(path.name for path in (night / "clips/loud").iterdir()) == [
        "a.wav_00003.000-00004.000_1.00.wav",
        "a.wav_00004.000-00005.000_1.00.wav",
    ]


def test_a_report_as_json_and_as_a_table(search, night):
    code, out, _ = search("v.csv", "hum.wav", "--top-k", 1, "--format", "json")
    assert (code, json.loads(out)) == (
        0,
        {
            "model": "fake",
            "model_version": "1",
            "vectors": 10,
            "without_vectors": 0,
            "examples": [{"path": "hum.wav", "label": "hum"}],
            "hits": [
                {
                    "path": "rec/b.wav",
                    "onset": 0.0,
                    "offset": 1.0,
                    "label": "hum",
                    "score": 1.0,
                }
            ],
            "failed": [],
        },
    )
    code, out, _ = search("v.csv", "hum.wav", "--top-k", 1, "--format", "table")
    assert [line.split() for line in out.splitlines()] == [
        ["score", "recording", "onset", "(s)", "offset", "(s)"],
        ["1.00", "rec/b.wav", "0.00", "1.00"],
    ]
    _, out, _ = search("v.csv", "hum.wav", "loud.wav", "--top-k", 1, "--format", "table")
    assert [line.rstrip().rpartition("  ")[2] for line in out.splitlines()] == ["most like", "loud"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_a_folder_of_tables_and_failures_in_them(form, search, run_compact, night):
    (night / "rec/notes.txt").write_text("no recording")
    assert run_compact("embed", "rec", "--every", 1, "--output-dir", "v", "--format", form, "--quiet")[0] == 1
    code, out, err = search("v", "hum.wav", "--threshold", 0.99, "--format", "json")
    report = json.loads(out)
    # a table of one recording alone is not made for one that failed
    n_failed = 0 if form == "csv" else 1
    assert (code, report["vectors"], report["without_vectors"], len(report["hits"])) == (0, 10, n_failed, 4)
    assert err == ("warning: v: recordings without vectors: 1\n" if n_failed else "")
    assert search("v", "hum.wav", "--quiet")[2] == ""


def test_tables_of_two_formats_count_once_and_no_other_files(search, run_compact, night):
    words = ("--format", "csv", "--format", "jsonl", "--quiet")
    assert run_compact("embed", "rec", "--every", 1, "--output-dir", "v", *words)[0] == 0
    (night / "v/a.wav.csv").unlink()
    (night / "v/b.wav.csv").rename(night / "v/b.wav.CSV")
    (night / "v/.cache").mkdir()
    for name in ("v/.x.csv", "v/.cache/x.csv", "v/notes.txt"):
        (night / name).write_text("no vectors")
    os.mkfifo(night / "v/pipe.csv")
    report = json.loads(search("v", "hum.wav", "--format", "json")[1])
    assert (report["vectors"], len(report["hits"])) == (10, 4)


def test_the_file_that_results_go_to_is_no_table(night):
    (night / "tables").mkdir()
    (night / "v.csv").rename(night / "tables/v.csv")
    (night / "tables/v.csv").write_text((night / "tables/v.csv").read_text().replace(",fake,1,", ",compactnet,1,"))
    with (night / "tables/found.csv").open("wb") as file:
        words = ["-m", "compactcli", "search", "tables", "loud.wav"]
        done = subprocess.run([sys.executable, *words], stdout=file, stderr=subprocess.PIPE, check=False, text=True)
    # the empty file that the shell has made is not what is refused
    assert "tables has vectors of model 'compactnet', version 1, found model 'compactnet'" in done.stderr


def test_vectors_on_standard_input(search, night, give_stdin):
    give_stdin((night / "v.csv").read_bytes())
    assert len(rows_of(search("-", "loud.wav", "--threshold", 0.99)[1])) == 2
    assert sys.stdin.buffer.read() == b""
    give_stdin(b"")
    code, out, err = search("-", "loud.wav")
    assert (code, out) == (2, "")
    assert "standard input begins with [], expected a table of vectors" in err


def test_standard_input_that_is_closed(search, night, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = search("-", "loud.wav")
    assert code == 2
    assert "standard input cannot be read" in err


def test_names_that_are_not_utf8(search, night):
    (night / "v.csv").write_bytes((night / "v.csv").read_bytes().replace(b"rec/b", b"rec/\xe9"))
    _, out, _ = search("v.csv", "hum.wav", "--top-k", 1, "--format", "json")
    assert json.loads(out)["hits"][0]["path"] == "rec/\udce9.wav"


def test_an_example_whose_name_is_not_utf8(search, night):
    (night / "loud.wav").rename(os.fsdecode(bytes(night) + b"/lo\xe9.wav"))
    _, out, _ = search("v.csv", os.fsdecode(b"lo\xe9.wav"), "--top-k", 1, "--format", "json")
    report = json.loads(out)
    assert report["examples"] == [{"path": "lo\udce9.wav", "label": "lo\udce9"}]
    assert [hit["label"] for hit in report["hits"]] == ["lo\udce9"]


def test_a_folder_called_like_standard_input(search, night, run_compact, give_stdin):
    _, out, _ = search("v.csv", "loud.wav", "--threshold", 0.99)
    (night / "-").mkdir()
    give_stdin(out.encode())
    assert run_compact("cut", "-", "--output-dir", "clips")[0] == 0


def test_nothing_that_similar(search, night):
    code, out, err = search("v.csv", "loud.wav", "hum.wav", "--threshold", 1)
    assert (code, len(rows_of(out))) == (0, 6)
    (night / "one.csv").write_text("".join((night / "v.csv").read_text().splitlines(keepends=True)[:2]))
    code, out, err = search("one.csv", "loud.wav")
    assert (code, rows_of(out)) == (0, [])
    assert err == "warning: one.csv: nothing is as similar as 0, of 1 vectors\n"
    assert search("one.csv", "loud.wav", "--quiet")[2] == ""


def test_progress_is_told_of_now_and_then(night, monkeypatch):
    from compactcli.cli import searching

    monkeypatch.setattr(searching, "SHOWN_EVERY", 4)
    shown = []
    table = searching.VectorTable(night / "v.csv")
    assert len(list(table.records(show=shown.append))) == 10
    assert (shown, table.n_vectors) == ([4, 8], 10)


def test_an_example_that_cannot_be_heard_does_not_stop_the_others(search, night):
    code, out, err = search("v.csv", "gone.wav", "hum.wav", "--format", "json")
    report = json.loads(out)
    assert (code, report["failed"], report["hits"][0]["label"]) == (1, ["gone.wav"], "hum")
    assert "gone.wav does not exist" in err
    code, out, err = search("v.csv", "gone.wav", "none.wav")
    assert (code, out) == (2, "")
    assert "gone.wav does not exist" in err
    assert "none.wav does not exist" in err


def test_a_damaged_example_is_heard_as_far_as_it_goes(search, night, write_recording, tone):
    path = write_recording("cut.flac", tone(10.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, out, err = search("v.csv", path, "--top-k", 1)
    assert (code, rows_of(out)[0]["path"]) == (0, "rec/a.wav")
    assert "cut.flac is damaged, what comes before is used" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["v.csv", "loud.wav", "--top-k", 0], "0 is not in the range x>=1"),
        (["v.csv", "loud.wav", "--threshold", 2], "2.0 is not in the range 0.0<=x<=1.0"),
        (["v.csv", "loud.wav", "--threshold", "nan"], "threshold is nan, expected 0 to 1"),
        (["v.csv", "loud.wav", "--start", 2, "--stop", 1], "the part goes from 2 to 1 s, expected it to stop after it"),
        (["v.csv", "loud.wav", "--start", "nan"], "the part goes from nan to 1e+09 s"),
        (["v.csv", "loud.wav", "--stop", "inf"], "the part goes from 0 to inf s"),
        (["v.csv", "loud.wav", "--stop", 1e-5], "the part from 0.0 to 1e-05 s has no sample at 16000 Hz"),
        (["v.csv", "loud.wav", "--label", ""], "--label is '', expected the name of a class"),
        (["v.csv", "loud.wav", "--label", "a/b"], "--label is 'a/b', expected the name of a class"),
        (["v.csv", ".loud.wav"], ".loud.wav is called '.loud', expected the name of a class"),
        (["v.csv", "loud.wav", "--start", 1], "loud.wav ends at 1.00 s, expected more after 1 s"),
        (["v.csv", "loud.wav", "hum.wav", "--stop", 1], "--start and --stop with 2 examples, expected one"),
        (["v.csv", "-"], "- is standard input, expected recordings that have names"),
        (["v.csv"], "Missing argument 'EXAMPLES...'"),
        (["gone.csv", "loud.wav"], "gone.csv cannot be read (No such file or directory), expected a table of vectors"),
        (["rec", "loud.wav"], "rec holds no files that end in .csv, .jsonl, .json, expected tables of vectors"),
        (["loud.wav", "v.csv"], "loud.wav begins with "),
        (["failed.csv", "loud.wav"], "failed.csv holds no vectors, expected those of a recording at least"),
        (
            ["other.csv", "loud.wav"],
            "other.csv has vectors of model 'other', expected one that is installed (fake)",
        ),
        (
            ["other.csv", "loud.wav", "--model", "mine"],
            "other.csv has vectors of model 'other', version 1, found model 'fake', version 1, expected the same one",
        ),
        (["cut.csv", "loud.wav"], "cut.csv line 11 has "),
        (["older.csv", "loud.wav"], "older.csv has vectors of model 'fake', version 0, found model 'fake', version 1"),
        (
            ["mixed.csv", "loud.wav"],
            "mixed.csv has vectors of model 'fake', version 1, and of rec/a.wav those of model 'other', version 1",
        ),
        (["short.csv", "loud.wav"], "a.wav has a vector of 1 values, expected 3 as of the examples"),
    ],
)
def test_requests_that_make_no_sense(words, expected, search, night):
    table = (night / "v.csv").read_text()
    head, *rows = table.splitlines(keepends=True)
    (night / "failed.csv").write_text(head + "x.wav,error,,,,fake,1,gone: it is not there,,,\n")
    (night / "other.csv").write_text(table.replace(",fake,1,", ",other,1,"))
    (night / "cut.csv").write_text(table[:-12])
    (night / "older.csv").write_text(table.replace(",fake,1,", ",fake,0,"))
    (night / "mixed.csv").write_text(table + rows[0].replace(",fake,1,", ",other,1,"))
    (night / "short.csv").write_text("path,status,start,stop,model,model_version,error,v1\na.wav,ok,0,1,fake,1,,1\n")
    code, out, err = search(*words)
    assert (code, out) == (2, "")
    assert expected in " ".join(err.split())


def test_another_model_is_asked_for(search, night):
    assert search("v.csv", "loud.wav", "--model", "mine")[0] == 0
    search("v.csv", "loud.wav", "--model", "")
    assert search.loaded == ["mine", ""]


def test_the_real_network_finds_the_stream(run_compact, tmp_path, monkeypatch):
    monkeypatch.chdir(SAMPLES.parent)
    run_compact("embed", "sample_audio", "--every", 2, "--output", tmp_path / "v.csv", "--quiet")
    words = ("--start", 0.5, "--stop", 2.5, "--top-k", 5)
    code, out, _ = run_compact("search", tmp_path / "v.csv", "sample_audio/stream.wav", *words)
    assert (code, [row["path"] for row in rows_of(out)]) == (0, ["sample_audio/stream.wav"] * 5)
