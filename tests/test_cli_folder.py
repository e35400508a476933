import csv
import json
import os
import re

import pytest

from compactcli.cli.folder import ResultFolder, without_results
from compactcli.cli.inputs import Input, collect_inputs
from compactcli.errors import AudioError


def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def tree(tmp_path, write_tone, monkeypatch):
    """in/{a.wav,a.flac,bad.wav,sub/{a.wav}} and b.wav; the tests stand above it."""
    for name in ("in/a.wav", "in/a.flac", "in/sub/a.wav", "b.wav"):
        write_tone(name)
    (tmp_path / "in/bad.wav").write_text("no audio")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_file_for_each_recording_and_format(run_compact, tree):
    words = ["--format", "json", "--format", "csv", "--format", "json"]
    code, out, _ = run_compact("detect", "in", "b.wav", "--output-dir", "new/out", *words)
    assert (code, out) == (1, "")
    assert listed(tree / "new/out") == [
        "a.flac.csv",
        "a.flac.json",
        "a.wav.csv",
        "a.wav.json",
        "b.wav.csv",
        "b.wav.json",
        "bad.wav.json",
        "sub/a.wav.csv",
        "sub/a.wav.json",
    ]
    [record] = json.loads((tree / "new/out/sub/a.wav.json").read_text())
    assert (record["path"], record["status"]) == ("in/sub/a.wav", "ok")
    [record] = json.loads((tree / "new/out/bad.wav.json").read_text())
    assert record["error"]["code"] == "not-audio"
    with (tree / "new/out/a.wav.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {"in/a.wav"}


def test_the_default_format_is_for_programs(run_compact, tree, on_terminal):
    on_terminal()
    assert run_compact("classify", "b.wav", "--output-dir", "out")[:2] == (0, "")
    assert listed(tree / "out") == ["b.wav.jsonl"]


@pytest.mark.parametrize("name", ["audacity", "vtt", "srt", "raven", "rttm", "tsv"])
def test_a_recording_that_failed_never_looks_silent(name, run_compact, tree):
    code, _, _ = run_compact("detect", "in/bad.wav", "b.wav", "--output-dir", "out", "--format", name)
    assert code == 1
    assert len(listed(tree / "out")) == 1
    assert listed(tree / "out")[0].startswith("b.wav.")


def test_a_failure_takes_away_the_result_of_an_earlier_run(run_compact, tree):
    words = ["detect", "b.wav", "--output-dir", "out", "--format", "csv"]
    assert run_compact(*words)[0] == 0
    (tree / "b.wav").write_text("damaged since")
    assert run_compact(*words, "--overwrite")[0] == 1
    assert listed(tree / "out") == []


def test_single_documents_of_a_failure_are_not_written(run_compact, tree):
    assert run_compact("detect", "in/bad.wav", "--output", "out.vtt", "--format", "vtt")[0] == 1
    assert not (tree / "out.vtt").exists()
    code, out, _ = run_compact("detect", "in/bad.wav", "--format", "audacity")
    assert (code, out) == (1, "")


def test_formats_for_one_recording_are_refused_for_more(run_compact, tree):
    code, out, err = run_compact("detect", "in", "--format", "srt")
    assert (code, out) == (2, "")
    assert "--format srt got 4 recordings, expected one" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in", "in/sub"], None),
        (["in/a.wav", "in/sub/a.wav"], "in/a.wav and in/sub/a.wav would both be written to out/a.wav.jsonl"),
        (["in", "in2"], "in/a.wav and in2/a.wav would both be written to out/a.wav.jsonl"),
        (
            ["x", "--format", "csv", "--format", "tsv", "--format", "scores-tsv"],
            "--format tsv and scores-tsv would both be written to out/x.tsv, expected two files",
        ),
        (["x", "in3", "in3/y"], "out/x.jsonl would be the result of x and a folder for others"),
    ],
)
def test_results_never_meet(words, message, run_compact, tree, write_tone):
    write_tone("in2/a.wav")
    write_tone("in3/x.jsonl/a.wav")
    write_tone("x.wav").rename(tree / "x")
    code, _, err = run_compact("detect", *words, "--output-dir", "out")
    if message is None:
        assert code == 1
        return
    assert code == 2
    assert message in err
    assert not (tree / "out").exists()


def test_tables_that_are_nobodys_results_stay_inputs(tree):
    for name in ("a.wav.tsv", "sub/a.wav.selections.txt", "a.tsv", "b.csv"):
        (tree / "in" / name).write_text("table")
    inputs = collect_inputs([tree / "in"], recursive=True)
    left = [str(item.path.relative_to(tree / "in")) for item in without_results(inputs, tree / "in")]
    assert left == ["a.flac", "a.tsv", "a.wav", "b.csv", "bad.wav", "sub/a.wav"]
    assert without_results(inputs, tree / "out") == inputs


def test_what_is_there_is_refused_before_the_work(run_compact, tree):
    words = ["classify", "in", "--output-dir", "out"]
    run_compact("classify", "in/sub", "--output-dir", "out/sub")
    before = (tree / "out/sub/a.wav.jsonl").stat().st_mtime_ns
    code, _, err = run_compact(*words)
    assert code == 2
    assert "out/sub/a.wav.jsonl is there already, expected a new name" in err
    assert listed(tree / "out") == ["sub/a.wav.jsonl"]
    assert run_compact(*words, "--overwrite")[0] == 1
    assert (tree / "out/sub/a.wav.jsonl").stat().st_mtime_ns != before


def test_what_is_there_is_skipped(run_compact, tree):
    words = ["classify", "in", "--output-dir", "out", "--format", "json", "--format", "csv", "--skip-existing"]
    assert "4 files: 3 ok, 0 partial, 1 failed, 0 skipped" in run_compact(*words)[2]
    (tree / "out/sub/a.wav.csv").unlink()
    stamps = {name: (tree / "out" / name).stat().st_mtime_ns for name in listed(tree / "out")}
    code, _, err = run_compact(*words)
    # what failed is tried again: its file tells of a failure, and exit code 0 would hide it
    assert code == 1
    assert "4 files: 1 ok, 0 partial, 1 failed, 2 skipped" in err
    changed = {name for name, stamp in stamps.items() if (tree / "out" / name).stat().st_mtime_ns != stamp}
    assert changed == {"bad.wav.json"}
    assert (tree / "out/sub/a.wav.csv").exists()
    (tree / "in/bad.wav").unlink()
    code, _, err = run_compact(*words)
    assert code == 0
    assert "3 files: 0 ok, 0 partial, 0 failed, 3 skipped" in err


def test_only_names_that_are_asked_for(run_compact, tree):
    (tree / "in/notes.txt").write_text("no audio")
    words = ["classify", "in", "--output-dir", "out", "--include", "a.*", "--include", "*.flac"]
    code, _, err = run_compact(*words)
    assert (code, err) == (0, "3 files: 3 ok, 0 partial, 0 failed, 0 skipped; " + err.partition("skipped; ")[2])
    assert listed(tree / "out") == ["a.flac.jsonl", "a.wav.jsonl", "sub/a.wav.jsonl"]


def test_what_another_model_found_is_kept_with_a_word(run_compact, tree):
    words = ["classify", "in", "--output-dir", "out", "--format", "json", "--skip-existing", "--include", "a.*"]
    run_compact(*words)
    assert "are of another model" not in run_compact(*words)[2]
    for name, old, new in (("a.wav", '"fake"', '"mine"'), ("a.flac", '"model_version": "1"', '"model_version": "0"')):
        path = tree / f"out/{name}.json"
        path.write_text(path.read_text().replace(old, new))
    code, _, err = run_compact(*words)
    assert (code, "3 skipped" in err) == (0, True)
    assert "kept, but are of another model or release than fake 1: 2; --overwrite makes them again" in err
    assert run_compact(*words, "--quiet")[2] == ""
    # records beside what is asked for tell as well, also where something is missing
    code, _, err = run_compact(*words, "--format", "csv")
    assert "kept, but are of another model or release than fake 1: 2" in err
    code, _, err = run_compact(*words[:4], "--format", "csv", *words[6:])
    assert "kept, but are of another model or release than fake 1: 2" in err


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_damaged_results_are_made_again(name, run_compact, tree):
    words = ["classify", "b.wav", "in/a.wav", "in/a.flac", "--output-dir", "out", "--format", name, "--skip-existing"]
    run_compact(*words)
    whole = {path: (tree / "out" / path).read_bytes() for path in listed(tree / "out")}
    cut = tree / f"out/b.wav.{name}"
    for n_bytes in (0, 1, len(whole[cut.name]) // 2, len(whole[cut.name]) - 3):
        cut.write_bytes(whole[cut.name][:n_bytes])
        code, out, err = run_compact(*words)
        assert (code, out) == (0, "")
        assert err.startswith(f"warning: out/b.wav.{name} is damaged; its recording is analysed again\n")
        assert "3 files: 1 ok, 0 partial, 0 failed, 2 skipped" in err
        assert {path: (tree / "out" / path).read_bytes() for path in listed(tree / "out")} == whole
    # zeros are what a machine that lost its power leaves
    for path in whole:
        (tree / "out" / path).write_bytes(bytes(100))
    code, _, err = run_compact(*words)
    assert f"warning: out/b.wav.{name} and 2 more results are damaged; their recordings are" in err
    assert err.count("warning:") == 1
    assert {path: (tree / "out" / path).read_bytes() for path in listed(tree / "out")} == whole
    cut.write_bytes(b"{")
    assert run_compact(*words, "--quiet") == (0, "", "")
    assert cut.read_bytes() == whole[cut.name]


def test_what_was_corrected_by_hand_stays_when_a_format_is_added(run_compact, tree):
    words = ["detect", "in", "--output-dir", "out", "--format", "raven", "--quiet"]
    run_compact(*words)
    for name in ("a.wav", "sub/a.wav"):
        (tree / f"out/{name}.selections.txt").write_text("corrected by hand")
    (tree / "in/sub/a.wav").write_bytes(b"")
    code, _, _ = run_compact(*words, "--format", "jsonl", "--skip-existing")
    assert code == 1
    assert '"status": "error"' in (tree / "out/sub/a.wav.jsonl").read_text()
    assert '"status": "ok"' in (tree / "out/a.wav.jsonl").read_text()
    for name in ("a.wav", "sub/a.wav"):
        assert (tree / f"out/{name}.selections.txt").read_text() == "corrected by hand"
    # what is to be replaced must not look like the results of what failed
    run_compact(*words, "--format", "jsonl", "--overwrite")
    assert not (tree / "out/sub/a.wav.selections.txt").exists()
    assert (tree / "out/a.wav.selections.txt").read_text() != "corrected by hand"


def test_results_of_another_command_are_neither_skipped_nor_replaced(run_compact, tree):
    run_compact("classify", "in", "--output-dir", "out")
    before = {name: (tree / "out" / name).read_bytes() for name in listed(tree / "out")}
    code, out, err = run_compact("detect", "in", "--output-dir", "out", "--skip-existing")
    assert (code, out) == (2, "")
    assert "out/a.flac.jsonl holds results of another command or format, expected jsonl of compact detect" in err
    assert "or replace it with --overwrite instead of --skip-existing" in err
    assert {name: (tree / "out" / name).read_bytes() for name in listed(tree / "out")} == before
    run_compact("detect", "in", "--output-dir", "out", "--overwrite")
    assert '"events"' in (tree / "out/a.flac.jsonl").read_text()


@pytest.mark.parametrize("content", ["my precious notes\n", "{}x", "RIFF", '{"other": 1}\n{"other": 2}\n'])
def test_what_never_was_a_result_is_not_replaced(run_compact, tree, content):
    (tree / "out").mkdir()
    (tree / "out/a.flac.jsonl").write_text(content)
    code, out, err = run_compact("classify", "in", "--output-dir", "out", "--skip-existing")
    assert (code, out) == (2, "")
    assert "out/a.flac.jsonl holds no results of compact, expected those of compact classify" in err
    assert (tree / "out/a.flac.jsonl").read_text() == content
    assert listed(tree / "out") == ["a.flac.jsonl"]


@pytest.mark.parametrize("content", ["", "{", '{"schema', '{"schema": 1, "pa', "[", '[\n {"sche', '{"sc\0\0\0\0'])
def test_what_is_left_of_a_result_is_made_again(run_compact, tree, content):
    (tree / "out").mkdir()
    (tree / "out/a.flac.jsonl").write_text(content)
    _, _, err = run_compact("classify", "in", "--output-dir", "out", "--skip-existing")
    assert "out/a.flac.jsonl is damaged; its recording is analysed again" in err
    assert json.loads((tree / "out/a.flac.jsonl").read_text())["status"] == "ok"


def test_results_that_cannot_be_judged_stay(run_compact, tree):
    (tree / "out/b.wav.json").mkdir(parents=True)
    (tree / "out/a.wav.json").write_text('["somebody else\'s"]')
    words = ["classify", "b.wav", "in/a.wav", "--output-dir", "out", "--format", "json", "--skip-existing"]
    assert "2 files: 0 ok, 0 partial, 0 failed, 2 skipped" in run_compact(*words)[2]
    assert (tree / "out/a.wav.json").read_text() == '["somebody else\'s"]'


def test_results_beside_their_recordings(run_compact, tree):
    words = ["classify", "in", "--output-dir", "in", "--format", "json", "--overwrite"]
    for _ in range(2):
        assert "4 files: 3 ok, 0 partial, 1 failed, 0 skipped" in run_compact(*words)[2]
    assert len(listed(tree / "in")) == 8


def test_results_inside_the_folder_are_no_recordings(run_compact, tree):
    for _ in range(2):
        assert "4 files: " in run_compact("classify", "in", "--output-dir", "in/out", "--overwrite")[2]


def test_recordings_inside_the_folder_of_results_are_heard(run_compact, tree):
    words = ["classify", "in", "--output-dir", "in/sub"]
    for word in ("--quiet", "--overwrite"):
        assert run_compact(*words, word)[0] == 1
        assert listed(tree / "in/sub") == [
            "a.flac.jsonl", "a.wav", "a.wav.jsonl", "bad.wav.jsonl", "sub/a.wav.jsonl",
        ]  # fmt: skip


def test_what_stands_beside_recordings_gets_a_record_whatever_it_is_called(run_compact, tree):
    (tree / "in/sub/notes.txt").touch()
    for folder, target in (("in", "in"), ("in/sub", "in"), ("in", "out")):
        code, _, err = run_compact("classify", folder, "--output-dir", target, "--overwrite")
        assert code == 1
        assert "notes.txt is empty" in err


def test_recordings_are_never_replaced(run_compact, tree, write_tone):
    write_tone("in/a.wav.json.wav").rename(tree / "in/a.wav.json")
    words = ["in/a.wav", "in/a.wav.json", "--output-dir", "in", "--format", "json", "--overwrite"]
    code, _, err = run_compact("classify", *words)
    assert code == 2
    assert "in/a.wav.json is a recording and would be replaced by the results of another" in err


def test_nothing_is_written_outside(run_compact, tree):
    (tree / "elsewhere").mkdir()
    (tree / "out").mkdir()
    (tree / "out/sub").symlink_to(tree / "elsewhere")
    code, _, err = run_compact("classify", "in", "--output-dir", "out")
    assert code == 2
    assert "out/sub leads out of --output-dir out" in err
    assert run_compact("classify", "../" + tree.name + "/b.wav", "--output-dir", "out")[0] == 0
    assert listed(tree / "out") == ["b.wav.jsonl"]
    assert listed(tree / "elsewhere") == []


def test_folders_that_are_none(run_compact, tree, monkeypatch):
    code, _, err = run_compact("classify", "in", "--output-dir", "b.wav")
    assert code == 2
    assert "--output-dir b.wav is not a folder" in err
    code, _, err = run_compact("classify", "in", "--output-dir", "b.wav/inner")
    assert code == 2
    assert "b.wav/inner cannot be written (Not a directory)" in err


def test_names_that_become_too_long(run_compact, tree, write_tone):
    name = "x" * 247 + ".wav"
    write_tone("in/a.wav").rename(tree / name)
    assert run_compact("classify", name, "--output-dir", "out", "--format", "csv")[0] == 0
    code, _, err = run_compact("classify", name, "--output-dir", "out", "--format", "jsonl")
    assert code == 1
    assert "expected at most 255 bytes in a name" in err
    assert "hint: rename the recording, or use --output" in err


@pytest.mark.parametrize("more", [[], ["--skip-existing"], ["--overwrite"], ["--jobs", 2]])
def test_a_name_that_becomes_too_long_costs_its_recording_alone(run_compact, tree, write_tone, more):
    long_name = "x" * 247 + ".wav"
    write_tone("in/long.wav").rename(tree / "in" / long_name)
    for _ in range(2 if more == ["--skip-existing"] else 1):
        code, _, err = run_compact("classify", "in", "--output-dir", "out", "--quiet", *more)
        assert code == 1
        # whatever the format, nothing else tells of it
        assert re.findall("^error: the result of in/x*.wav would be called x*", err, re.MULTILINE)
        assert len([line for line in err.splitlines() if "would be called" in line]) == 1
    assert listed(tree / "out") == ["a.flac.jsonl", "a.wav.jsonl", "bad.wav.jsonl", "sub/a.wav.jsonl"]
    assert run_compact("classify", "in", "--output-dir", "out", "--overwrite", "--quiet", "--failures", "f.txt")[0] == 1
    assert f"in/{long_name}" in (tree / "f.txt").read_text().splitlines()


def test_a_path_that_becomes_too_long_costs_its_recording_alone(run_compact, tree, monkeypatch):
    monkeypatch.setattr("compactcli.cli.folder.MAX_PATH_BYTES", len(f"{tree}/out/sub/a.wav.jsonl") - 1)
    code, _, err = run_compact("classify", "in", "--output-dir", "out", "--quiet")
    assert code == 1
    assert "error: the result of in/sub/a.wav would be called a.wav.jsonl, expected at most 255 bytes in a name" in err
    assert "a.wav.jsonl" in listed(tree / "out")
    assert "sub/a.wav.jsonl" not in listed(tree / "out")


def test_folders_that_failed_have_names(tree):
    folder = ResultFolder(folder=tree / "out", command="classify", formats=("json",))
    error = AudioError("it is empty")
    for path, expected in ((".", f"{tree.name}.json"), ("in", "in.json"), ("in/sub/..", "in.json")):
        [target] = folder.targets(Input(path=tree.__class__(path), root=tree.__class__(path), error=error))
        assert target == tree / "out" / expected


def test_a_result_that_cannot_be_taken_away(run_compact, tree, monkeypatch):
    (tree / "out/bad.wav.csv").mkdir(parents=True)
    code, _, err = run_compact("classify", "in/bad.wav", "--output-dir", "out", "--format", "csv", "--overwrite")
    assert code == 1
    assert "out/bad.wav.csv cannot be written" in err
    assert os.fspath(tree / "out/bad.wav.csv")


def test_tables_of_one_suffix_are_told_apart(run_compact, tree):
    commands = {
        ("classify", "csv"),
        ("detect", "csv"),
        ("detect", "tsv"),
        ("detect", "scores-tsv"),
        ("features", "levels-tsv"),
    }
    for command, form in sorted(commands):
        words = ["in/a.wav", "--output-dir", f"{command}-{form}", "--quiet", "--skip-existing", "--format"]
        assert run_compact(command, *words, form) == (0, "", "")
        [table] = (tree / f"{command}-{form}").iterdir()
        before = table.read_bytes()
        for other, other_form in commands - {(command, form)}:
            if other_form.rpartition("-")[2] != form.rpartition("-")[2]:
                continue
            code, out, err = run_compact(other, *words, other_form)
            assert (code, out) == (2, "")
            assert f"holds results of another command or format, expected {other_form} of compact {other}" in err
        assert run_compact(command, *words, form) == (0, "", "")
        assert table.read_bytes() == before
        # what a spreadsheet makes of it is the same table, and what somebody else has written is kept
        for kept in (b"\xef\xbb\xbf" + before.replace(b"\n", b"\r\n"), b"corrected by hand"):
            table.write_bytes(kept)
            assert run_compact(command, *words, form) == (0, "", "")
            assert table.read_bytes() == kept
        for lost in (b"", bytes(100)):
            table.write_bytes(lost)
            assert run_compact(command, *words, form) == (0, "", "")
            assert table.read_bytes() == before


def test_records_of_another_command_are_no_records_of_frames_or_pictures(run_compact, tree):
    run_compact("detect", "in", "--output-dir", "out")
    for command in ("features", "plot"):
        code, _, err = run_compact(command, "in", "--output-dir", "out", "--format", "jsonl", "--skip-existing")
        assert code == 2
        assert f"holds results of another command or format, expected jsonl of compact {command}" in err


def test_the_same_line_may_run_every_night_with_its_list_of_failures(run_compact, tree):
    words = ["classify", "in", "--output-dir", "out", "--skip-existing", "--failures", "failed.txt", "--quiet"]
    for _ in range(2):
        assert run_compact(*words)[0] == 1
        assert (tree / "failed.txt").read_text() == "in/bad.wav\n"
    (tree / "in/bad.wav").unlink()
    assert run_compact(*words) == (0, "", "")
    assert (tree / "failed.txt").read_text() == ""


# a record and labels of one recording, once more
AGAIN = (
    *("detect", "in/a.wav", "--output-dir", "out"),
    *("--format", "jsonl", "--format", "audacity", "--skip-existing"),
)


def make_older(folder):
    for path in folder.iterdir():
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**10))


def test_a_recording_that_was_not_whole_yet_is_heard_again(run_compact, tree):
    recording = tree / "in/a.wav"
    whole = recording.read_bytes()
    recording.write_bytes(whole[: len(whole) // 2])
    assert run_compact(*AGAIN)[0] == 0
    assert json.loads((tree / "out/a.wav.jsonl").read_text())["status"] == "partial"
    (tree / "out/a.wav.txt").write_text("0\t1\tof a part\n")
    make_older(tree / "out")
    recording.write_bytes(whole)
    assert run_compact(*AGAIN)[0] == 0
    record = json.loads((tree / "out/a.wav.jsonl").read_text())
    assert (record["status"], record["duration"]) == ("ok", 1.0)
    assert "of a part" not in (tree / "out/a.wav.txt").read_text()


def test_a_recording_that_went_on_is_heard_again_and_one_that_was_copied_once_more_is_not(
    run_compact, tree, write_tone
):
    assert run_compact(*AGAIN)[0] == 0
    for result in (tree / "out").iterdir():
        result.write_text(result.read_text() + " ")
    make_older(tree / "out")
    kept = {path: path.read_text() for path in (tree / "out").iterdir()}
    (tree / "in/a.wav").write_bytes((tree / "in/a.wav").read_bytes())
    assert run_compact(*AGAIN)[0] == 0
    assert {path: path.read_text() for path in (tree / "out").iterdir()} == kept
    (tree / "in/a.wav").write_bytes(write_tone("longer.wav", 3.0).read_bytes())
    assert run_compact(*AGAIN)[0] == 0
    assert all(path.read_text() != text for path, text in kept.items())
    assert json.loads((tree / "out/a.wav.jsonl").read_text())["duration"] == 3.0
    # a recording that was lost takes no labels along
    make_older(tree / "out")
    labels = (tree / "out/a.wav.txt").read_text()
    (tree / "in/a.wav").write_bytes(b"")
    assert run_compact(*AGAIN)[0] == 1
    assert json.loads((tree / "out/a.wav.jsonl").read_text())["status"] == "error"
    assert (tree / "out/a.wav.txt").read_text() == labels
