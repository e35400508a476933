"""A labelled corpus becomes recordings with classes and splits, and a bank of their log-mels.

Labels come from the corpus' CSV files through the recipe; splits go by *source recording* (the
Freesound recording behind a clip, a speaker, a music track, an ambience loop), never by clip.
"""

import csv
import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compactcli.errors import ManifestError
from compactcli.recipe import CORPUS_FOLDERS, Recipe, SplitConfig

TRAIN, VALIDATION, TEST, DROPPED = "train", "validation", "test", "dropped"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One labelled file of the corpus.

    Args:
        folder: Corpus folder, such as ``esc50``.
        file: Name relative to the folder's ``audio``.
        label: Label in the source.
        source: Source recording it was cut from; files that share it are on the same side of a split.
        split: ``train``, ``validation``, ``test`` or ``dropped``.
        event: Event class, or None.
        scene: Scene class that the recording is by itself, or None.
        activity: Labelled intervals in seconds where the corpus gives times, else None.
    """

    folder: str
    file: str
    label: str
    source: str
    split: str
    event: str | None = None
    scene: str | None = None
    activity: tuple[tuple[float, float], ...] | None = None

    @property
    def path(self) -> str:
        """Path relative to the corpus."""
        return f"{self.folder}/audio/{self.file}"

    @property
    def key(self) -> str:
        """Label with its folder, as scene layers name it."""
        return f"{self.folder}/{self.label}"


@dataclass(frozen=True, kw_only=True)
class _Row:
    folder: str
    file: str
    label: str
    source: str
    fold: str = ""


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a CSV file.

    Raises:
        ManifestError: The file cannot be read or lacks one of ``columns``.
    """
    try:
        # spreadsheets begin a table with a byte-order mark
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = sorted(set(columns) - set(reader.fieldnames or ()))
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"table '{path}' cannot be read: {error}", hint="point --corpus at the corpus") from error
    if missing:
        raise ManifestError(f"table '{path}' lacks the columns {missing}")
    return rows


def music_track(file: str) -> str:
    """Track behind an excerpt: the name without its start time and without the version of the mix."""
    return re.sub(r"(_(guitar|mix))?_\d+$", "", Path(file).stem)


def _rows(corpus: Path, used: Collection[str]) -> list[_Row]:
    def table(folder: str, *columns: str) -> list[dict[str, str]]:
        path = corpus / folder / f"{folder}.csv"
        # what nothing is taken from need not be there
        return read_table(path, columns) if folder in used or path.exists() else []

    rows = [
        _Row(folder="esc50", file=row["file"], label=row["category"], source=f"fs:{row['src_file']}", fold=row["fold"])
        for row in table("esc50", "file", "fold", "category", "src_file")
    ]
    for row in table("urbansound8k", "file", "fold", "class", "freesound_id"):
        source = f"fs:{row['freesound_id']}"
        rows.append(_Row(folder="urbansound8k", file=row["file"], label=row["class"], source=source, fold=row["fold"]))
    for row in table("ambience", "file", "label"):
        rows.append(_Row(folder="ambience", file=row["file"], label=row["label"], source=row["label"]))
    for row in table("speech", "file", "language", "speaker_or_package"):
        source = f"{row['speaker_or_package']} {row['language']}"
        rows.append(_Row(folder="speech", file=row["file"], label="speech", source=source))
    for row in table("music", "file"):
        rows.append(_Row(folder="music", file=row["file"], label="music", source=music_track(row["file"])))
    for row in table("effects", "file", "label"):
        rows.append(_Row(folder="effects", file=row["file"], label=row["label"], source=Path(row["file"]).stem))
    return rows


def share_of(name: str) -> float:
    """A number in [0, 1) that depends on the name alone: the same split on every machine, for ever."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def split_of(row: _Row, split: SplitConfig, tested: frozenset[str]) -> str:
    """Side of the split that a row is on.

    Args:
        row: What is to be placed.
        split: What is held out.
        tested: Sources of which a row of any folder is on the test side.
    """
    if (split.folders and row.folder not in split.folders) or row.file in split.dropped.get(row.folder, ()):
        return DROPPED
    if (
        row.fold in split.test_folds.get(row.folder, ())
        or row.source in split.test_sources.get(row.folder, ())
        or row.file.startswith(split.test_prefixes.get(row.folder, ()) or ("\0",))
        or share_of(f"test {row.folder} {row.source}") < split.test_share.get(row.folder, 0.0)
    ):
        return TEST
    if row.source in tested:
        # the same Freesound recording stands on the test side of another folder
        return DROPPED
    in_validation = share_of(f"validation {row.source}") < split.validation_share
    may_validate = not split.validation_folders or row.folder in split.validation_folders
    return VALIDATION if in_validation and may_validate else TRAIN


def _splits(rows: list[_Row], split: SplitConfig) -> list[str]:
    tested = frozenset(row.source for row in rows if split_of(row, split, frozenset()) == TEST)
    sides = [split_of(row, split, tested) for row in rows]
    validated = {row.source for row, side in zip(rows, sides, strict=True) if side == VALIDATION}
    # a folder that gives no validation recordings may still share a source with one that does
    return [
        DROPPED if side == TRAIN and row.source in validated else side for row, side in zip(rows, sides, strict=True)
    ]


def _activities(corpus: Path, folder: str) -> dict[str, tuple[tuple[float, float], ...]]:
    path = corpus / folder / "segments.csv"
    if not path.exists():
        return {}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in read_table(path, ("file", "onset_s", "offset_s")):
        try:
            onset_s, offset_s = float(row["onset_s"]), float(row["offset_s"])
        except (TypeError, ValueError):  # of a row that is cut, too
            onset_s = offset_s = math.nan
        if not 0 <= onset_s < offset_s < math.inf:
            raise ManifestError(
                f"table '{path}' says that '{row['file']}' sounds from {row['onset_s']!r} to {row['offset_s']!r},"
                " expected seconds, the later ones second"
            )
        found.setdefault(row["file"], []).append((onset_s, offset_s))
    return {file: tuple(intervals) for file, intervals in found.items()}


def _event_of(row: _Row, recipe: Recipe) -> str | None:
    named = recipe.events.labels.get(row.folder, {}).get(row.label)
    if named is None and row.folder in recipe.events.identity and row.label in recipe.events.classes:
        return row.label
    return named


def _scene_of(row: _Row, recipe: Recipe) -> str | None:
    for scene, sources in recipe.scenes.items():
        if row.label in sources.recordings.get(row.folder, ()):
            return scene
    return None


def doubts(recipe: Recipe, recordings: Sequence[Recording]) -> list[str]:
    """What in a recipe means nothing in its corpus, and so may be misspelled, a sentence each.

    Args:
        recipe: Classes and splits.
        recordings: All of the corpus, dropped ones too.
    """
    labels = {item.key for item in recordings}
    trained = {item.key for item in recordings if item.split == TRAIN}
    events = {item.event for item in recordings if item.split == TRAIN}
    untaught = {"events": [name for name in recipe.events.classes if name not in events], "scenes": []}
    unknown = []
    for name, scene in recipe.scenes.items():
        own = {f"{folder}/{label}" for folder, names in scene.recordings.items() for label in names}
        layered = {label for layer in scene.layers for label in layer.labels}
        if not (own | layered) & trained:
            untaught["scenes"].append(name)
        unknown += [f"scene '{name}' names '{label}', which the corpus does not have" for label in sorted(own - labels)]
    found = [f"no recording trains the {kind} {', '.join(names)}" for kind, names in untaught.items() if names]
    split = recipe.split
    tables = (split.test_folds, split.test_sources, split.test_prefixes, split.test_share)
    for folder in sorted({folder for table in tables for folder, names in table.items() if names}):
        sides = {item.split for item in recordings if item.folder == folder}
        if TRAIN in sides and TEST not in sides:
            unknown.append(f"nothing of {folder} is held out for testing, though [split] names it")
    return found + unknown


def read_corpus(corpus: Path, recipe: Recipe) -> list[Recording]:
    """All recordings of the corpus with their classes and splits, in the order of its tables.

    Args:
        corpus: Folder with those of `CORPUS_FOLDERS` that the recipe uses.
        recipe: Classes and splits.

    Raises:
        ManifestError: A table is missing, lacks a column, or has a time that is none.
    """
    rows = _rows(corpus, recipe.split.folders or CORPUS_FOLDERS)
    activities: Mapping[str, dict[str, tuple[tuple[float, float], ...]]] = {
        folder: _activities(corpus, folder) for folder in ("esc50", "speech")
    }
    return [
        Recording(
            folder=row.folder,
            file=row.file,
            label=row.label,
            source=row.source,
            split=side,
            event=_event_of(row, recipe),
            scene=_scene_of(row, recipe),
            activity=activities.get(row.folder, {}).get(row.file),
        )
        for row, side in zip(rows, _splits(rows, recipe.split), strict=True)
    ]
