import json

import pytest

from compactcli import benchmark as measuring
from compactcli.benchmark.processes import ProcessRun
from compactcli.cli import bench as command
from compactcli.cli.app import main
from compactcli.cli.console import result_console
from compactcli.engine.torch import TorchEngine

STAGES = ["decode", "log-mel", "network", "features and network", "post-processing", "end to end"]


@pytest.fixture
def commands(monkeypatch):
    """Commands of their own are not run, but noted, and take 1, 2 and 4 seconds."""
    ran = []

    def run(words):
        ran.append(words)
        return ProcessRun(seconds=2.0 ** (len(ran) % 3), peak_bytes=50_000_000 * (len(ran) % 3 + 1))

    def measure(commands, *, repeats, on_round):
        return startup(commands, repeats=repeats, run=run, on_round=on_round)

    startup = measuring.measure_startup
    monkeypatch.setattr("compactcli.benchmark.measure_startup", measure)
    monkeypatch.setattr("compactcli.benchmark.find_peers", lambda: {})
    return ran


@pytest.fixture
def run(folder, commands, capsys):
    """Measure the tiny model in one round: exit code, standard output and standard error."""

    def run_words(*words):
        capsys.readouterr()
        code = main([str(word) for word in ["bench", "--model", folder, "--repeats", "1", *words]])
        out, err = capsys.readouterr()
        return code, out, err

    return run_words


def test_a_recording_is_made_and_every_stage_measured(run, commands):
    code, out, err = run("--minutes", "0.05", "--device", "cpu")
    assert (code, err) == (0, "")
    report = json.loads(out)
    programs = {item["program"]: [] for item in report["stages"]}
    for item in report["stages"]:
        programs[item["program"]].append(item["stage"])
        assert item["speed"] * item["seconds"][0] == pytest.approx(3.0)
        assert len(item["seconds"]) == 1
    assert programs == {
        "compact onnx": STAGES,
        "compact torch": ["log-mel", "network", "features and network", "end to end"],
    }
    keys = ("model", "device", "recordings", "duration", "repeats")
    assert [report[key] for key in keys] == ["tiny", "cpu", None, 3.0, 1]
    assert set(report["machine"]) >= {"processor", "cores", "python", "packages", "load_average"}
    # the second of two rounds counts: 2, 4 and 1 seconds
    assert [item["seconds"] for item in report["startup"]] == [[2.0], [4.0], [1.0]]
    assert [item["times_torch_import"] for item in report["startup"]] == [2.0, 4.0, None]
    assert [item["times_torch_memory"] for item in report["startup"]] == [2.0, 3.0, None]
    assert len(commands) == 6


def test_what_classify_is_given_is_there(run, monkeypatch):
    seen = []

    def make_commands(folder, recording, *, engine, device, precision):
        from compactcli.audio import read_audio

        seen.append((engine, device, precision, len(read_audio(recording, sample_rate=16000))))
        return {"one": ["one"]}

    monkeypatch.setattr("compactcli.benchmark.startup_commands", make_commands)
    code, out, _ = run("--minutes", "0.05", "--engine", "onnx", "--no-peers")
    assert (code, seen) == (0, [("onnx", "auto", "fp32", 160_000)])
    assert json.loads(out)["startup"][0]["times_torch_import"] is None


def test_bfloat16_stands_beside_the_exact_engine(run, write_tone):
    code, out, _ = run(write_tone(), "--precision", "bf16", "--device", "cpu", "--format", "json")
    assert code == 0
    assert {"compact torch bf16", "compact torch"} <= {item["program"] for item in json.loads(out)["stages"]}


def test_the_exact_engine_runs_where_the_other_does(run, write_tone, monkeypatch):
    asked = []

    def load(folder, *, device, engine, precision="fp32"):
        asked.append((device, precision))
        loaded = TorchEngine(folder, device="cpu", precision=precision)
        loaded.device = "cuda:7"
        return loaded

    monkeypatch.setattr("compactcli.engine.load_engine", load)
    assert run(write_tone(), "--precision", "bf16", "--device", "cuda", "--format", "json")[0] == 0
    assert asked == [("cuda", "bf16"), ("cuda:7", "fp32")]


def test_own_recordings_and_the_torch_engine(run, write_tone):
    path = write_tone(duration_s=2.0)
    code, out, _ = run(path, "--engine", "torch", "--device", "cpu", "--format", "json")
    report = json.loads(out)
    assert (code, report["recordings"], report["duration"]) == (0, [str(path)], 2.0)
    assert {item["program"] for item in report["stages"]} == {"compact torch"}


def test_peers_can_be_left_out(run, write_tone, monkeypatch):
    monkeypatch.setattr("compactcli.benchmark.find_peers", lambda: {"other": len})
    with_peers, without = (
        [item["program"] for item in json.loads(out)["stages"]]
        for out in (
            run(write_tone(), "--device", "cpu")[1],
            run(write_tone(), "--device", "cpu", "--no-peers")[1],
        )
    )
    assert set(with_peers) == {"compact onnx", "compact torch", "other"}
    assert set(without) == {"compact onnx"}


def test_a_light_install_measures_what_it_has(run, write_tone, monkeypatch):
    monkeypatch.setattr("compactcli.packages.is_installed", lambda name: name == "onnxruntime")
    code, out, _ = run(write_tone())
    assert code == 0
    assert {item["program"] for item in json.loads(out)["stages"]} == {"compact onnx"}


def test_a_table_is_for_eyes(run, write_tone):
    code, out, err = run(write_tone(duration_s=2.0), "--device", "cpu", "--format", "table")
    assert (code, err) == (0, "")
    lines = [line.split("  ") for line in out.splitlines()]
    assert lines[2] == ["tiny on cpu, 0.03 minutes of audio, 1 recordings; median of 1 round"]
    assert [line[0] for line in lines[5:11]] == ["compact onnx"] * 6
    assert "of the decoder alone" in lines[5]
    assert "compact --help" in out and "x torch's time" in out


def report_of(*seconds):
    timing = measuring.Timing(seconds=seconds)
    stage = measuring.Stage(program="[red]one[/]", name="decode", timing=timing, duration_s=3600.0)
    return measuring.Report(
        machine=measuring.describe_machine(),
        model="[/b]",
        device="cpu",
        recordings=None,
        stages=(stage,),
        startup=(measuring.Startup(name="other", timing=timing, peak_bytes=None),),
    )


def as_text(report):
    console = result_console(to_terminal=False)
    with console.capture() as capture:
        command._print(console, report)
    return capture.get()


def test_unsteady_figures_are_marked():
    text = as_text(report_of(1.0, 2.0, 3.0))
    assert text.splitlines()[-1] == "~ the repeats differ by more than 10 % of the median"
    assert text.splitlines()[5].split()[1:6] == ["decode", "1,800", "1,200", "3,600", "~"]
    assert "~" not in as_text(report_of(2.0, 2.0, 2.1))


def test_names_are_not_read_as_markup():
    text = as_text(report_of(1.0))
    assert "[/b] on cpu, 60.00 minutes of audio, made for it; median of 1 round" in text
    assert "[red]one[/]" in text


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (100.4, "100"), (99.95, "100"), (1.234, "1.23")])
def test_numbers_have_three_digits_that_count(value, text):
    assert command._number(value) == text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--minutes", "0"], 2, "--minutes is 0, expected 0.01 to 1440"),
        (["--minutes", "nan"], 2, "--minutes is nan, expected 0.01 to 1440"),
        (["a.wav", "--minutes", "3"], 2, "--minutes 3 came with recordings, which are as long as they are"),
        (["--repeats", "0"], 2, "Invalid value for '--repeats'"),
        (["--engine", "jax"], 2, "Invalid value for '--engine'"),
        (["--device", "tpu"], 2, "device 'tpu' is unknown"),
        (["--engine", "onnx", "--device", "cuda"], 2, "engine 'onnx' was asked for with device 'cuda'"),
        (["--model", "no-such-model"], 2, "no-such-model"),
        (["missing.wav"], 2, "missing.wav does not exist, expected a recording"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(run, commands, words, code, message):
    found, out, err = run(*words)
    assert (found, out, commands) == (code, "", [])
    assert message in " ".join(err.replace("│", " ").split())


def test_progress_counts_rounds(run, write_tone, on_terminal):
    on_terminal()
    _, out, err = run(write_tone(), "--device", "cpu", "--format", "json")
    assert json.loads(out)["repeats"] == 1
    assert "rounds of stages" in err and "rounds of start-up" in err
    assert run(write_tone(), "--device", "cpu", "--quiet")[2] == ""
