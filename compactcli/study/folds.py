"""Figures of ESC-50's official folds: one model a fold, gathered in one small file as they are finished.

What has not been measured stays missing: a mean over folds is given for all five of them only.
"""

import dataclasses
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compactcli.config import WEIGHTS
from compactcli.datasets import TEST
from compactcli.engine import Engine
from compactcli.errors import ConfigError, ManifestError, writing_to
from compactcli.evaluation import hear, tagging_metrics
from compactcli.heldout import HeldOut
from compactcli.plainjson import from_json, to_json
from compactcli.recipe import FOLDED, FOLDS, Recipe
from compactcli.temporary import whole_file


@dataclass(frozen=True, kw_only=True)
class FoldFigure:
    """Top-1 of one model on the fold that it was not trained on.

    Args:
        recipe: Name of the recipe.
        fold: Official fold of ESC-50, ``1`` to ``5``.
        seed: Seed of the training.
        accuracy: Share of right answers among ESC-50's categories, in [0, 1].
        clips: Clips of the fold.
        parameters: Trainable numbers of the whole network.
        steps: Optimiser steps.
        folders: Corpus folders that trained it; empty for all.
        taught: Whether a teacher's outputs were among its targets.
        weights: First 12 digits of the weights' sha256.
    """

    recipe: str
    fold: str
    seed: int
    accuracy: float
    clips: int
    parameters: int
    steps: int
    folders: tuple[str, ...]
    taught: bool
    weights: str

    @property
    def key(self) -> tuple[str, int, str]:
        """What it is the figure of; a model measured again takes the place of its former figure."""
        return self.recipe, self.seed, self.fold


@dataclass(frozen=True, kw_only=True)
class FoldTable:
    """Figures of one recipe and one seed over the folds.

    Args:
        recipe: Name of the recipe.
        seed: Seed of the training.
        parameters: Trainable numbers of the whole network.
        taught: Whether a teacher's outputs were among its targets.
        accuracy: Fold to its top-1; None where it is missing.
    """

    recipe: str
    seed: int
    parameters: int
    taught: bool
    accuracy: dict[str, float | None]

    @property
    def mean(self) -> float | None:
        """Mean of the five folds; None while one is missing."""
        found = [value for value in self.accuracy.values() if value is not None]
        return statistics.mean(found) if len(found) == len(FOLDS) else None


def held_fold(recipe: Recipe) -> str:
    """The one fold of ESC-50 that a recipe holds out.

    Raises:
        ConfigError: It holds out none, or more than one.
    """
    folds = recipe.split.test_folds.get(FOLDED, ())
    if len(folds) != 1 or folds[0] not in FOLDS:
        raise ConfigError(
            f"recipe '{recipe.name}' holds out the folds {list(folds)} of ESC-50, expected one of {', '.join(FOLDS)}",
            hint="train a model for each fold with compact train --fold",
        )
    return folds[0]


def measure_fold(
    engine: Engine, recipe: Recipe, corpus: Path, *, cache: Path, report: Callable[[], None] = lambda: None
) -> FoldFigure:
    """Top-1 of a model on its test fold, by the event head and among ESC-50's categories.

    Args:
        engine: The model.
        recipe: What it was trained by, as its folder says.
        corpus: Corpus folder.
        cache: Folder for cached log-mels.
        report: Called after every clip.

    Raises:
        ConfigError: The recipe does not hold out exactly one fold.
        ManifestError: The corpus' tables do not fit.
    """
    fold = held_fold(recipe)
    held_out = HeldOut(corpus, recipe, split=TEST, cache=cache)
    metrics, _ = tagging_metrics(lambda waveform: hear(engine, waveform), engine.config, held_out, FOLDED, report)
    if metrics is None:
        raise ManifestError(
            f"corpus '{corpus}' has no clips of ESC-50's fold {fold}", hint="point --corpus at the corpus"
        )
    options = recipe.optimisation
    return FoldFigure(
        recipe=recipe.name,
        fold=fold,
        seed=recipe.seed,
        accuracy=round(metrics.accuracy, 5),
        clips=metrics.n_clips,
        parameters=count_parameters(recipe),
        steps=options.steps,
        folders=recipe.split.folders,
        taught=options.has_teacher,
        weights=engine.config.sha256[WEIGHTS][:12],
    )


def count_parameters(recipe: Recipe) -> int:
    """Trainable numbers of a recipe's network, both heads too."""
    import torch

    from compactcli.training import build_network

    with torch.device("meta"):
        return sum(item.numel() for item in build_network(recipe).parameters())


def read_figures(path: Path) -> list[FoldFigure]:
    """Figures of a results file; a missing file holds none.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    if not path.exists():
        return []
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"results '{path}' cannot be read: {error}") from error
    if not isinstance(values, list):
        raise ConfigError(f"results '{path}' hold {type(values).__name__}, expected a list of figures")
    return [from_json(FoldFigure, value, where=f"{path}[{index}]") for index, value in enumerate(values)]


def write_figures(path: Path, figures: Iterable[FoldFigure]) -> None:
    """Write a results file, one figure a line, ordered by recipe, seed and fold.

    Raises:
        CompactError: The file cannot be written.
    """
    lines = [json.dumps(to_json(figure)) for figure in sorted(figures, key=lambda figure: figure.key)]
    with writing_to(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def updated(figures: Sequence[FoldFigure], new: FoldFigure) -> list[FoldFigure]:
    """The figures with one more, in place of the former one of the same recipe, seed and fold."""
    return [*(figure for figure in figures if figure.key != new.key), new]


def fold_tables(figures: Iterable[FoldFigure]) -> list[FoldTable]:
    """Figures by recipe and seed.

    Raises:
        ConfigError: Models of one recipe have different sizes or were taught differently.
    """
    groups: dict[tuple[str, int], list[FoldFigure]] = {}
    made_of: dict[str, FoldFigure] = {}
    for figure in sorted(figures, key=lambda item: item.key):
        groups.setdefault((figure.recipe, figure.seed), []).append(figure)
        made = dataclasses.replace(figure, fold="", seed=0, accuracy=0.0, clips=0, weights="")
        if made_of.setdefault(figure.recipe, made) != made:
            raise ConfigError(
                f"models of recipe '{figure.recipe}' differ in size, steps, folders or teacher",
                hint="give recipes that differ different names",
            )
    tables = []
    for (recipe, seed), members in groups.items():
        accuracy = {item.fold: item.accuracy for item in members}
        tables.append(
            FoldTable(
                recipe=recipe,
                seed=seed,
                parameters=members[0].parameters,
                taught=members[0].taught,
                accuracy={fold: accuracy.get(fold) for fold in FOLDS},
            )
        )
    return tables
