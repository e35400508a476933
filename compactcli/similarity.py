"""Which parts of recordings sound most like examples, by the angle between embeddings."""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compactcli.errors import ConfigError, require
from compactcli.records import Record, Vector

# vectors that are compared at once
BATCH_SIZE = 1024
# of similarities: what is asked for and what is shown are the same number
DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is asked for.

    Args:
        top_k: Parts in all, at least 1.
        per_recording: Parts of one recording, at least 1; None sets no limit.
        threshold: Lowest cosine similarity, from 0 to 1.

    Raises:
        ConfigError: One of them is out of its range.
    """

    top_k: int = 20
    per_recording: int | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        require(self.top_k >= 1, f"top_k is {self.top_k}, expected at least 1")
        require(
            self.per_recording is None or self.per_recording >= 1,
            f"per_recording is {self.per_recording}, expected at least 1",
        )
        require(0 <= self.threshold <= 1, f"threshold is {self.threshold}, expected 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A part of a recording that sounds like an example.

    Args:
        path: The recording.
        start: Seconds from the start of the recording.
        stop: Seconds.
        similarity: Cosine of the angle between its embedding and the example's, from 0 to 1, with ``DECIMALS``.
        query: Place of what it is most similar to, among all that was looked for.
    """

    path: str
    start: float
    stop: float
    similarity: float
    query: int


def find_similar(
    records: Iterable[Record], queries: npt.NDArray[np.float32], options: SearchOptions | None = None
) -> list[Hit]:
    """The parts of recordings that are most similar to any of the queries, best first.

    Parts that are as similar as one another keep their order. Memory does not grow with the number of parts; where
    those of a recording are limited, it grows with the number of recordings.

    Args:
        records: Records with vectors; those without are passed over.
        queries: What to look for: embeddings, or means of them, shape ``(n_queries, embedding_size)``, at least one.
        options: How many; None takes the defaults.

    Raises:
        ConfigError: A vector is longer or shorter than the queries.

    Example:
        >>> vectors = (Vector(start=0, stop=1, values=(0.0, 1.0)), Vector(start=1, stop=2, values=(1.0, 1.0)))
        >>> record = Record(path="a.wav", vectors=vectors)
        >>> [(hit.start, round(hit.similarity, 2)) for hit in find_similar([record], np.array([[2.0, 0.0]]))]
        [(1, 0.71), (0, 0.0)]
    """
    options = options or SearchOptions()
    directions = _directions(np.asarray(queries, np.float32))
    n_kept = options.top_k if options.per_recording is None else min(options.per_recording, options.top_k)
    # the least similar first; of those that are equal, the last
    best: defaultdict[str, list[tuple[float, int, Hit]]] = defaultdict(list)
    parts = ((record.path, vector) for record in records for vector in record.vectors or ())
    order = 0
    while batch := list(itertools.islice(parts, BATCH_SIZE)):
        similarities = _embeddings(batch, directions.shape[1]) @ directions.T
        nearest = similarities.argmax(axis=1)
        for (path, vector), query, row in zip(batch, nearest.tolist(), similarities, strict=True):
            order -= 1
            similarity = round(min(float(row[query]), 1.0), DECIMALS)
            if similarity < options.threshold:
                continue
            hit = Hit(path=path, start=vector.start, stop=vector.stop, similarity=similarity, query=query)
            heap = best["" if options.per_recording is None else path]
            if len(heap) < n_kept:
                heapq.heappush(heap, (similarity, order, hit))
            else:
                heapq.heappushpop(heap, (similarity, order, hit))
    found = heapq.nlargest(options.top_k, itertools.chain.from_iterable(best.values()))
    return [hit for _, _, hit in found]


def mean_direction(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What examples of one sound have in common, each with the same say however long its embedding is.

    Args:
        embeddings: Shape ``(n_examples, embedding_size)``.

    Returns:
        Shape ``(embedding_size,)``.

    Example:
        >>> mean_direction(np.array([[1.0, 0.0], [0.0, 9.0]]))
        array([0.5, 0.5], dtype=float32)
    """
    mean: npt.NDArray[np.float32] = _directions(embeddings).mean(axis=0)
    return mean


def _embeddings(batch: list[tuple[str, Vector]], size: int) -> npt.NDArray[np.float32]:
    for path, vector in batch:
        if len(vector.values) != size:
            raise ConfigError(
                f"{path} has a vector of {len(vector.values)} values, expected {size} as of the examples",
                hint="name the model that the vectors were made with by --model",
            )
    return _directions(np.array([vector.values for _, vector in batch], np.float32))


def _directions(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors of length 1; nothing but zeros has no direction and stays."""
    # squares of what float32 holds may be beyond it
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / np.where(lengths > 0, lengths, 1)).astype(np.float32)
