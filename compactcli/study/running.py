"""The runs of the interchannel study, one after the other, in an order that is useful wherever it stops."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from compactcli.complexity import layer_costs
from compactcli.errors import ConfigError
from compactcli.study.clips import DESIGN as CLIPS
from compactcli.study.clips import Clips
from compactcli.study.digits import DESIGN as DIGITS
from compactcli.study.digits import Digits
from compactcli.study.results import Run, append_run, read_runs
from compactcli.study.soundscapes import DESIGN as SOUNDSCAPES
from compactcli.study.soundscapes import Soundscapes
from compactcli.study.tasks import Task, TaskDesign, fit
from compactcli.study.variants import Variant, variant_config, variants, widths

# the quickest first
DESIGNS: tuple[TaskDesign, ...] = (DIGITS, CLIPS, SOUNDSCAPES)
RESULTS = "results.jsonl"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run that the study asks for.

    Args:
        task: Name of the task.
        variant: Which network.
        seed: From 1 on.
    """

    task: str
    variant: Variant
    seed: int


def cells(tasks: Sequence[str], n_seeds: int) -> list[Cell]:
    """All runs: every variant of every task with the first seed, then with the second, and so on.

    Args:
        tasks: Names of tasks, in any order.
        n_seeds: Seeds of each.
    """
    return [
        Cell(task=design.name, variant=variant, seed=seed)
        for seed in range(1, n_seeds + 1)
        for design in DESIGNS
        if design.name in tasks
        for variant in variants()
    ]


def run_study(
    output: Path,
    *,
    corpus: Path | None,
    cache: Path,
    tasks: Sequence[str],
    n_seeds: int,
    device: torch.device,
    loading: Callable[[int, int], None] = lambda done, total: None,
    report: Callable[[int, int, Run], None] = lambda done, total, run: None,
) -> list[Run]:
    """Do every run that is not in the results yet.

    Args:
        output: Folder with the results; each run is added as it finishes.
        corpus: Corpus folder; digits alone need none.
        cache: Folder for cached log-mels.
        tasks: Names of the tasks to run.
        n_seeds: Seeds of each.
        device: Where to train.
        loading: Called with recordings loaded and in all.
        report: Called after each run with runs done, runs in all, and the run.

    Returns:
        All runs of the results.

    Raises:
        ConfigError: The results are of other settings than the tasks have now, or a task needs a corpus.
        ManifestError: The corpus' tables do not fit.
    """
    path = output / RESULTS
    done = read_runs(path, DESIGNS)
    asked = cells(tasks, n_seeds)
    finished = {run.cell for run in done}
    missing = [cell for cell in asked if (cell.task, cell.variant, cell.seed) not in finished]
    loaded: dict[str, Task] = {}
    for number, cell in enumerate(missing, start=len(asked) - len(missing) + 1):
        if cell.task not in loaded:
            loaded[cell.task] = make_task(cell.task, corpus=corpus, cache=cache, device=device, loading=loading)
        run = run_cell(loaded[cell.task], cell, device=device)
        append_run(path, run)
        done.append(run)
        report(number, len(asked), run)
    return done


def make_task(
    name: str, *, corpus: Path | None, cache: Path, device: torch.device, loading: Callable[[int, int], None]
) -> Task:
    """A task with its data.

    Raises:
        ConfigError: It needs a corpus.
        ManifestError: The corpus' tables do not fit.
    """
    if name == DIGITS.name:
        return Digits(device)
    if corpus is None:
        raise ConfigError(f"no corpus was given for the task {name}, expected a folder of labelled recordings")
    task = Clips if name == CLIPS.name else Soundscapes
    return task(corpus, cache=cache, device=device, loading=loading)


def run_cell(task: Task, cell: Cell, *, device: torch.device) -> Run:
    """Train and score one network."""
    design = task.design
    config = variant_config(design.shape, cell.variant)
    started = time.process_time()
    network = fit(task, cell.variant, cell.seed, device=device)
    seconds = time.process_time() - started
    costs = layer_costs(network, design.features)
    return Run(
        task=design.name,
        variant=cell.variant,
        seed=cell.seed,
        score=round(task.score(network), 5),
        parameters=design.shape.n_parameters(config),
        macs=sum(cost.macs_per_s for cost in costs if design.shape.counts(cost.name)),
        widths=widths(config),
        seconds=round(seconds, 1),
        settings=design.settings,
    )
