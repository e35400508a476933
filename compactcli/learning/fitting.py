"""Examples become a scene head and an event head, and figures of what both are worth on other recordings."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize
from threadpoolctl import threadpool_limits

from compactcli.calibration import fit_event_biases
from compactcli.errors import ConfigError
from compactcli.heads import LinearHead
from compactcli.learning.embedding import Example

Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.float64]
# logits of rows, and what each row counts, to their loss and its gradient by the logits
Loss: TypeAlias = Callable[[Floats, Floats], tuple[float, Floats]]

MIN_CLASSES = 2
# what is learned from one has to be judged by another
MIN_RECORDINGS = 2
MAX_FOLDS = 5
# of the squared weights, beside the mean loss of a row; recordings are fewer than frames, and further apart
SCENE_PENALTIES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
EVENT_PENALTIES = (1e-1, 3e-2, 1e-2, 3e-3)
MAX_ITERATIONS = 150
# F1 that a bias of 1 has to earn, so that a class of few recordings stays near even odds
PRIOR_WEIGHT = 0.02
# a channel that says nothing stays small
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """What the heads are worth for one class, on recordings that they were not fitted to.

    The penalty on their weights is the best for just these, which flatters them a little.

    Args:
        label: Name of the class.
        n_recordings: That it was learned from.
        recall: Share of its recordings that the scene head takes for it.
        precision: Share of the recordings that the scene head takes for it which are its own; 0 where it takes none.
        event_f1: F1 of the event head at a score of 0.5 over frames, every class and noise counting the same; None of a
            class that is no event.
    """

    label: str
    n_recordings: int
    recall: float
    precision: float
    event_f1: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """Both heads, fitted to all recordings.

    Args:
        scenes: Of all classes.
        events: Of those that are events.
        figures: Of every class.
        n_folds: Parts of the cross-validation.
    """

    scenes: LinearHead
    events: LinearHead
    figures: tuple[ClassFigures, ...]
    n_folds: int

    @property
    def accuracy(self) -> float:
        """Macro accuracy of the scene head: mean of the classes' recalls."""
        return sum(item.recall for item in self.figures) / len(self.figures)


def check_classes(n_recordings: Mapping[str, int], background: Collection[str]) -> None:
    """Refuse what nothing can be learned from, or judged by.

    Args:
        n_recordings: Of each class.
        background: Classes that are no events.

    Raises:
        ConfigError: There are fewer than two classes, one has fewer than two recordings, a background is none of them,
            or all are.
    """
    if len(n_recordings) < MIN_CLASSES:
        raise ConfigError(
            f"{len(n_recordings)} folder{'' if len(n_recordings) == 1 else 's'} with recordings of a class found, "
            f"expected at least {MIN_CLASSES}: a class is learned by what tells it from others",
            hint="make a folder for each class, one of them for anything else",
        )
    strange = [name for name in background if name not in n_recordings]
    if strange:
        raise ConfigError(
            f"--background {strange[0]} is no folder of recordings, expected one of {', '.join(n_recordings)}",
            hint="check the spelling",
        )
    if set(n_recordings) <= set(background):
        raise ConfigError("every class is background, expected at least one that is an event", hint="name fewer")
    few = [name for name, count in n_recordings.items() if count < MIN_RECORDINGS]
    if few:
        count = n_recordings[few[0]]
        raise ConfigError(
            f"class {few[0]} has {count} recording{'' if count == 1 else 's'} that can be heard, expected at least "
            f"{MIN_RECORDINGS}: what is learned from one has to be judged by another",
            hint="add recordings, or cut a long one into several",
        )


def learn_heads(
    examples: Sequence[Example],
    *,
    background: Collection[str] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Learned:
    """Fit both heads.

    The scene head is a multinomial logistic regression on mean embeddings, the event head a logistic regression for
    each class on frames, those of its recordings that sound against all others and noise. Every class counts as much
    as any other, however many recordings it has, and so does noise.

    Each of up to five folds holds a stretch of neighbouring recordings of every class, because neighbours in a folder
    are often cut from one. Heads fitted to the others judge it, and of the penalties on the weights the one with the
    lowest log-loss there is taken. Biases of events, too, are those of the best F1 there; folds judge each other's.

    Args:
        examples: In the order of their names; those without a label are noise.
        background: Classes that are no events.
        report: Called with the number of fits done and that of all.

    Raises:
        ConfigError: See ``check_classes``.
    """
    labels = [item.label for item in examples]
    n_recordings = Counter(label for label in labels if label is not None)
    check_classes(n_recordings, background)
    classes = tuple(sorted(n_recordings))
    events = tuple(name for name in classes if name not in background)
    folds = _folds(labels)
    n_folds = int(folds.max()) + 1
    n_fits = 2 * (n_folds + 1)
    done = iter(range(1, n_fits + 1))

    def step() -> None:
        report(next(done), n_fits)

    report(0, n_fits)
    # noise is one more, the last
    group = np.array([len(classes) if label is None else classes.index(label) for label in labels])
    named = group < len(classes)
    truth = group[named]
    scenes, answers = _cross_fit(
        _Rows(
            inputs=np.stack([item.mean for item in examples])[named],
            group=truth,
            share=np.ones(len(truth)),
            folds=folds[named],
        ),
        lambda chosen: softmax_loss(truth[chosen]),
        classes,
        SCENE_PENALTIES,
        step,
    )
    n_frames = np.array([len(item.frames) for item in examples])
    owner = np.repeat(np.arange(len(examples)), n_frames)
    frames = _Rows(
        inputs=np.concatenate([item.frames for item in examples]),
        group=group[owner],
        share=1 / n_frames[owner],
        folds=folds[owner],
    )
    sounds = np.concatenate([item.sounds for item in examples])
    columns = np.array([classes.index(name) for name in events])
    is_event = sounds[:, None] & (frames.group[:, None] == columns)
    heard, logits = _cross_fit(frames, lambda chosen: sigmoid_loss(is_event[chosen]), events, EVENT_PENALTIES, step)
    biases, found = _operating_point(logits, is_event, frames)
    heard = replace(heard, bias=heard.bias + biases)
    f1 = dict(zip(events, _frame_f1(found, is_event, frames.weights()), strict=True))
    answered = answers.argmax(axis=1)
    figures = tuple(
        ClassFigures(
            label=label,
            n_recordings=n_recordings[label],
            recall=_share(truth == index, answered == index),
            precision=_share(answered == index, truth == index),
            event_f1=f1.get(label),
        )
        for index, label in enumerate(classes)
    )
    return Learned(scenes=scenes, events=heard, figures=figures, n_folds=n_folds)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """What a head is fitted to.

    Args:
        inputs: Embeddings, shape ``(n_rows, embedding_size)``.
        group: Class of each row; whatever rows a group has, it counts as much as another.
        share: What each row counts inside its group.
        folds: Fold of each row.
    """

    inputs: Floats
    group: npt.NDArray[np.int64]
    share: Numbers
    folds: npt.NDArray[np.int64]

    def weights(self, chosen: Mask | None = None) -> Numbers:
        """What each row counts among those chosen, or among all; the sum is 1."""
        rows = slice(None) if chosen is None else chosen
        group, share = self.group[rows], self.share[rows]
        weights: Numbers = share / np.bincount(group, share)[group]
        weights /= weights.sum()
        return weights

    def each_fold(self) -> Iterator[Mask]:
        """Which rows are in a fold, one fold after the other."""
        return (self.folds == fold for fold in range(int(self.folds.max()) + 1))


def _operating_point(logits: Floats, truth: Mask, rows: _Rows) -> tuple[Floats, Mask]:
    """Biases that put the best F1 of each class at a score of 0.5, and what is found with those of other folds.

    A class that is one of ten is more often missed than heard at even odds where it is hard to tell.
    """

    def biases(chosen: Mask) -> Numbers:
        known = np.ones_like(truth[chosen])
        weights = rows.weights(chosen)
        return fit_event_biases(logits[chosen], truth[chosen], known, prior_weight=PRIOR_WEIGHT, weights=weights)

    found = np.zeros_like(truth)
    for inside in rows.each_fold():
        found[inside] = logits[inside] + biases(~inside) >= 0
    return biases(np.ones(len(truth), dtype=np.bool_)).astype(np.float32), found


def _share(among: Mask, hits: Mask) -> float:
    return float(hits[among].mean()) if among.any() else 0.0


def _frame_f1(found: Mask, truth: Mask, weights: Numbers) -> list[float]:
    hits, n_found, n_true = (weights @ mask for mask in (found & truth, found, truth))
    both = n_found + n_true
    f1: list[float] = np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0).tolist()
    return f1


def _folds(labels: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Fold of each example: stretches of neighbours of one class, as many as the largest one has recordings for.

    Example:
        >>> _folds(["dog", "dog", "dog", "cat", "cat", None, None, None, None]).tolist()
        [0, 1, 2, 0, 1, 0, 0, 1, 2]
    """
    members = {name: [index for index, label in enumerate(labels) if label == name] for name in set(labels)}
    n_folds = min(MAX_FOLDS, max(len(indices) for name, indices in members.items() if name is not None))
    folds = np.zeros(len(labels), dtype=np.int64)
    for indices in members.values():
        for number, stretch in enumerate(np.array_split(indices, min(n_folds, len(indices)))):
            folds[stretch] = number
    return folds


def _cross_fit(
    rows: _Rows,
    loss_of: Callable[[Mask], Loss],
    classes: tuple[str, ...],
    penalties: tuple[float, ...],
    step: Callable[[], None],
) -> tuple[LinearHead, Floats]:
    """A head fitted to all rows, with the penalty that serves rows best which it was not fitted to.

    Args:
        rows: What it is fitted to.
        loss_of: Gives the loss of the rows chosen.
        classes: Of the head.
        penalties: To choose from.
        step: Called after each fold, and at the end.

    Returns:
        The head, and logits of each row by a head that was fitted to other folds, ``(n_rows, n_classes)``.
    """
    judged = {penalty: np.zeros((len(rows.inputs), len(classes)), dtype=np.float32) for penalty in penalties}
    for inside in rows.each_fold():
        fits = fit_linear(rows.inputs[~inside], rows.weights(~inside), loss_of(~inside), len(classes), penalties)
        for penalty, (weight, bias) in zip(penalties, fits, strict=True):
            judged[penalty][inside] = rows.inputs[inside] @ weight.T + bias
        step()
    loss = loss_of(np.ones(len(rows.inputs), dtype=np.bool_))
    best = min(penalties, key=lambda penalty: loss(judged[penalty], rows.weights().astype(np.float32))[0])
    # weaker ones come after it
    path = penalties[: penalties.index(best) + 1]
    *_, (weight, bias) = fit_linear(rows.inputs, rows.weights(), loss, len(classes), path)
    step()
    return LinearHead(classes=classes, weight=weight, bias=bias), judged[best]


def fit_linear(
    inputs: Floats, weights: Numbers, loss: Loss, n_classes: int, penalties: Sequence[float]
) -> Iterator[tuple[Floats, Floats]]:
    """Linear classifiers of inputs.

    Args:
        inputs: Shape ``(n_rows, size)``; each column is standardised, so that one penalty suits all.
        weights: What each row counts, summing to 1.
        loss: Of logits.
        n_classes: Of the classifier.
        penalties: Of the squared weights, each fit starting from the one before. Where a weak one lets a fit go on for
            ever, it is stopped early: what it has reached by then is judged like any other.

    Yields:
        Weights ``(n_classes, size)`` and biases ``(n_classes,)`` for each penalty.
    """
    mean = weights @ inputs
    deviation = np.maximum(np.sqrt(weights @ np.square(inputs - mean)), SMALLEST_DEVIATION)
    rows = ((inputs - mean) / deviation).astype(np.float32)
    shares, size = weights.astype(np.float32), rows.shape[1]
    flat = np.zeros((size + 1) * n_classes)
    for penalty in penalties:

        def value(numbers: Numbers, penalty: float = penalty) -> tuple[float, Numbers]:
            weight, bias = _unpacked(numbers, size)
            entropy, by_logits = loss(rows @ weight + bias, shares)
            by_weight = rows.T @ by_logits + 2 * penalty * weight
            gradient = np.concatenate([by_weight.ravel(), by_logits.sum(axis=0)])
            return entropy + penalty * float(np.square(weight, dtype=np.float64).sum()), gradient.astype(np.float64)

        # products this small take six times as long where several threads share them
        with threadpool_limits(limits=1, user_api="blas"):
            flat = optimize.minimize(value, flat, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}).x
        weight, bias = _unpacked(flat, size)
        own = (weight / deviation[:, None]).T
        yield own.astype(np.float32), (bias - own @ mean).astype(np.float32)


def _unpacked(flat: Numbers, size: int) -> tuple[Floats, Floats]:
    n_classes = len(flat) // (size + 1)
    numbers = flat.astype(np.float32)
    return numbers[: size * n_classes].reshape(size, n_classes), numbers[size * n_classes :]


def softmax_loss(truth: npt.NDArray[np.int64]) -> Loss:
    """Cross-entropy of rows of which one class is right."""

    def loss(logits: Floats, shares: Floats) -> tuple[float, Floats]:
        shifted = logits - logits.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        totals = powers.sum(axis=1)
        right = np.arange(len(truth)), truth
        gradient = powers / totals[:, None]
        gradient[right] -= 1
        return float(shares @ (np.log(totals) - shifted[right])), gradient * shares[:, None]

    return loss


def sigmoid_loss(truth: npt.NDArray[np.bool_]) -> Loss:
    """Binary cross-entropy of rows of which any number of classes are right, summed over classes."""
    targets = truth.astype(np.float32)

    def loss(logits: Floats, shares: Floats) -> tuple[float, Floats]:
        entropy = (np.logaddexp(0, logits) - targets * logits).sum(axis=1)
        return float(shares @ entropy), (0.5 * (1 + np.tanh(0.5 * logits)) - targets) * shares[:, None]

    return loss
