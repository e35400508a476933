"""The study's results as Markdown: pure functions of runs, latencies and fold figures."""

import itertools
import statistics
from collections.abc import Iterable, Sequence

from compactcli.recipe import FOLDS
from compactcli.study.folds import FoldTable
from compactcli.study.latency import CPU, CUDA, CUDA_BATCH, Latencies
from compactcli.study.results import Run
from compactcli.study.tasks import TaskDesign
from compactcli.study.variants import BASELINE, PARAMETERS, WIDTH, Variant, variants

MISSING = "-"


def interchannel_table(runs: Sequence[Run], latencies: Latencies | None, designs: Iterable[TaskDesign]) -> str:
    """One table a task: a row for every variant that has a run.

    Args:
        runs: In any order.
        latencies: Measured side by side; None leaves the column empty.
        designs: Tasks in the order of the tables; those without a run are left out.
    """
    parts = [_task_table(design, runs, latencies) for design in designs if any(run.task == design.name for run in runs)]
    return "\n".join(parts)


def scores_of(runs: Iterable[Run], task: str, variant: Variant) -> dict[int, float]:
    """Seed to score."""
    return {run.seed: run.score for run in runs if run.task == task and run.variant == variant}


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; one value has no spread."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def _task_table(design: TaskDesign, runs: Sequence[Run], latencies: Latencies | None) -> str:
    per = "image" if design.clip_name == "1 image" else "s"
    head = [
        "network",
        "parameters",
        f"M multiply-accumulates / {per}",
        f"{design.metric}, %",
        "against separable",
        "seeds",
        f"ms for {design.clip_name}",
    ]
    devices = [CPU]
    if latencies is not None and any(item.device == CUDA for item in latencies.networks):
        devices.append(CUDA)
        head.append(f"CUDA ms for {CUDA_BATCH} of them")
    lines = [f"**{design.title}**", "", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    baseline = scores_of(runs, design.name, BASELINE)
    matched = ""
    for variant in variants():
        found = [run for run in runs if run.task == design.name and run.variant == variant]
        if not found:
            continue
        if variant != BASELINE and variant.matched != matched:
            matched = variant.matched
            titles = {WIDTH: "*as wide as separable*", PARAMETERS: "*as many parameters as separable*"}
            lines.append(_row([titles[matched], *[""] * (len(head) - 1)]))
        scores = scores_of(runs, design.name, variant)
        lines.append(
            _row(
                [
                    variant.label,
                    f"{found[0].parameters:,}",
                    f"{found[0].macs / 1e6:.2f}",
                    _percent(list(scores.values())),
                    "" if variant == BASELINE else _difference(scores, baseline),
                    str(len(scores)),
                    *(_latency(latencies, design.name, variant, device) for device in devices),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _percent(values: Sequence[float]) -> str:
    mean, spread = mean_and_spread([100 * value for value in values])
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"


def _difference(scores: dict[int, float], baseline: dict[int, float]) -> str:
    # networks of one seed saw the same clips, so they are compared in pairs
    paired = [100 * (scores[seed] - baseline[seed]) for seed in scores if seed in baseline]
    if not paired:
        return MISSING
    mean, spread = mean_and_spread(paired)
    return f"{mean:+.1f}" if spread is None else f"{mean:+.1f} ± {spread:.1f}"


def _latency(latencies: Latencies | None, task: str, variant: Variant, device: str) -> str:
    if latencies is None:
        return MISSING
    wanted = (task, variant, device)
    found = [item for item in latencies.networks if (item.task, item.variant, item.device) == wanted]
    return f"{found[0].median_ms:.3g}" if found else MISSING


def fold_markdown(tables: Iterable[FoldTable]) -> str:
    """Top-1 of every fold in percent; what was not measured is a dash, and so is a mean that lacks a fold.

    Under a recipe with two or more seeds of which no fold is missing stands their mean with its standard deviation.

    Args:
        tables: Those of one recipe after one another.
    """
    head = ["recipe", "teacher", "parameters", "seed", *(f"fold {fold}" for fold in FOLDS), "mean of 5"]
    lines = [_row(head), _row(["---", "---", *["---:"] * (len(head) - 2)])]
    for recipe, members in itertools.groupby(tables, key=lambda table: table.recipe):
        seeds = list(members)
        made = [recipe, "yes" if seeds[0].taught else "no", f"{seeds[0].parameters:,}"]
        for table in seeds:
            lines.append(
                _row([*made, str(table.seed), *map(_accuracy, table.accuracy.values()), _accuracy(table.mean)])
            )
        means = [100 * table.mean for table in seeds if table.mean is not None]
        if len(means) > 1:
            mean, spread = statistics.mean(means), statistics.stdev(means)
            lines.append(_row([*made, f"{len(means)} seeds", *[""] * len(FOLDS), f"{mean:.2f} ± {spread:.2f}"]))
    return "\n".join(lines) + "\n"


def _accuracy(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.2f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
