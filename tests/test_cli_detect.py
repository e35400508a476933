import csv
import io
import json
import re

import numpy as np
import pytest

from compactcli import inference
from compactcli.cli import options
from compactcli.cli.options import EventFormat
from compactcli.formats import FORMATS, FRAME_FORMATS

RATE = 16000


@pytest.fixture
def two_sounds(write_recording, tone):
    """Silence with a loud tone from 1 to 2 s and a faint one from 3 to 3.4 s."""
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[RATE : 2 * RATE] = tone(1.0, level=0.8)
    waveform[3 * RATE : 3 * RATE + 6400] = tone(0.4, level=0.1)
    return write_recording("two.wav", waveform)


def detected(out):
    return [(event["label"], event["onset"], event["offset"]) for event in json.loads(out)["events"]]


def test_events_of_one_recording(run_compact, two_sounds):
    code, out, err = run_compact("detect", two_sounds)
    assert (code, err) == (0, "")
    assert detected(out) == [("any", 1.0, 2.0), ("loud", 1.0, 2.0), ("any", 3.0, 3.4), ("faint", 3.0, 3.4)]
    assert all(event["score"] == 0.982 for event in json.loads(out)["events"])
    assert json.loads(out)["scenes"][0]["label"] == "silence"


def test_classes(run_compact, two_sounds):
    _, out, _ = run_compact("detect", "--classes", "loud, faint", two_sounds)
    assert detected(out) == [("loud", 1.0, 2.0), ("faint", 3.0, 3.4)]


def test_thresholds(run_compact, two_sounds):
    _, out, _ = run_compact("detect", "--threshold", "0.99", two_sounds)
    assert detected(out) == []
    _, out, _ = run_compact("detect", "--threshold", "0.99", "--threshold", "loud=0.5", two_sounds)
    assert detected(out) == [("loud", 1.0, 2.0)]
    # 0.018 is the probability of what is not there
    _, out, _ = run_compact("detect", "--threshold", "faint=0.01", "--classes", "faint", two_sounds)
    assert detected(out) == [("faint", 0.0, 5.0)]


def test_durations(run_compact, two_sounds):
    words = ["detect", "--classes", "any", two_sounds]
    assert detected(run_compact(*words, "--max-gap", 1)[1]) == [("any", 1.0, 3.4)]
    assert detected(run_compact(*words, "--min-duration", 0.5)[1]) == [("any", 1.0, 2.0)]
    # a median of 1 s swallows what is shorter than half of it
    assert detected(run_compact(*words, "--median", 1)[1]) == [("any", 1.0, 2.0)]


def test_events_at_steps_have_boundaries_that_no_threshold_moves(run_compact, two_sounds):
    words = ["detect", "--classes", "loud,faint", "--step", 0.64, two_sounds]
    for threshold in (0.3, 0.9):
        code, out, _ = run_compact(*words, "--threshold", threshold)
        assert (code, detected(out)) == (0, [("loud", 1.0, 2.0), ("faint", 3.0, 3.4)])
    assert detected(run_compact(*words, "--threshold", 0.99)[1]) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--step", "0.64", "--median", "0"], "median 0 was given for events that begin and end at steps, in which"),
        (["--step", "1", "--hysteresis", "0.2"], "hysteresis 0.2 was given for events that begin and end at steps"),
        (["--step", "-1"], "step is -1.0, expected seconds, 0 or more"),
        (["--threshold", "loud"], "--threshold is 'loud', expected X or CLASS=X"),
        (["--threshold", "1.5"], "--threshold is '1.5', expected a number from 0 to 1"),
        (["--threshold", "hiss=0.5"], "'hiss' is not an event class of the model fake"),
        (["--threshold", "0.5", "--threshold", "0.6"], "--threshold 0.6 is the second for all classes"),
        (["--classes", "loud,hiss"], "'hiss' is not an event class"),
        (["--classes", ","], "no event class is left"),
        (["--median", "-1"], "median is -1.0, expected seconds, 0 or more"),
        (["--max-gap", "nan"], "max_gap is nan"),
        (["--min-duration", "inf"], "min_duration is inf"),
    ],
)
def test_wrong_options_do_nothing(words, message, run_compact, two_sounds, tmp_path):
    code, out, err = run_compact("detect", two_sounds, *words, "--output", tmp_path / "out.json")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert not (tmp_path / "out.json").exists()


def test_the_formats_are_those_that_can_be_written():
    assert [str(name) for name in EventFormat] == ["table", *FORMATS["detect"], *FRAME_FORMATS["detect"]]


def test_tsv(run_compact, two_sounds, write_tone):
    silent = write_tone("silent.wav", level=0.0)
    code, out, _ = run_compact("detect", "--format", "tsv", "--classes", "loud", two_sounds, silent)
    assert code == 0
    assert out == f"filename\tonset\toffset\tevent_label\n{two_sounds}\t1.000\t2.000\tloud\n{silent}\t\t\t\n"


def test_csv(run_compact, two_sounds):
    _, out, _ = run_compact("detect", "--format", "csv", "--classes", "loud,faint", two_sounds)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["label"], row["onset"], row["offset"]) for row in rows] == [
        ("loud", "1.000", "2.000"),
        ("faint", "3.000", "3.400"),
    ]


def test_table(run_compact, two_sounds, write_tone, tmp_path):
    words = ["--classes", "loud", two_sounds, write_tone("silent.wav", level=0.0), tmp_path / "nowhere.wav"]
    code, out, _ = run_compact("detect", "--format", "table", *words)
    lines = out.splitlines()
    assert code == 1
    assert lines[0].split("  ")[0] == "recording"
    assert lines[0].split()[1:] == ["event", "onset", "(s)", "offset", "(s)", "score"]
    assert lines[1].split() == [str(two_sounds), "loud", "1.00", "2.00", "0.98"]
    assert lines[2].split()[1:] == ["no", "events"]
    assert lines[3].split()[1:] == ["error:", "missing"]
    assert len(lines) == 4


def test_verbose_names_the_model_and_the_stages(run_compact, two_sounds):
    lines = run_compact("detect", "--verbose", two_sounds)[2].splitlines()
    assert lines[0] == "model fake, version 1, on cpu with fake"
    assert re.fullmatch(
        r"start-up \d+\.\d\d s, decoding \d+\.\d\d s, inference \d+\.\d\d s, writing \d+\.\d\d s", lines[1]
    )
    assert len(lines) == 2


def test_bad_options_are_refused_before_the_model_is_loaded(run_compact, two_sounds, monkeypatch):
    def load(*_arguments, **_options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("compactcli.inference.load_model", load)
    assert run_compact("detect", two_sounds, "--threshold", "x")[0] == 2


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv"])
def test_a_sound_shorter_than_times_are_written_is_no_event(name, run_compact, write_recording, tmp_path):
    write_recording("few.wav", np.full(5, 0.5, np.float32))
    output = tmp_path / f"out.{name}"
    assert run_compact("detect", tmp_path / "few.wav", "--threshold", 0, "-o", output) == (0, "", "")
    expected = {
        "jsonl": '"duration": 0.0,',
        "csv": f"\n{tmp_path}/few.wav,ok,0.000,,,,,\n",
        "tsv": f"\n{tmp_path}/few.wav\t\t\t\n",
    }
    assert expected[name] in output.read_text()
    assert "loud" not in output.read_text()


def test_scenes_besides_the_events(run_compact, two_sounds):
    n_scenes = [
        len(json.loads(run_compact("detect", two_sounds, *words)[1])["scenes"])
        for words in ([], ["--top-k", 1], ["--top-k", 2])
    ]
    assert n_scenes == [3, 1, 2]
    assert run_compact("detect", two_sounds, "--top-k", 0)[0] == 2


def test_the_shell_names_as_many_scenes_as_python():
    assert options.DEFAULT_TOP_K == inference.DEFAULT_TOP_K
    assert options.LARGEST_GAIN_DB == inference.LARGEST_GAIN_DB


def test_quiet_recordings_are_raised(run_compact, two_sounds):
    def labels(*words):
        code, out, _ = run_compact("detect", two_sounds, *words)
        assert code == 0
        return [(event["label"], event["onset"]) for event in json.loads(out)["events"] if event["label"] != "any"]

    assert labels("--gain", 0) == labels() == [("loud", 1.0), ("faint", 3.0)]
    assert labels("--gain", 20) == [("loud", 1.0), ("loud", 3.0)]
    assert labels("--gain", -12) == [("faint", 1.0), ("faint", 3.0)]


def test_excluded_classes(run_compact, two_sounds):
    _, out, _ = run_compact("detect", "--exclude", "any, faint", two_sounds)
    assert detected(out) == [("loud", 1.0, 2.0)]
    code, _, err = run_compact("detect", "--exclude", "hiss", two_sounds)
    assert code == 2
    assert "'hiss' is not an event class" in err


def test_hysteresis(run_compact, two_sounds):
    # 0.018 is the probability of what is not there, 0.982 that of what is
    words = ["detect", "--classes", "loud", "--threshold", 0.9, two_sounds]
    assert detected(run_compact(*words, "--hysteresis", 0.8)[1]) == [("loud", 1.0, 2.0)]
    assert detected(run_compact(*words, "--hysteresis", 0.89)[1]) == [("loud", 1.0, 5.0)]
    assert run_compact(*words, "--hysteresis", 2)[0] == 2


def test_frame_scores(run_compact, two_sounds, tmp_path, write_tone):
    table = "onset\toffset\tloud\tfaint\n"
    words = ["detect", "--format", "scores-tsv", "--classes", "loud,faint"]
    code, out, _ = run_compact(*words, two_sounds)
    lines = out.splitlines()
    assert code == 0
    assert out.startswith(table)
    assert len(lines) == 1 + 125
    assert lines[26] == "1.000000\t1.040000\t0.982014\t0.017986"
    assert lines[-1].startswith("4.960000\t5.000000\t")
    odd = write_tone("odd.wav", 2.03)
    assert run_compact(*words, two_sounds, odd, "--output-dir", tmp_path / "out", "--format", "json")[0] == 0
    assert (tmp_path / "out/two.wav.tsv").read_text() == out
    assert (tmp_path / "out/odd.wav.tsv").read_text().splitlines()[-1].startswith("2.000000\t2.030000\t")
    assert run_compact(*words, two_sounds, "--output", tmp_path / "two.tsv")[0] == 0
    assert (tmp_path / "two.tsv").read_text() == out
    (tmp_path / "bad.wav").write_text("no audio")
    assert run_compact(*words, tmp_path / "bad.wav", "--output", tmp_path / "bad.tsv")[0] == 1
    assert not (tmp_path / "bad.tsv").exists()
