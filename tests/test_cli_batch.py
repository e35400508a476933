import json
import os
import re

import numpy as np
import pytest

from compactcli.cli.summary import Summary
from compactcli.errors import ConfigError
from compactcli.records import Record

RATE = 16000


def names(out):
    return [json.loads(line)["path"].rpartition("/")[2] for line in out.splitlines()]


@pytest.fixture
def folder(tmp_path, write_recording, write_tone, tone):
    """A good recording first and last, and everything that can be wrong between."""
    write_tone("in/a.wav")
    (tmp_path / "in/b-empty.wav").touch()
    (tmp_path / "in/c-notes.txt").write_text("notes of the day\n" * 50)
    cut = write_recording("in/d-cut.flac", tone(10.0))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    write_recording("in/e-nan.wav", np.full(RATE, np.nan, np.float32), subtype="FLOAT")
    write_recording("in/f-no-samples.wav", np.zeros(0, np.float32))
    write_tone("in/inner/g.ogg")
    write_tone("in/z.mp3")
    write_tone("in/.hidden.wav")
    return tmp_path / "in"


def test_one_bad_recording_stops_no_other(run_compact, folder, tmp_path):
    code, out, err = run_compact("classify", tmp_path / "nowhere.wav", folder)
    records = [json.loads(line) for line in out.splitlines()]

    assert code == 1
    assert [(record["path"].rpartition("/")[2], record["status"]) for record in records] == [
        ("nowhere.wav", "error"),
        ("a.wav", "ok"),
        ("b-empty.wav", "error"),
        ("c-notes.txt", "error"),
        ("d-cut.flac", "partial"),
        ("e-nan.wav", "error"),
        ("f-no-samples.wav", "error"),
        ("g.ogg", "ok"),
        ("z.mp3", "ok"),
    ]
    codes = [record["error"] and record["error"]["code"] for record in records]
    assert codes == [
        "missing",
        None,
        "empty-file",
        "not-audio",
        "damaged",
        "not-finite",
        "no-samples",
        None,
        None,
    ]
    assert all(record["error"]["message"] for record in records if record["error"])
    assert len(re.findall("^error: ", err, re.MULTILINE)) == 5
    assert len(re.findall("^warning: .*d-cut.flac is damaged .*: the decoder gave up", err, re.MULTILINE)) == 1
    assert "hint:" not in err
    assert re.search(
        r"^9 files: 3 ok, 1 partial, 5 failed, 0 skipped; 0\.00 hours of audio in .* x real time\)$", err, re.MULTILINE
    )


def test_quiet_says_nothing_about_many(run_compact, folder):
    code, _, err = run_compact("classify", "--quiet", folder)
    assert (code, err) == (1, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "tsv"], 4),
        (["--format", "csv"], 0),
        (["--format", "tsv", "--format", "jsonl", "--output-dir", "out"], 0),
        (["--format", "raven", "--output-dir", "out"], 4),
        (["--format", "tsv", "--failures", "failed.txt"], 0),
    ],
)
def test_quiet_leaves_no_failure_untold(run_compact, folder, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_compact("detect", "--quiet", folder, *words)
    assert code == 1
    assert len(re.findall("^error: ", err, re.MULTILINE)) == len(err.splitlines()) == said


def test_the_only_recording_has_its_hint_and_no_summary(run_compact, tmp_path):
    code, out, err = run_compact("classify", tmp_path / "nowhere.wav")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "missing"
    assert err == f"error: {tmp_path}/nowhere.wav does not exist, expected a recording\nhint: check the path\n"
    assert run_compact("classify", "--quiet", tmp_path / "nowhere.wav")[2] == err


def test_partial_results_are_no_failure(run_compact, folder):
    code, out, _ = run_compact("classify", folder / "d-cut.flac")
    assert code == 0
    assert json.loads(out)["status"] == "partial"


def test_folder_without_files_is_an_error(run_compact, tmp_path, write_tone):
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "empty" / ".hidden.wav").touch()
    code, out, err = run_compact("classify", tmp_path / "empty", write_tone())
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [record["status"] for record in records] == ["error", "ok"]
    assert records[0]["error"]["code"] == "no-audio"
    assert "empty is a folder without recordings, expected at least one file in it" in err


def test_output_appears_whole(run_compact, folder, tmp_path):
    code, out, _ = run_compact("classify", folder, "--output", tmp_path / "out.jsonl")
    assert (code, out) == (1, "")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 8
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_document_of_one_recording_goes_when_that_fails(run_compact, tmp_path, write_tone):
    path, output = write_tone(), tmp_path / "labels.txt"
    words = ["detect", path, "--format", "audacity", "--output", output, "--overwrite", "--quiet"]
    assert run_compact(*words)[0] == 0
    assert output.exists()
    path.write_bytes(b"")
    assert run_compact(*words)[0] == 1
    # it would look like the labels of what is there now
    assert not output.exists()


def test_a_dash_is_standard_output(run_compact, write_tone, tmp_path, monkeypatch):
    path = write_tone()
    monkeypatch.chdir(tmp_path)
    assert run_compact("classify", path, "--output", "-") == run_compact("classify", path)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    code, _, err = run_compact("classify", path, "--output", "-", "--resume")
    assert code == 2
    assert "--resume was given without --output or --output-dir" in err


def test_output_inside_the_folder_is_no_input(run_compact, folder):
    words = ["classify", folder, "--output", folder / "results.jsonl", "--overwrite"]
    run_compact(*words)
    run_compact(*words)
    assert "results.jsonl" not in names((folder / "results.jsonl").read_text())


def test_interrupted_run_leaves_no_half_output(run_compact, folder, tmp_path, stop_at):
    stop_at("z.mp3")
    code, out, err = run_compact("classify", folder, "--output", tmp_path / "out.jsonl")
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert "interrupted after 7 of 8 recordings; --resume goes on with them" in err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [".out.jsonl.compact-journal"]
    code, out, err = run_compact("classify", folder)
    assert code == 130
    assert names(out)[-1] == "g.ogg"
    assert "interrupted after 7 of 8 recordings\n" in err


def test_what_is_lost_when_a_run_without_a_journal_is_interrupted_is_said(run_compact, folder, tmp_path, monkeypatch):
    from fake_engine import fake_embedder

    from compactcli import inference

    real = inference.embed_recording

    def embed(path, *arguments, **options):
        if path.name == "z.mp3":
            raise KeyboardInterrupt
        return real(path, *arguments, **options)

    monkeypatch.setattr("compactcli.inference.load_embedder", lambda model=None, *, device="auto": fake_embedder())
    monkeypatch.setattr("compactcli.inference.embed_recording", embed)
    code, _, err = run_compact("embed", folder, "--output", tmp_path / "v.csv")
    assert code == 130
    assert "after 7 of 8 recordings; nothing is written, with --output-dir each would have been" in err
    assert not (tmp_path / "v.csv").exists()


def test_interrupted_run_without_a_journal_says_how_it_goes_on(run_compact, folder, tmp_path, stop_at):
    stop_at("z.mp3")
    words = ["detect", folder, "--output-dir", tmp_path / "scores", "--format", "scores-tsv"]
    code, _, err = run_compact(*words)
    assert code == 130
    assert "interrupted after 3 of 8 recordings; --skip-existing leaves those out" in err
    # results that --overwrite would have replaced would be left out too
    code, _, err = run_compact(*words, "--overwrite")
    assert (code, err.count("interrupted after")) == (130, 0)
    code, _, err = run_compact("detect", folder / "z.mp3", *words[2:])
    assert (code, err.count("interrupted after")) == (130, 0)


def test_a_bug_ends_the_run_with_its_own_code(run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise TypeError("no\nsuch [thing]")

    monkeypatch.setattr("compactcli.inference.classify_recording", fail)
    code, out, err = run_compact("classify", write_tone())
    assert (code, out) == (70, "")
    assert re.fullmatch(
        r"error: this is a bug in compact: TypeError: no such \[thing\] \(test_cli_batch\.py:\d+\)\n"
        "hint: report it with the command and what compact --version prints\n",
        err,
    )
    code, _, err = run_compact("classify", "--verbose", write_tone())
    assert code == 70
    assert "Traceback (most recent call last)" in err


def test_errors_that_are_not_about_a_recording_end_the_run(run_compact, write_tone, monkeypatch):
    def fail(*_arguments, **_options):
        raise ConfigError("the option is wrong", hint="change it")

    monkeypatch.setattr("compactcli.inference.classify_recording", fail)
    code, out, err = run_compact("classify", write_tone())
    assert (code, out, err) == (2, "", "error: the option is wrong\nhint: change it\n")


def test_progress_is_for_terminals_only(run_compact, folder, on_terminal, tmp_path):
    words = ["classify", folder, "--output", tmp_path / "out.jsonl", "--overwrite"]
    assert "of 8 files" not in run_compact(*words)[2]
    on_terminal()
    assert re.search(r"\d of 8 files .* h of audio .* x real time .* left", run_compact(*words)[2])
    assert "of 8 files" not in run_compact(*words, "--quiet")[2]
    # lines of results on the same terminal would be torn by it
    assert "of 8 files" not in run_compact("classify", folder, "--format", "jsonl")[2]


def test_ill_encoded_names_come_back(run_compact, write_tone, tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        write_tone().rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    code, out, _ = run_compact("classify", tmp_path / name)
    assert code == 0
    assert json.loads(out)["path"] == str(tmp_path / name)
    code, out, _ = run_compact("classify", "--format", "table", tmp_path / name)
    assert code == 0
    assert "caf\\udce9.wav" in out


def test_summary_counts():
    summary = Summary()
    for record in (
        Record(path="a", duration=3600.0),
        Record(path="b", status="partial", error_code="damaged", error_message="cut", duration=1800.0),
        Record(path="c", status="error", error_code="missing", error_message="gone"),
        Record(path="d", duration=1800.0),
    ):
        assert summary.exit_code == 0
        summary = summary.add(record)
        if record.status == "error":
            break
    assert summary.exit_code == 1
    assert (summary.n_files, summary.n_ok, summary.n_partial, summary.n_failed) == (3, 1, 1, 1)
    assert summary.audio_s == 5400.0
    timed = Summary(n_ok=2, audio_s=7200.0, wall_s=72.0)
    assert (
        timed.text == "2 files: 2 ok, 0 partial, 0 failed, 0 skipped; 2.00 hours of audio in 72.0 s (100 x real time)"
    )
