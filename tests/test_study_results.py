import dataclasses
import json

import pytest
import torch

from compactcli.cli.study import TASKS
from compactcli.complexity import layer_costs
from compactcli.errors import CompactError, ConfigError
from compactcli.study.digits import DESIGN as DIGITS
from compactcli.study.folds import write_figures
from compactcli.study.latency import write_latencies
from compactcli.study.picture import draw_study
from compactcli.study.results import Run, append_run, read_runs
from compactcli.study.running import DESIGNS, Cell, cells, make_task, run_study
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import BASELINE, PARAMETERS, Variant, variant_config, variants

RUN = Run(
    task="digits",
    variant=Variant(group_size=2, operation="max", matched=PARAMETERS),
    seed=2,
    score=0.5,
    parameters=10,
    macs=20,
    widths=(4, 8),
    seconds=1.5,
    settings=DIGITS.settings,
)


class Guess:
    """A task without data: a network's score is its number of parameters."""

    design: TaskDesign = dataclasses.replace(
        DIGITS, optimisation=dataclasses.replace(DIGITS.optimisation, steps=2, warmup_steps=1)
    )

    def loss(self, network, rng):
        scenes, _ = network(torch.zeros(2, 16, 16))
        return scenes.square().mean()

    def score(self, network):
        assert not network.training
        return sum(item.numel() for item in network.parameters()) / 1e6


def test_runs_are_lines_that_are_read_again(tmp_path):
    path = tmp_path / "new/results.jsonl"
    assert read_runs(path, [DIGITS]) == []
    other = dataclasses.replace(RUN, seed=3, score=0.25)
    append_run(path, RUN)
    append_run(path, other)
    assert read_runs(path, [DIGITS]) == [RUN, other]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert RUN.cell == ("digits", RUN.variant, 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"'.*results.jsonl', line 1, is no JSON: "),
        ("{}", r"results.jsonl, line 1, lacks the settings \['task', "),
        (json.dumps({"task": "chess"}), r"results.jsonl, line 1, lacks the settings \['variant'"),
    ],
)
def test_lines_that_are_no_runs_are_refused(tmp_path, line, message):
    path = tmp_path / "results.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_runs(path, [DIGITS])


def test_a_run_that_was_not_written_to_its_end_is_done_again(tmp_path):
    path = tmp_path / "results.jsonl"
    append_run(path, RUN)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + whole[:40], encoding="utf-8")
    assert read_runs(path, [DIGITS]) == [RUN]
    other = dataclasses.replace(RUN, seed=3)
    append_run(path, other)
    assert read_runs(path, [DIGITS]) == [RUN, other]


def test_results_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(ConfigError, match=r"results '.*' cannot be read: .*Is a directory"):
        read_runs(tmp_path, [DIGITS])
    (tmp_path / "file").touch()
    for write in (
        append_run,
        write_latencies,
        lambda path, _: write_figures(path, []),
        lambda path, _: draw_study([RUN], DESIGNS, path),
    ):
        with pytest.raises(CompactError, match=r"cannot be written \(.*\), expected room and the right to write"):
            write(tmp_path / "file/there.png", RUN)


@pytest.mark.parametrize("changes", [{"settings": "600 steps"}, {"task": "chess"}])
def test_runs_of_other_settings_are_refused(tmp_path, changes):
    append_run(tmp_path / "results.jsonl", RUN)
    append_run(tmp_path / "results.jsonl", dataclasses.replace(RUN, **changes))
    with pytest.raises(ConfigError, match=r"results.jsonl', line 2, is of other settings than task '.*' has") as caught:
        read_runs(tmp_path / "results.jsonl", [DIGITS])
    assert caught.value.hint == "give another --output folder, or remove the file to start afresh"


def test_the_first_seed_of_everything_comes_first():
    asked = cells(("clips", "digits"), 2)
    assert len(asked) == len(set(asked)) == 2 * 2 * 23
    assert [cell.seed for cell in asked] == [1] * 46 + [2] * 46
    assert asked[0] == Cell(task="digits", variant=BASELINE, seed=1)
    assert [cell.task for cell in asked[:46]] == ["digits"] * 23 + ["clips"] * 23
    assert [cell.variant for cell in asked[:23]] == list(variants())


def test_a_stopped_study_goes_on(tmp_path, monkeypatch):
    made, reported = [], []
    monkeypatch.setattr("compactcli.study.running.make_task", lambda name, **_: made.append(name) or Guess())
    monkeypatch.setattr("compactcli.study.running.DESIGNS", (Guess.design,))
    monkeypatch.setattr("compactcli.study.running.variants", lambda: variants()[:3])
    options = {"corpus": tmp_path, "cache": tmp_path, "tasks": ("digits",), "device": torch.device("cpu")}

    def report(done, total, run):
        reported.append((done, total, run.seed))
        if len(reported) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path, n_seeds=2, report=report, **options)
    runs = run_study(tmp_path, n_seeds=2, report=report, **options)
    assert reported == [(1, 6, 1), (2, 6, 1), (3, 6, 1), (4, 6, 2), (5, 6, 2), (6, 6, 2)]
    assert [run.cell for run in runs] == [(cell.task, cell.variant, cell.seed) for cell in cells(("digits",), 2)]
    assert run_study(tmp_path, n_seeds=2, **options) == runs == read_runs(tmp_path / "results.jsonl", [Guess.design])
    # the last call had nothing to do, so it loaded nothing
    assert made == ["digits", "digits"]


def test_a_run_says_what_its_network_costs(tmp_path, monkeypatch):
    monkeypatch.setattr("compactcli.study.running.make_task", lambda name, **_: Guess())
    monkeypatch.setattr("compactcli.study.running.DESIGNS", (Guess.design,))
    monkeypatch.setattr("compactcli.study.running.variants", lambda: variants()[:2])
    runs = run_study(
        tmp_path, corpus=tmp_path, cache=tmp_path, tasks=("digits",), n_seeds=1, device=torch.device("cpu")
    )
    for run in runs:
        shape = Guess.design.shape
        network = shape.build(run.variant)
        unused = sum(item.numel() for item in network.event_head.parameters())
        assert run.parameters == sum(item.numel() for item in network.parameters()) - unused
        assert run.score == pytest.approx((run.parameters + unused) / 1e6, abs=1e-5)
        costs = layer_costs(network, Guess.design.features)
        assert run.macs == sum(cost.macs_per_s for cost in costs if cost.name != "event_head")
        assert run.widths == (16, 32, 64)
        assert variant_config(shape, run.variant).group_size == run.variant.group_size


def test_tasks_go_by_their_names(tmp_path, monkeypatch):
    asked = []
    for name in ("Clips", "Soundscapes"):
        monkeypatch.setattr(
            f"compactcli.study.running.{name}", lambda corpus, **options: asked.append(corpus) or options
        )
    monkeypatch.setattr("compactcli.study.running.Digits", lambda device: {"device": device})
    options = {"cache": tmp_path / "cache", "device": torch.device("cpu"), "loading": print}
    for name in ("clips", "soundscapes"):
        assert make_task(name, corpus=tmp_path, **options) == options
    assert asked == [tmp_path, tmp_path]
    assert make_task("digits", corpus=None, **options) == {"device": options["device"]}
    with pytest.raises(ConfigError, match="no corpus was given for the task clips, expected a folder of labelled"):
        make_task("clips", corpus=None, **options)
    assert {design.name for design in DESIGNS} == set(TASKS)
