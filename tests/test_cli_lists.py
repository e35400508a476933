import json
import os
import sys
from pathlib import Path

import pytest

from compactcli.cli.lists import format_list, read_list
from compactcli.cli.options import to_path
from compactcli.errors import ConfigError


@pytest.fixture
def write_list(tmp_path):
    def write(data):
        path = tmp_path / "list"
        path.write_bytes(data)
        return path

    return write


def paths(out):
    return [json.loads(line)["path"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("data", "null", "expected"),
    [
        (b"a.wav\nb c.wav", False, ["a.wav", "b c.wav"]),
        (b"a.wav\r\n\r\n\nb.wav\r\n", False, ["a.wav", "b.wav"]),
        (b"\xef\xbb\xbfa.wav\r\n", False, ["a.wav"]),
        (b"\xef\xbb\xbfa.wav\0", True, ["\ufeffa.wav"]),
        (b"caf\xe9.wav\n-x.wav\n a\n", False, ["caf\udce9.wav", "-x.wav", " a"]),
        (b"a\nb.wav\0\0c\r\0", True, ["a\nb.wav", "c\r"]),
    ],
)
def test_paths_of_a_list(data, null, expected, write_list):
    assert [str(path) for path in read_list(write_list(data), null=null)] == expected


@pytest.mark.parametrize("null", [False, True])
def test_lists_come_back(null, write_list):
    names = ["a.wav", "caf\udce9.wav", "[b].wav", "-c.wav"] + ["d\ne.wav"] * null
    data = os.fsencode(format_list(names, null=null))
    assert [str(path) for path in read_list(write_list(data), null=null)] == names


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\n"])
def test_empty_lists_are_refused(data, write_list, run_compact, tmp_path):
    code, out, err = run_compact("classify", "--files-from", write_list(data), "--output", tmp_path / "out.json")
    assert (code, out) == (2, "")
    assert "names no recordings, expected at least one path" in err
    assert not (tmp_path / "out.json").exists()


def test_lists_that_cannot_be_read(tmp_path, write_list):
    with pytest.raises(ConfigError, match=r"none cannot be read \(No such file or directory\), expected a list"):
        read_list(tmp_path / "none", null=False)
    with pytest.raises(ConfigError, match="holds NUL, expected one path a line") as caught:
        read_list(write_list(b"a.wav\0b.wav\0"), null=False)
    assert "add -0" in caught.value.hint


def test_a_list_on_standard_input(run_compact, write_tone, give_stdin, tmp_path):
    names = ["b.wav", "clip[take].wav", "new\nline.wav", "[/b].wav"]
    recordings = [write_tone(name) for name in names]
    give_stdin(b"".join(os.fsencode(path) + b"\0" for path in [*recordings, tmp_path / "gone.wav"]))
    code, out, err = run_compact("classify", write_tone("a.wav"), "--files-from", "-", "-0")
    assert code == 1
    assert [path.rpartition("tone")[2] for path in paths(out)] == [
        str(tmp_path / name) for name in ["a.wav", *names, "gone.wav"]
    ]
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "missing"
    assert "6 files: 5 ok, 0 partial, 1 failed" in err


def test_names_that_are_too_long_are_missing_recordings(run_compact, write_list, write_tone):
    listed = write_list(b"x" * 5000 + b"\n" + os.fsencode(write_tone()))
    code, out, _ = run_compact("classify", "--files-from", listed)
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [record["status"] for record in records] == ["error", "ok"]


def test_ill_encoded_names_stay_valid_json(run_compact, write_tone, write_list, tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        write_tone().rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    output = tmp_path / "out.jsonl"
    assert run_compact("classify", "--files-from", write_list(os.fsencode(tmp_path / name)), "-o", output)[0] == 0
    text = output.read_bytes().decode("utf-8")  # valid, as JSON has to be
    assert "caf\\udce9.wav" in text
    assert os.fsencode(json.loads(text)["path"]) == os.fsencode(tmp_path) + b"/caf\xe9.wav"


def test_failures_can_be_read_again(run_compact, write_tone, tmp_path):
    (tmp_path / "bad[1].wav").write_text("no audio")
    (tmp_path / "new\nline.wav").touch()
    (tmp_path / "return.wav\r").touch()
    words = ["classify", write_tone(), *(tmp_path / name for name in ("bad[1].wav", "new\nline.wav", "return.wav\r"))]
    failed = tmp_path / "failed"
    code, _, err = run_compact(*words, "--failures", failed)
    assert code == 1
    assert failed.read_text() == f"{tmp_path}/bad[1].wav\n"
    assert "new\\nline.wav is not in " in err
    assert f"return.wav\\r is not in {failed}, because its name holds or ends in what ends a line: use -0\n" in err
    code, _, err = run_compact(*words, "--failures", failed)
    assert code == 2
    assert f"--failures {failed} is there already" in err
    assert run_compact(*words, "--failures", failed, "-0", "--overwrite")[0] == 1
    code, out, _ = run_compact("classify", "--files-from", failed, "-0")
    assert code == 1
    assert paths(out) == [f"{tmp_path}/{name}" for name in ("bad[1].wav", "new\nline.wav", "return.wav\r")]
    assert run_compact("classify", write_tone(), "--failures", failed, "--overwrite")[0] == 0
    assert failed.read_text() == ""


@pytest.mark.parametrize(
    "words", [["classify", "a.wav", "--failures", "-"], ["export", "--output", "-"], ["export", "--output", "./-"]]
)
def test_files_that_cannot_be_standard_output(run_compact, write_tone, tmp_path, monkeypatch, words):
    write_tone("a.wav")
    monkeypatch.chdir(tmp_path)
    code, out, err = run_compact(*words)
    assert (code, out) == (2, "")
    assert f"{words[-2]} - would be standard output, expected the name of a file" in err
    assert [item.name for item in tmp_path.iterdir()] == ["a.wav"]


def test_a_recording_on_standard_input(run_compact, write_tone, give_stdin, tmp_path):
    give_stdin(write_tone("x.ogg").read_bytes())
    code, out, err = run_compact("classify", "-")
    record = json.loads(out)
    assert (code, err) == (0, "")
    assert (record["path"], record["status"], record["duration"]) == ("-", "ok", 1.0)
    give_stdin(write_tone("x.ogg").read_bytes())
    assert run_compact("detect", "-", "--output-dir", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["stdin.jsonl"]


def test_a_folder_of_that_name_is_not_standard_input(run_compact, write_tone, give_stdin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tone("-/inside.wav")
    give_stdin(write_tone().read_bytes())
    _, out, _ = run_compact("classify", "-", "--format", "jsonl")
    assert json.loads(out)["path"] == "-"
    _, out, _ = run_compact("classify", "./-", "--format", "jsonl")
    assert json.loads(out)["path"].endswith("/-/inside.wav")


@pytest.mark.parametrize(("data", "code"), [(b"", "empty-file"), (b"no audio at all", "not-audio")])
def test_what_is_no_recording_on_standard_input(data, code, run_compact, give_stdin):
    give_stdin(data)
    exit_code, out, err = run_compact("classify", "-")
    assert exit_code == 1
    assert (json.loads(out)["path"], json.loads(out)["error"]["code"]) == ("-", code)
    assert err.startswith(f"error: standard input is {'empty' if not data else 'not audio'}")
    assert json.loads(out)["error"]["message"].startswith("standard input is ")


def test_a_damaged_recording_on_standard_input_is_called_by_its_name(run_compact, write_tone, give_stdin):
    data = write_tone("x.wav").read_bytes()
    give_stdin(data[: len(data) // 2])
    code, out, err = run_compact("detect", "-")
    assert (code, json.loads(out)["path"], json.loads(out)["status"]) == (0, "-", "partial")
    assert err.startswith("warning: standard input is damaged and analysed as far as it goes: the file ends ")


def test_a_file_that_is_called_like_standard_input(run_compact, write_tone, tmp_path, monkeypatch):
    write_tone("in/x.wav").rename(tmp_path / "in/-")
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setattr(sys, "stdin", None)
    code, out, _ = run_compact("classify", ".")
    assert (code, paths(out)) == (0, ["-"])


@pytest.mark.parametrize("words", [["./-"], ["--files-from", "list"]])
def test_a_file_that_is_called_like_standard_input_can_be_named(words, run_compact, write_tone, tmp_path, monkeypatch):
    write_tone("x.wav").rename(tmp_path / "-")
    (tmp_path / "list").write_text("./-\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = run_compact("classify", *words)
    assert (code, paths(out), err) == (0, [str(tmp_path / "-")], "")
    code, out, _ = run_compact("classify", *words, "--output", "./-", "--overwrite")
    assert (code, out) == (2, "")  # it is the recording, not standard output


def test_a_list_that_is_called_like_standard_input(run_compact, write_tone, tmp_path, monkeypatch):
    (tmp_path / "-").write_text(f"{write_tone()}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    code, out, _ = run_compact("classify", "--files-from", "./-", "--output", "x.jsonl")
    assert (code, out, paths((tmp_path / "x.jsonl").read_text())) == (0, "", [str(tmp_path / "tone.wav")])


def test_a_failure_that_is_called_like_standard_input_is_listed_as_a_file(run_compact, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/-").write_text("no audio")
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setattr(sys, "stdin", None)
    assert run_compact("classify", ".", "--failures", "../failed")[0] == 1
    assert (tmp_path / "failed").read_text() == "./-\n"
    code, out, _ = run_compact("classify", "--files-from", "../failed")
    assert (code, json.loads(out)["error"]["code"]) == (1, "not-audio")


def test_a_file_called_like_standard_input_in_a_folder_that_was_removed(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match=r"\./- is relative to a folder that was removed, expected to be in one"):
        to_path("./-")


def test_standard_input_that_is_a_terminal(run_compact, give_stdin, monkeypatch):
    give_stdin(b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    code, _, err = run_compact("classify", "-")
    assert code == 2
    assert err.startswith("error: standard input is a terminal, expected a recording, which - stands for\nhint: pipe")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-"], "error: standard input is closed, expected a recording, which - stands for\nhint: pipe one in"),
        (["--files-from", "-"], "error: standard input cannot be read (Bad file descriptor), expected a list of paths"),
    ],
)
def test_standard_input_that_is_closed(words, message, run_compact, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = run_compact("detect", *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "names no recordings"),
        (b"\xef\xbb\xbf", "names no recordings"),
        (b"a\0b", "holds NUL, expected one"),
        ("a.wav".encode("utf-16"), "is UTF-16, expected UTF-8"),
        (b"\xfe\xff\0a", "is UTF-16, expected UTF-8"),
        ("a.wav".encode("utf-32"), "is UTF-32, expected UTF-8"),
    ],
)
def test_lists_on_standard_input_are_called_by_their_name(data, message, run_compact, give_stdin):
    give_stdin(data)
    code, _, err = run_compact("classify", "--files-from", "-")
    assert code == 2
    assert err.startswith(f"error: standard input {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-", "--files-from", "-"], "- and --files-from - both read standard input"),
        (["a.wav", "--output", "x", "--output-dir", "y"], "--output and --output-dir were both given"),
        (["a.wav", "--output-dir", "y", "--skip-existing", "--overwrite"], "contradict each other"),
        (["a.wav", "--output", "x", "--failures", "./x"], "--output and --failures are both x, expected two files"),
        (["--files-from", "x", "-o", "y/../x"], "--output and --files-from are both y/../x, expected two files"),
        (["a.wav", ""], "an empty path stands for nothing, expected a file or a folder"),
        (["a.wav", "--output-dir", ""], "an empty path stands for nothing, expected a file or a folder"),
        (["a.wav", "--output-dir", "-"], "--output-dir - would be standard output, expected a folder"),
        (["a.wav", "-0"], "--null was given without --files-from or --failures, expected one to go with it"),
        (["a.wav", "--skip-existing"], "--skip-existing was given without --output-dir"),
        (["a.wav", "--resume"], "--resume was given without --output or --output-dir"),
        (["a.wav", "--timeout", "0"], "--timeout is 0, expected seconds above 0"),
        (["a.wav", "--max-duration", "nan"], "--max-duration is nan, expected seconds above 0"),
        (["a.wav", "--max-duration", "inf"], "--max-duration is inf, expected seconds above 0"),
        (["a.wav", "--gain", "60.1"], "--gain is 60.1, expected dB from -60 to 60"),
        (["a.wav", "--gain", "nan"], "--gain is nan, expected dB from -60 to 60"),
        (["a.wav", "--format", "csv", "--format", "json"], "--format was given 2 times, expected once without"),
        (["a.wav", "--format", "table", "--output-dir", "y"], "--format table was asked for with --output-dir"),
        (["a.wav", "--jobs", "0"], "--jobs"),
        ([], "name at least one recording or folder, or give --files-from"),
    ],
)
def test_options_that_do_not_fit_together(words, message, run_compact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_compact("classify", *words)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", "").split())
    assert list(tmp_path.iterdir()) == []


def test_paths_of_a_folder_that_was_removed(run_compact, write_tone, give_stdin, tmp_path, monkeypatch):
    path = write_tone()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, out, err = run_compact("classify", path, "a.wav")
    assert (code, out) == (2, "")
    assert err.startswith("error: a.wav is relative to a folder that was removed, expected to be in one that is there")
    assert run_compact("classify", path)[0] == 0
    for option, place in (("--output", "o.json"), ("--failures", "failed.txt"), ("--output-dir", "results")):
        code, out, err = run_compact("classify", path, option, place)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {place} is relative to a folder that was removed, expected to be in one that is")
    words = {"search": ["v.csv", path], "cut": ["v.csv", "--output-dir", "clips"], "learn": [tmp_path, "--output", "m"]}
    for command, rest in words.items():
        code, out, err = run_compact(command, *rest)
        assert (code, out) == (2, "")
        assert "is relative to a folder that was removed, expected to be in one that is" in err
    # nothing here is relative
    give_stdin(path.read_bytes())
    assert run_compact("classify", "-", "--output", tmp_path / "o.json")[0] == 0


def test_long_recordings_are_refused(run_compact, write_tone):
    code, out, _ = run_compact("classify", "--max-duration", 2, write_tone("a.wav", 2.0), write_tone("b.wav", 2.1))
    assert code == 1
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["ok", "error"]
    assert json.loads(out.splitlines()[1])["error"]["code"] == "too-long"


def test_paths_keep_the_names_that_were_given(run_compact, write_tone, tmp_path, monkeypatch):
    write_tone("-dash.wav")
    monkeypatch.chdir(tmp_path)
    assert paths(run_compact("classify", "--", "-dash.wav")[1]) == ["-dash.wav"]
    assert paths(run_compact("classify", Path("..") / tmp_path.name)[1]) == [f"../{tmp_path.name}/-dash.wav"]
