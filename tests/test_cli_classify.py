import csv
import inspect
import io
import json
import re

import numpy as np
import pytest

from compactcli.cli.classify import classify
from compactcli.cli.options import SceneFormat
from compactcli.formats import FORMATS
from compactcli.inference import DEFAULT_TOP_K, classify_recording
from compactcli.inference.planning import SHORTEST_STRETCH_S

RATE = 16000


def read_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_one_recording_into_a_pipe_is_one_line_of_json(run_compact, write_tone):
    path = write_tone(duration_s=2.0)
    code, out, err = run_compact("classify", path)

    [record] = read_lines(out)
    assert (code, err) == (0, "")
    assert [scene["label"] for scene in record["scenes"]] == ["din", "silence", "hum"]
    del record["scenes"]
    assert record == {
        "schema": 1,
        "path": str(path),
        "status": "ok",
        "error": None,
        "duration": 2.0,
        "sample_rate": RATE,
        "model": "fake",
        "model_version": "1",
    }


def test_top_k(run_compact, write_tone):
    _, out, _ = run_compact("classify", "--top-k", 1, write_tone())
    assert [scene["label"] for scene in json.loads(out)["scenes"]] == ["din"]
    _, out, _ = run_compact("classify", "--top-k", 99, write_tone())
    assert len(json.loads(out)["scenes"]) == 3
    code, out, err = run_compact("classify", "--top-k", 0, write_tone())
    assert (code, out) == (2, "")
    assert "--top-k" in err


def test_the_shell_and_the_python_api_have_the_same_default():
    shell = inspect.signature(classify).parameters["top_k"].default
    assert shell == DEFAULT_TOP_K == inspect.signature(classify_recording).parameters["top_k"].default


def test_the_shell_and_the_python_api_have_the_same_shortest_stretch():
    annotation = inspect.signature(classify).parameters["every"].annotation
    assert annotation.__metadata__[0].min == SHORTEST_STRETCH_S


def test_the_formats_are_those_that_can_be_written():
    assert [str(name) for name in SceneFormat] == ["table", *FORMATS["classify"]]


def test_json_is_one_array(run_compact, write_tone):
    code, out, _ = run_compact("classify", "--format", "json", write_tone("a.wav"), write_tone("b.wav"))
    assert code == 0
    assert [record["path"].rpartition("/")[2] for record in json.loads(out)] == ["a.wav", "b.wav"]


def test_csv_has_a_row_for_each_scene(run_compact, write_tone):
    code, out, _ = run_compact("classify", "--format", "csv", "--top-k", 2, write_tone("a,b.wav"))
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(row["path"].rpartition("/")[2], row["rank"], row["label"]) for row in rows] == [
        ("a,b.wav", "1", "din"),
        ("a,b.wav", "2", "silence"),
    ]


def test_table_for_people(run_compact, write_tone):
    code, out, _ = run_compact("classify", "--format", "table", write_tone("clip[take].wav"), write_tone("b[/b].wav"))
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["recording", "scene", "score"]
    assert lines[1][0].endswith("clip[take].wav")
    assert lines[1][1:] == ["din", "0.96"]
    assert lines[2] == ["silence", "0.02"]
    assert lines[4][0].endswith("b[/b].wav")


def test_stretches_in_every_format(run_compact, write_tone):
    path = write_tone("long.wav", duration_s=5.0)
    code, out, _ = run_compact("classify", "--every", 2, path)
    assert code == 0
    assert [(part["start"], part["stop"]) for part in json.loads(out)["stretches"]] == [(0, 2), (2, 4), (4, 5)]
    _, out, _ = run_compact("classify", "--every", 2.5, "--top-k", 1, "--format", "csv", path)
    rows = [(row["start"], row["stop"], row["rank"], row["label"]) for row in csv.DictReader(io.StringIO(out))]
    assert rows == [("0.000", "2.500", "1", "din"), ("2.500", "5.000", "1", "din")]
    code, out, _ = run_compact("classify", "--every", 2.5, "--top-k", 2, "--format", "table", "none.wav", path)
    lines = [line.split() for line in out.splitlines()]
    assert code == 1
    assert lines[0] == ["recording", "start", "(s)", "stop", "(s)", "scene", "score"]
    assert lines[1] == ["none.wav", "error:", "missing"]
    assert lines[2][1:] == ["0.00", "2.50", "din", "0.96"]
    assert lines[3] == ["silence", "0.02"]
    assert lines[4] == ["2.50", "5.00", "din", "0.96"]


@pytest.mark.parametrize(
    ("every", "expected"), [("0.5", "0.5 is not in the range x>=1.0"), ("nan", "every is nan, expected 1 to")]
)
def test_stretches_that_are_too_short_are_refused(run_compact, write_tone, every, expected):
    code, out, err = run_compact("classify", "--every", every, write_tone())
    assert (code, out) == (2, "")
    assert expected in err


def test_table_is_the_default_on_a_terminal(run_compact, write_tone, on_terminal):
    on_terminal()
    _, out, _ = run_compact("classify", write_tone())
    assert re.sub(r"\x1b\[\d*m", "", out).split()[:3] == ["recording", "scene", "score"]


def test_the_suffix_of_the_output_decides_where_nothing_else_does(run_compact, write_tone, tmp_path):
    path = write_tone()
    for name, start in {"a.csv": "path,", "a.json": "[", "a.jsonl": "{", "a.out": "{"}.items():
        code, out, err = run_compact("classify", path, "--output", tmp_path / name)
        assert (code, out, err) == (0, "", "")
        assert (tmp_path / name).read_text().startswith(start)
    run_compact("classify", path, "--output", tmp_path / "b.csv", "--format", "table")
    assert (tmp_path / "b.csv").read_text().split()[:3] == ["recording", "scene", "score"]


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        ("classify", "a.tsv", ".json, .jsonl, .csv, .txt, .selections.txt"),
        ("classify", "a.SRT", ".json, .jsonl, .csv, .txt, .selections.txt"),
        ("detect", "a.png", ".json, .jsonl, .csv, .tsv, .txt, .selections.txt, .vtt, .srt, .rttm"),
        ("features", "a.csv", ".json, .jsonl, .npy, .tsv"),
        ("classify", "a.xlsx", ".json, .jsonl, .csv, .txt, .selections.txt"),
    ],
)
def test_a_suffix_of_another_format_is_refused(run_compact, write_tone, tmp_path, command, name, expected):
    output = tmp_path / name
    code, _, err = run_compact(command, write_tone(), "--output", output)
    suffix = output.suffix.lower()
    assert code == 2
    assert f"{name} ends in {suffix}, which names no format of compact {command}, expected {expected}\n" in err
    assert not output.exists()
    assert run_compact(command, write_tone(), "--output", output, "--format", command_format(command))[0] == 0


def command_format(command):
    return {"features": "npy"}.get(command, "jsonl")


@pytest.mark.parametrize(
    ("command", "name", "start"),
    [
        ("detect", "a.tsv", b"filename\t"),
        ("detect", "a.txt", b"0.000000\t"),
        ("detect", "a.selections.txt", b"Selection\t"),
        ("features", "a.tsv", b"onset\t"),
        ("features", "a.npy", b"\x93NUMPY"),
    ],
)
def test_a_suffix_that_differs_from_the_name_of_its_format(run_compact, write_tone, tmp_path, command, name, start):
    assert run_compact(command, write_tone(), "--output", tmp_path / name)[0] == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_verbose_names_the_model_and_the_stages(run_compact, write_tone):
    lines = run_compact("classify", "--verbose", write_tone())[2].splitlines()
    assert lines[0] == "model fake, version 1, on cpu with fake"
    assert re.fullmatch(
        r"start-up \d+\.\d\d s, decoding \d+\.\d\d s, inference \d+\.\d\d s, writing \d+\.\d\d s", lines[1]
    )
    assert len(lines) == 2


def test_options_reach_the_loader(run_compact, write_tone, monkeypatch, tmp_path):
    from fake_engine import FakeEngine

    asked = []

    def load(model=None, *, device="auto", engine="auto", batch_size=None, precision="fp32"):
        asked.append((model, device, engine, batch_size, precision))
        return FakeEngine()

    monkeypatch.setattr("compactcli.inference.load_model", load)
    words = ["--model", tmp_path, "--device", "cuda:1", "--engine", "torch", "--batch-size", 4, "--precision", "bf16"]
    run_compact("classify", write_tone(), *words)
    run_compact("classify", write_tone())
    assert asked == [(str(tmp_path), "cuda:1", "torch", 4, "bf16"), (None, "auto", "auto", None, "fp32")]


def test_scenes_of_stretches_as_label_tracks(run_compact, write_tone, tmp_path):
    path = write_tone("long.wav", duration_s=5.0)
    words = ["classify", path, "--every", 2]
    assert run_compact(*words, "--output", tmp_path / "a.txt")[0] == 0
    assert (tmp_path / "a.txt").read_text() == (
        "0.000000\t2.000000\tdin\n2.000000\t4.000000\tdin\n4.000000\t5.000000\tdin\n"
    )
    code, out, _ = run_compact("classify", path, "none.wav", path.with_name("long.wav"), "--format", "raven")
    [row] = csv.DictReader(io.StringIO(out), delimiter="\t")
    assert code == 1
    assert (row["Begin Time (s)"], row["End Time (s)"], row["Annotation"]) == ("0.000000", "5.000000", "din")


@pytest.mark.parametrize("words", [[], ["--format", "tsv"], ["--no-such-option"]])
def test_usage_errors(words, run_compact, write_tone):
    code, out, err = run_compact("classify", *words, *([write_tone()] if words else []))
    assert (code, out) == (2, "")
    assert "Usage: compact classify" in err


def test_silence_is_ok(run_compact, write_recording):
    code, out, _ = run_compact("classify", write_recording("silence.flac", np.zeros(RATE, np.float32)))
    assert code == 0
    assert json.loads(out)["scenes"][0]["label"] == "silence"
