import dataclasses

import pytest
import torch

from compactcli.errors import ConfigError
from compactcli.study.digits import DESIGN as DIGITS
from compactcli.study.latency import Latencies, Latency, measure_latencies, read_latencies, write_latencies
from compactcli.study.results import Run
from compactcli.study.soundscapes import DESIGN as SOUNDSCAPES
from compactcli.study.tables import interchannel_table, mean_and_spread, scores_of
from compactcli.study.variants import BASELINE, PARAMETERS, WIDTH, Variant, variants

MAX = Variant(group_size=2, operation="max", matched=WIDTH)
WIDE = Variant(group_size=4, operation="lse", matched=PARAMETERS)


def run(variant, seed, score, design=DIGITS):
    return Run(
        task=design.name,
        variant=variant,
        seed=seed,
        score=score,
        parameters=12345,
        macs=1_500_000,
        widths=(4,),
        seconds=1.0,
        settings=design.settings,
    )


RUNS = [
    run(BASELINE, 1, 0.90),
    run(BASELINE, 2, 0.94),
    run(MAX, 1, 0.88),
    run(MAX, 2, 0.93),
    run(WIDE, 2, 0.95),
    run(WIDE, 3, 0.40),
    run(MAX, 1, 0.11, SOUNDSCAPES),
]
LATENCIES = Latencies(
    machine="here",
    repeats=3,
    networks=(Latency(task="digits", variant=MAX, device="cpu", median_ms=0.04567, quartiles_ms=(0.04, 0.05)),),
)


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_mean_and_spread():
    assert mean_and_spread([1.0]) == (1.0, None)
    mean, spread = mean_and_spread([1.0, 3.0])
    assert (mean, spread) == (2.0, pytest.approx(2**0.5))


def test_scores_by_seed():
    assert scores_of(RUNS, "digits", MAX) == {1: 0.88, 2: 0.93}
    assert scores_of(RUNS, "soundscapes", MAX) == {1: 0.11}
    assert scores_of(RUNS, "clips", MAX) == {}


def test_the_table_of_a_task():
    digits, soundscapes = interchannel_table(RUNS, LATENCIES, [DIGITS, SOUNDSCAPES]).split("\n\n**")
    lines = digits.splitlines()
    assert lines[0] == "**image classification, scikit-learn's digits**"
    assert cells_of(lines[2])[2:4] == ["M multiply-accumulates / image", "accuracy, %"]
    assert cells_of(lines[4]) == ["separable", "12,345", "1.50", "92.0 ± 2.8", "", "2", "-"]
    assert cells_of(lines[5])[0] == "*as wide as separable*"
    # paired by seed: -2 and -1 points
    assert cells_of(lines[6]) == ["max, g = 2", "12,345", "1.50", "90.5 ± 3.5", "-1.5 ± 0.7", "2", "0.0457"]
    assert cells_of(lines[7])[0] == "*as many parameters as separable*"
    # seed 3 has no baseline, so one pair is left
    assert cells_of(lines[8]) == ["lse, g = 4", "12,345", "1.50", "67.5 ± 38.9", "+1.0", "2", "-"]
    assert len(lines) == 9
    assert len({line.count("|") for line in lines[2:]}) == 1
    assert soundscapes.startswith("event detection")
    assert "segment-based macro F1, %" in soundscapes
    assert "M multiply-accumulates / s " in soundscapes
    # without a baseline there is no difference
    assert cells_of(soundscapes.splitlines()[-1])[3:6] == ["11.0", "-", "1"]


def test_without_latencies_the_column_is_empty():
    table = interchannel_table(RUNS[:4], None, [DIGITS])
    assert all(cells_of(line)[-1] == "-" for line in table.splitlines() if line.startswith(("| sep", "| max")))


def test_a_gpu_gets_a_column(tmp_path):
    fast = Latency(task="digits", variant=MAX, device="cuda", median_ms=1.25, quartiles_ms=(1.2, 1.3))
    both = dataclasses.replace(LATENCIES, networks=(*LATENCIES.networks, fast))
    lines = interchannel_table(RUNS[:4], both, [DIGITS]).splitlines()
    assert cells_of(lines[2])[-2:] == ["ms for 1 image", "CUDA ms for 64 of them"]
    assert cells_of(lines[4])[-2:] == ["-", "-"]
    assert cells_of(lines[6])[-2:] == ["0.0457", "1.25"]
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_latencies_are_read_again(tmp_path):
    path = tmp_path / "new/latency.json"
    write_latencies(path, LATENCIES)
    assert read_latencies(path) == LATENCIES
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"latencies '.*latency.json' cannot be read: "):
        read_latencies(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"latency.json lacks the settings \['machine', 'repeats', 'networks'\]"):
        read_latencies(path)


def test_every_network_is_measured_in_every_round():
    rounds = []
    latencies = measure_latencies([DIGITS], repeats=2, on_round=lambda: rounds.append(1))
    assert len(rounds) == 3
    assert [item.variant for item in latencies.networks] == list(variants())
    for item in latencies.networks:
        low, high = item.quartiles_ms
        assert 0 < low <= item.median_ms <= high
    assert "onnxruntime" in latencies.machine
    assert "torch" not in latencies.machine
    assert latencies.repeats == 2


def test_batches_are_measured_beside_single_clips(monkeypatch):
    monkeypatch.setattr("compactcli.study.latency.variants", lambda: variants()[:2])
    # any device will do to see the path
    latencies = measure_latencies([DIGITS], repeats=1, gpu=torch.device("cpu"))
    assert [(item.variant, item.device) for item in latencies.networks] == [
        (variant, device) for device in ("cpu", "cuda") for variant in variants()[:2]
    ]
    assert "; cpu, torch " in latencies.machine


@pytest.mark.gpu
def test_a_gpu_is_measured(monkeypatch):
    monkeypatch.setattr("compactcli.study.latency.variants", lambda: variants()[:2])
    latencies = measure_latencies([DIGITS], repeats=1, gpu=torch.device("cuda"))
    assert torch.cuda.get_device_name() in latencies.machine
    assert all(item.median_ms > 0 for item in latencies.networks)


def test_the_picture_has_a_panel_a_task(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    from compactcli.study.picture import DOTS_PER_INCH, draw_study, rows

    assert rows()[:2] == ["max, g = 2", "min, g = 2"]
    assert len(rows()) == 11
    draw_study(RUNS, [DIGITS, SOUNDSCAPES], tmp_path / "two.png")
    draw_study(RUNS[:6], [DIGITS, SOUNDSCAPES], tmp_path / "one.png")
    two, one = imread(tmp_path / "two.png"), imread(tmp_path / "one.png")
    assert two.shape[1] - one.shape[1] == pytest.approx(4.2 * DOTS_PER_INCH, abs=1)
    # another score is another picture
    draw_study([*RUNS[:5], dataclasses.replace(RUNS[5], score=0.9)], [DIGITS], tmp_path / "other.png")
    assert (imread(tmp_path / "other.png") != one).any()
    assert (tmp_path / "two.png").stat().st_size < 100_000
