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

Rows: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.float64]
# logits of rows, and what each row counts, to their loss and its gradient by the logits
Loss: TypeAlias = Callable[[Rows, Rows], tuple[float, Rows]]

MIN_CLASSES = 2
# what is learned from one has to be judged by another
MIN_RECORDINGS = 2
MAX_FOLDS = 5
# of the squared weights, beside the mean loss of a row; from strong to weak, as each fit starts from the one before
PENALTIES = (3e-2, 1e-2, 3e-3, 1e-3)
MAX_ITERATIONS = 150
# F1 that a bias of 1 has to earn, so that a class of few recordings stays near even odds
PRIOR_WEIGHT = 0.02
# a channel that says nothing stays small
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """What the heads are worth for one class, on recordings that they were not fitted to.

    Args:
        label: Name of the class.
        n_recordings: That it was learned from.
        recall: Share of its recordings that the scene head takes for it.
        precision: Share of the recordings that the scene head takes for it which are its own; 0 where it takes none.
        event_f1: F1 of the event head over frames at a score of 0.5; None of a class that is no event.
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
    folds, counts = _folds(labels), Counter(labels)
    weights = np.array([1 / counts[label] for label in labels])
    n_fits = 2 * (int(folds.max()) + 2)
    done = iter(range(1, n_fits + 1))

    def step() -> None:
        report(next(done), n_fits)

    report(0, n_fits)
    named = np.array([label is not None for label in labels])
    truth = np.array([classes.index(label) for label in labels if label is not None])
    scenes, answers = _cross_fit(
        np.stack([item.mean for item in examples])[named],
        weights[named],
        folds[named],
        lambda chosen: softmax_loss(truth[chosen]),
        classes,
        step,
    )
    owner = np.repeat(np.arange(len(examples)), [len(item.frames) for item in examples])
    sounds = np.concatenate([item.sounds for item in examples])
    is_event = sounds[:, None] & (np.array(labels, dtype=object)[owner][:, None] == np.array(events, dtype=object))
    frame_weights = weights[owner] / np.bincount(owner)[owner]
    heard, frame_logits = _cross_fit(
        np.concatenate([item.frames for item in examples]),
        frame_weights,
        folds[owner],
        lambda chosen: sigmoid_loss(is_event[chosen]),
        events,
        step,
    )
    biases, found = _operating_point(frame_logits, is_event, folds[owner])
    f1 = dict(zip(events, _frame_f1(found, is_event, frame_weights), strict=True))
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
    heard = replace(heard, bias=heard.bias + biases)
    return Learned(scenes=scenes, events=heard, figures=figures, n_folds=int(folds.max()) + 1)


def _operating_point(
    logits: Rows, truth: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Biases that put the best F1 of each class at a score of 0.5, and what is found with those of other folds.

    A class that is one of ten is more often missed than heard at even odds where it is hard to tell.
    """
    known = np.ones_like(truth)
    found = np.zeros_like(truth)
    for fold in range(int(folds.max()) + 1):
        inside = folds == fold
        biases = fit_event_biases(logits[~inside], truth[~inside], known[~inside], prior_weight=PRIOR_WEIGHT)
        found[inside] = logits[inside] + biases >= 0
    return fit_event_biases(logits, truth, known, prior_weight=PRIOR_WEIGHT).astype(np.float32), found


def _share(among: npt.NDArray[np.bool_], hits: npt.NDArray[np.bool_]) -> float:
    return float(hits[among].mean()) if among.any() else 0.0


def _frame_f1(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], weights: Numbers) -> list[float]:
    hits, n_found, n_true = ((mask * weights[:, None]).sum(axis=0) for mask in (found & truth, found, truth))
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
    inputs: Rows,
    weights: Numbers,
    folds: npt.NDArray[np.int64],
    loss_of: Callable[[npt.NDArray[np.bool_]], Loss],
    classes: tuple[str, ...],
    step: Callable[[], None],
) -> tuple[LinearHead, Rows]:
    """A head fitted to all rows, with the penalty that serves rows best which it was not fitted to.

    Args:
        inputs: Embeddings, shape ``(n_rows, embedding_size)``.
        weights: What each row counts.
        folds: Fold of each row.
        loss_of: Gives the loss of some rows.
        classes: Of the head.
        step: Called after each fold, and at the end.

    Returns:
        The head, and logits of each row by a head that was fitted to other folds, ``(n_rows, n_classes)``.
    """
    mean, deviation = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), SMALLEST_DEVIATION)
    rows = ((inputs - mean) / deviation).astype(np.float32)
    everything = np.ones(len(rows), dtype=np.bool_)
    judged = {penalty: np.zeros((len(rows), len(classes)), dtype=np.float32) for penalty in PENALTIES}
    for fold in range(int(folds.max()) + 1):
        inside = folds == fold
        fits = _fits(rows[~inside], weights[~inside], loss_of(~inside), len(classes))
        for penalty, (weight, bias) in zip(PENALTIES, fits, strict=True):
            judged[penalty][inside] = rows[inside] @ weight + bias
        step()
    loss = loss_of(everything)
    best = min(PENALTIES, key=lambda penalty: loss(judged[penalty], _shares(weights))[0])
    weight, bias = dict(zip(PENALTIES, _fits(rows, weights, loss, len(classes)), strict=True))[best]
    step()
    own = (weight / deviation[:, None]).T
    return LinearHead(classes=classes, weight=own, bias=bias - own @ mean), judged[best]


def _fits(rows: Rows, weights: Numbers, loss: Loss, n_classes: int) -> Iterator[tuple[Rows, Rows]]:
    """Weights ``(embedding_size, n_classes)`` and biases ``(n_classes,)`` for each of ``PENALTIES``."""
    size = rows.shape[1]
    shares = _shares(weights)
    flat = np.zeros((size + 1) * n_classes)
    for penalty in PENALTIES:

        def value(numbers: Numbers, penalty: float = penalty) -> tuple[float, Numbers]:
            weight, bias = _unpacked(numbers, size)
            entropy, by_logits = loss(rows @ weight + bias, shares)
            by_weight = rows.T @ by_logits + 2 * penalty * weight
            gradient = np.concatenate([by_weight.ravel(), by_logits.sum(axis=0)])
            return entropy + penalty * float(np.square(weight, dtype=np.float64).sum()), gradient.astype(np.float64)

        # products this small take six times as long where several threads share them
        with threadpool_limits(limits=1, user_api="blas"):
            flat = optimize.minimize(value, flat, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}).x
        yield _unpacked(flat, size)


def _unpacked(flat: Numbers, size: int) -> tuple[Rows, Rows]:
    n_classes = len(flat) // (size + 1)
    numbers = flat.astype(np.float32)
    return numbers[: size * n_classes].reshape(size, n_classes), numbers[size * n_classes :]


def _shares(weights: Numbers) -> Rows:
    shares: Rows = (weights / weights.sum()).astype(np.float32)
    return shares


def softmax_loss(truth: npt.NDArray[np.int64]) -> Loss:
    """Cross-entropy of rows of which one class is right."""

    def loss(logits: Rows, shares: Rows) -> tuple[float, Rows]:
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

    def loss(logits: Rows, shares: Rows) -> tuple[float, Rows]:
        entropy = (np.logaddexp(0, logits) - targets * logits).sum(axis=1)
        return float(shares @ entropy), (0.5 * (1 + np.tanh(0.5 * logits)) - targets) * shares[:, None]

    return loss
