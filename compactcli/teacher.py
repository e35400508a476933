"""Stored outputs of a tagger that knows more classes than we do: targets, and what it hears in our classes."""

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from compactcli.datasets import TRAIN, Recording, read_table
from compactcli.errors import ManifestError
from compactcli.recipe import Recipe

# probabilities are stored in half precision: nearer to 0 or 1 than this is noise
SMALLEST_PROBABILITY = 1e-5
# what keeps the bias of a class with hardly any recording from running away
BIAS_PENALTY = 1e-3
# classifiers on the embedding: each leaves out one of so many groups of sources
N_GROUPS = 5
# their penalty on squared weights: the one whose cross-fitted answers give the labels that train the lowest entropy
WEIGHT_PENALTIES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherOutputs:
    """Stored outputs of a tagger on 5 s windows.

    Args:
        classes: Names of its classes.
        probabilities: Shape ``(n_windows, n_teacher_classes)``.
        embeddings: Shape ``(n_windows, embedding_size)``, standardised per dimension by those that train.
        first: First window of each recording, shape ``(n_recordings,)``; -1 where it has none.
        count: Windows of each recording.
        tags: Share of each of our events, shape ``(n_windows, n_events)``; rows sum to 1, see `event_tags` and
            `embedding_shares`.
        scenes: Share of each of our scenes, shape ``(n_windows, n_scenes)``; rows sum to 1, or are 0 in a recipe whose
            scenes are learned from labels alone.
        middle_s: Middle of each window in its recording, in seconds, shape ``(n_windows,)``.
    """

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]
    first: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    tags: npt.NDArray[np.float32]
    scenes: npt.NDArray[np.float32]
    middle_s: npt.NDArray[np.float32]

    def window_at(self, recording: int, time_s: float) -> int | None:
        """The window whose middle is nearest to a time in a recording; None where the recording has none."""
        first, count = self.first[recording], self.count[recording]
        if count == 0:
            return None
        return int(first + np.abs(self.middle_s[first : first + count] - time_s).argmin())


def load_teacher(corpus: Path, recordings: Sequence[Recording], recipe: Recipe) -> TeacherOutputs:
    """Teacher outputs of ``recordings``, and what they mean in the recipe's events and scenes.

    A recipe that learns nothing from a teacher needs none: its outputs are no windows.

    Raises:
        ManifestError: A table is missing or damaged, or the recipe names a class that the teacher lacks.
    """
    if not recipe.optimisation.has_teacher and not recipe.events.unsure:
        return _no_teacher(len(recordings), recipe)
    folders = sorted({item.folder for item in recordings})
    first_of: dict[str, int] = {}
    count_of: dict[str, int] = {}
    found, embeddings, middles, offset = [], [], [], 0
    for folder in folders:
        try:
            # opened here, because numpy leaves a file open that is no whole archive
            with (corpus / "teacher" / f"{folder}.npz").open("rb") as stream, np.load(stream) as arrays:
                files = arrays["file"]
                found.append(arrays["probability"].astype(np.float32))
                embeddings.append(arrays["embedding"].astype(np.float32))
                middles.append((arrays["onset_s"] + arrays["offset_s"]) / np.float32(2))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ManifestError(
                f"teacher outputs of '{folder}' cannot be read: {error}",
                hint="without a teacher, set teacher_weight and embedding_weight to 0 and leave events.unsure empty",
            ) from error
        for row, name in enumerate(files.tolist()):
            first_of.setdefault(f"{folder}/audio/{name}", offset + row)
            count_of[f"{folder}/audio/{name}"] = count_of.get(f"{folder}/audio/{name}", 0) + 1
        offset += len(files)
    rows = read_table(corpus / "teacher/audioset_classes.csv", ("display_name",))
    classes = tuple(row["display_name"] for row in rows)
    probabilities = np.concatenate(found)
    first = np.array([first_of.get(item.path, -1) for item in recordings], dtype=np.int64)
    count = np.array([count_of.get(item.path, 0) for item in recordings], dtype=np.int64)
    embedding = np.concatenate(embeddings)
    # of what trains alone, where anything does: not even a mean of the other sides is to be learned from
    trains = [index for index, item in enumerate(recordings) if item.split == TRAIN]
    windows = [np.arange(first[index], first[index] + count[index]) for index in trains if count[index]]
    known = embedding[np.concatenate(windows)] if windows else embedding
    standardised = (embedding - known.mean(axis=0)) / (known.std(axis=0) + 1e-6)
    if recipe.optimisation.teacher_hears == "embedding":
        events = [item.event for item in recordings]
        tags = embedding_shares(standardised, recordings, first, count, events, recipe.events.classes)
    else:
        tags = event_tags(probabilities, classes, recordings, first, recipe)
    scenes = np.zeros((len(standardised), len(recipe.scenes)), dtype=np.float32)
    if recipe.optimisation.scene_teacher_share:
        labels = [item.scene for item in recordings]
        scenes = embedding_shares(standardised, recordings, first, count, labels, tuple(recipe.scenes))
    return TeacherOutputs(
        classes=classes,
        probabilities=probabilities,
        embeddings=standardised,
        first=first,
        count=count,
        tags=tags,
        scenes=scenes,
        middle_s=np.concatenate(middles),
    )


def _no_teacher(n_recordings: int, recipe: Recipe) -> TeacherOutputs:
    nothing = np.zeros((0, 1), dtype=np.float32)
    return TeacherOutputs(
        classes=("nothing",),
        probabilities=nothing,
        embeddings=nothing,
        first=np.full(n_recordings, -1, dtype=np.int64),
        count=np.zeros(n_recordings, dtype=np.int64),
        tags=np.zeros((0, len(recipe.events.classes)), dtype=np.float32),
        scenes=np.zeros((0, len(recipe.scenes)), dtype=np.float32),
        middle_s=np.zeros(0, dtype=np.float32),
    )


def event_tags(
    probabilities: npt.NDArray[np.float32],
    classes: Sequence[str],
    recordings: Sequence[Recording],
    first: npt.NDArray[np.int64],
    recipe: Recipe,
) -> npt.NDArray[np.float32]:
    """What the teacher hears, as shares of the recipe's events.

    An event's score is the best logit among the teacher's classes that the recipe names for it. One scale for
    all events and one bias an event are fitted to the labels of the training recordings, every source recording
    counting once: so few numbers cannot learn the recordings by heart, as a classifier on the teacher's
    embedding does.

    Args:
        probabilities: The teacher's, shape ``(n_windows, n_teacher_classes)``.
        classes: Names of the teacher's classes.
        recordings: Recordings with their labels and sides of the split.
        first: First window of each recording, -1 where it has none.
        recipe: Events and the teacher's classes for them.

    Returns:
        Shape ``(n_windows, n_events)``, rows summing to 1; all 0 for a recipe that does not map every event.

    Raises:
        ManifestError: The recipe names a class that the teacher lacks.
    """
    events = recipe.events
    columns = teacher_columns(recipe, classes)
    tags = np.zeros((len(probabilities), len(events.classes)), dtype=np.float32)
    taught = [
        index for index, item in enumerate(recordings) if item.split == TRAIN and item.event and first[index] >= 0
    ]
    if set(columns) != set(events.classes) or not taught:
        return tags
    clipped = np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    logits = np.log(clipped) - np.log1p(-clipped)
    scores = torch.from_numpy(np.stack([logits[:, columns[name]].max(axis=1) for name in events.classes], axis=1))

    sources = [recordings[index].source for index in taught]
    counts = Counter(sources)
    weights = torch.tensor([1 / counts[source] for source in sources])
    labels = torch.tensor([events.classes.index(str(recordings[index].event)) for index in taught])
    heard = scores[torch.from_numpy(first[taught])]
    scale = torch.ones((), requires_grad=True)
    bias = torch.zeros(len(events.classes), requires_grad=True)
    optimiser = torch.optim.LBFGS([scale, bias], max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        entropy = functional.cross_entropy(scale * heard + bias, labels, reduction="none")
        total = (entropy * weights).sum() / weights.sum() + BIAS_PENALTY * bias.square().mean()
        total.backward()
        return total

    optimiser.step(loss)
    with torch.no_grad():
        tags[:] = (scale * scores + bias).softmax(dim=1).numpy()
    return tags


def embedding_shares(
    embeddings: npt.NDArray[np.float32],
    recordings: Sequence[Recording],
    first: npt.NDArray[np.int64],
    count: npt.NDArray[np.int64],
    labels: Sequence[str | None],
    classes: Sequence[str],
) -> npt.NDArray[np.float32]:
    """What the teacher hears, as shares of events or scenes, by linear classifiers on its embedding.

    A classifier would know by heart what it was fitted to, and its answer there would be the label again. So the
    sources that train are dealt into groups, a classifier is fitted to all groups but one, and each speaks of the
    group that it never heard; of everything else speaks the mean of them all. Of `WEIGHT_PENALTIES` is taken what
    gives those answers the lowest entropy, every source counting once: no recording but those that train has a say.

    Args:
        embeddings: The teacher's, standardised, shape ``(n_windows, embedding_size)``.
        recordings: Recordings with their sources and sides of the split.
        first: First window of each recording, -1 where it has none.
        count: Windows of each recording.
        labels: Event or scene of each recording, None where it has none.
        classes: Events or scenes.

    Returns:
        Shape ``(n_windows, n_classes)``, rows summing to 1; all 0 where fewer labelled sources than groups train. A
        class that no recording trains has no share.
    """
    shares = np.zeros((len(embeddings), len(classes)), dtype=np.float32)
    taught = [index for index, item in enumerate(recordings) if item.split == TRAIN and labels[index] and count[index]]
    # by source alone, as the split goes: two folders may have cut clips from one recording
    keys = [recordings[index].source for index in taught]
    sources = sorted(set(keys))
    if len(sources) < N_GROUPS:
        return shares
    # neighbours in the order of names are often of one kind, so dealing spreads the kinds over the groups
    group_of = {source: place % N_GROUPS for place, source in enumerate(sources)}
    rows = np.concatenate([np.arange(first[index], first[index] + count[index]) for index in taught])
    owner = np.repeat(np.arange(len(taught)), count[taught])
    group = np.array([group_of[key] for key in keys])[owner]
    targets = np.array([classes.index(str(labels[index])) for index in taught])[owner]
    windows_of = Counter([keys[place] for place in owner])
    weights = np.array([1 / windows_of[keys[place]] for place in owner], dtype=np.float32)

    def cross_fitted(penalty: float) -> tuple[float, npt.NDArray[np.float32]]:
        answers = []
        for left_out in range(N_GROUPS):
            fitted = group != left_out
            weight, bias = _fit_linear(
                embeddings[rows[fitted]], targets[fitted], weights[fitted], len(classes), penalty
            )
            answers.append((torch.from_numpy(embeddings) @ weight + bias).softmax(dim=1).numpy())
        found = np.mean(answers, axis=0)
        for left_out, answer in enumerate(answers):
            found[rows[group == left_out]] = answer[rows[group == left_out]]
        right = np.maximum(found[rows, targets], SMALLEST_PROBABILITY)
        return -float(np.average(np.log(right), weights=weights)), found

    _, shares[:] = min((cross_fitted(penalty) for penalty in WEIGHT_PENALTIES), key=lambda fit: fit[0])
    return shares


def _fit_linear(
    embeddings: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float32],
    n_classes: int,
    penalty: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multinomial logistic regression: weight ``(embedding_size, n_classes)`` and bias ``(n_classes,)``.

    The bias of a class without a label is so low that its share is 0.
    """
    inputs, targets, share = torch.from_numpy(embeddings), torch.from_numpy(labels), torch.from_numpy(weights)
    weight = torch.zeros(inputs.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    absent = torch.full((n_classes,), -1e4)
    absent[targets.unique()] = 0.0
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        entropy = functional.cross_entropy(inputs @ weight + bias + absent, targets, reduction="none")
        total = (entropy * share).sum() / share.sum() + penalty * weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    return weight.detach(), bias.detach() + absent


def teacher_columns(recipe: Recipe, classes: Sequence[str]) -> dict[str, list[int]]:
    """Columns of the teacher's classes for each event that the recipe maps.

    Raises:
        ManifestError: The recipe names a class that the teacher lacks, or maps an unsure event to none.
    """
    mapping = recipe.events.teacher
    for label in recipe.events.unsure:
        if not mapping.get(label):
            raise ManifestError(f"event '{label}' is listed as unsure but maps to no class of the teacher")
    for label, names in mapping.items():
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise ManifestError(f"event '{label}' maps to {unknown}, which the teacher does not have")
    return {label: [classes.index(name) for name in names] for label, names in mapping.items() if names}


def unsure_events(recordings: Sequence[Recording], recipe: Recipe, teacher: TeacherOutputs) -> npt.NDArray[np.bool_]:
    """Events that the teacher hears in a recording though its label names another.

    Returns:
        Shape ``(n_recordings, n_events)``; only events that the recipe lists as unsure can be.
    """
    events = recipe.events
    unsure = np.zeros((len(recordings), len(events.classes)), dtype=np.bool_)
    if not events.unsure:
        return unsure
    columns = teacher_columns(recipe, teacher.classes)
    for label in events.unsure:
        heard = teacher.probabilities[:, columns[label]].max(axis=1)
        for index, recording in enumerate(recordings):
            window = slice(teacher.first[index], teacher.first[index] + teacher.count[index])
            if recording.event != label and teacher.count[index]:
                unsure[index, events.classes.index(label)] = heard[window].max() >= events.unsure_probability
    return unsure
