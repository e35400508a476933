"""Frame scores: exact text, any cutting into pieces, flat memory."""

import csv
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.formats import ScoresTsvWriter
from compactcli.scores import FrameScores
from compactcli.timing import FrameClock

CLOCK = FrameClock(sample_rate=16000, frame_length=640)
CLASSES = ("dog", "car horn")


def pieces(probabilities: np.ndarray, n_samples: int, sizes: list[int]) -> list[FrameScores]:
    """Frames as they arrive: of each piece, the recording is known up to its last frame."""
    found, first = [], 0
    for piece in np.split(probabilities, np.minimum(np.cumsum(sizes), len(probabilities))):
        known = min(n_samples, (first + len(piece)) * CLOCK.frame_length)
        edges = CLOCK.edges_s(known, first=first)
        found.append(FrameScores(probabilities=piece, edges_s=edges, classes=CLASSES))
        first += len(piece)
    return found


def write(scores: list[FrameScores]) -> str:
    writer = ScoresTsvWriter()
    file = io.BytesIO("".join(map(writer.frames, scores)).encode())
    writer.finish(file)
    return file.getvalue().decode()


def test_a_table_has_a_row_for_each_frame() -> None:
    probabilities = np.array([[0.5, 1e-6], [1.0, 0.0], [0.1234567, 0.9999999]], dtype=np.float32)
    assert write(pieces(probabilities, 1500, [])) == (
        "onset\toffset\tdog\tcar horn\n"
        "0.000000\t0.040000\t0.500000\t0.000001\n"
        "0.040000\t0.080000\t1.000000\t0.000000\n"
        "0.080000\t0.093750\t0.123457\t1.000000\n"
    )


@given(st.integers(1, 30), st.integers(0, 639), st.lists(st.integers(0, 9), max_size=9))
def test_the_table_does_not_depend_on_how_frames_arrive(n_frames: int, missing: int, sizes: list[int]) -> None:
    probabilities = np.random.default_rng(n_frames).random((n_frames, 2), dtype=np.float32)
    n_samples = n_frames * 640 - missing
    text = write(pieces(probabilities, n_samples, sizes))
    assert text == write(pieces(probabilities, n_samples, []))
    header, *rows = csv.reader(io.StringIO(text), delimiter="\t")
    assert header == ["onset", "offset", *CLASSES]
    # what sed_scores_eval asks for: no frame is empty, and each begins where the last one ends
    assert [row[0] for row in rows[1:]] == [row[1] for row in rows[:-1]]
    assert all(float(onset) < float(offset) for onset, offset, *_ in rows)
    assert float(rows[0][0]) == 0.0
    assert float(rows[-1][1]) == pytest.approx(n_samples / 16000, abs=6e-7)
    read = np.array([[float(value) for value in row[2:]] for row in rows])
    np.testing.assert_allclose(read, probabilities, rtol=0, atol=6e-7)


def test_times_are_exact_after_a_day() -> None:
    first = 86_400 * 25
    edges = CLOCK.edges_s((first + 1) * 640, first=first)
    scores = FrameScores(probabilities=np.zeros((1, 2), np.float32), edges_s=edges, classes=CLASSES)
    assert write([scores]).splitlines()[1].startswith("86400.000000\t86400.040000\t")


def test_separators_in_class_names_are_escaped() -> None:
    scores = FrameScores(
        probabilities=np.ones((1, 2), np.float32), edges_s=np.array([0.0, 0.04]), classes=("a\tb", "c\\\n")
    )
    assert write([scores]) == "onset\toffset\ta\\tb\tc\\\\\\n\n0.000000\t0.040000\t1.000000\t1.000000\n"


def test_nothing_is_kept_of_the_frames() -> None:
    writer = ScoresTsvWriter()
    probabilities = np.full((750, 57), 0.5, dtype=np.float32)
    classes = tuple(f"class_{index}" for index in range(57))

    def push(index: int) -> None:
        edges = CLOCK.edges_s((index + 1) * 750 * 640, first=index * 750)
        writer.frames(FrameScores(probabilities=probabilities, edges_s=edges, classes=classes))

    push(0)
    tracemalloc.start()
    try:
        push(1)
        _, early = tracemalloc.get_traced_memory()
        for index in range(2, 20):
            push(index)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # a piece of 30 s takes about 2 MB of text and numbers while it is written
    assert peak <= early + 100_000
