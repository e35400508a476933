"""The recordings that the study's audio tasks learn from and are scored on, with their log-mels.

Both tasks train on ESC-50's folds 1 to 3 and are scored on fold 4. Fold 5 takes no part: the shipped models are
measured on it, and what the study finds may shape them.
"""

from collections.abc import Callable
from pathlib import Path

from compactcli.bank import LogMelBank, load_bank
from compactcli.datasets import DROPPED, TEST, Recording, read_corpus, read_table
from compactcli.recipe import Recipe, SplitConfig

SCORED_FOLD = "4"
UNTOUCHED_FOLD = "5"


def study_split(*, beds: tuple[str, ...] = ()) -> SplitConfig:
    """The split of both tasks.

    Args:
        beds: Ambiences that are on the side that is scored.
    """
    return SplitConfig(
        test_folds={"esc50": (SCORED_FOLD, UNTOUCHED_FOLD)}, test_sources={"ambience": beds}, validation_share=0.0
    )


def esc50_categories(corpus: Path, *, esc10: bool = False) -> tuple[str, ...]:
    """Names of ESC-50's categories in alphabetical order; of ESC-10's only, if asked.

    Raises:
        ManifestError: The table cannot be read.
    """
    rows = read_table(corpus / "esc50/esc50.csv", ("category", "esc10"))
    return tuple(sorted({row["category"] for row in rows if not esc10 or row["esc10"] == "True"}))


def load_study_bank(
    corpus: Path,
    recipe: Recipe,
    *,
    wanted: Callable[[Recording], bool],
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LogMelBank:
    """Log-mels of the recordings that a task uses.

    Args:
        corpus: Corpus folder.
        recipe: Classes and split.
        wanted: Whether a recording may be used, besides that fold 5 never is.
        cache: Folder for cached log-mels.
        progress: Called with recordings loaded and in all.

    Raises:
        ManifestError: The corpus' tables do not fit.
        AudioError: A recording cannot be decoded.
    """
    recordings = [
        item
        for item in read_corpus(corpus, recipe)
        if item.split != DROPPED and wanted(item) and not _is_untouched(item)
    ]
    return load_bank(corpus, recordings, recipe, cache=cache, progress=progress)


def _is_untouched(item: Recording) -> bool:
    # the name of an ESC-50 file begins with its fold
    return item.folder == "esc50" and item.split == TEST and item.file.startswith(f"{UNTOUCHED_FOLD}-")
