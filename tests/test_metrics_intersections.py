import numpy as np

from compactcli.events import Event
from compactcli.metrics.intersections import RecordingScores, class_steps, reference_of
from compactcli.scores import FrameScores

EVENTS = [
    Event(onset=1.5, offset=3.5, label="dog"),
    Event(onset=5.0, offset=6.0, label="dog"),
    Event(onset=0.0, offset=1.0, label="cat"),
]
DOG = [0.3, 0.3, 0.9, 0.9, 0.1, 0.6, 0.1, 0.6]


def recording():
    probabilities = np.array([DOG, [0.5] * 8], dtype=np.float32).T
    scores = FrameScores(probabilities=probabilities, edges_s=np.arange(9.0), classes=("dog", "cat"))
    return RecordingScores(scores=scores, reference=EVENTS)


def steps(weights=(0.0, 0.0)):
    item = recording()
    return class_steps(item, reference_of(item), 0, dtc=0.5, gtc=0.5, cttc=0.5, weights=np.array(weights))


def test_seconds_are_counted_up_to_each_edge():
    reference = reference_of(recording())
    assert reference.covered_s[:, 0].tolist() == [0, 0, 0.5, 1.5, 2, 2, 3, 3, 3]
    assert (reference.n_events.tolist(), reference.seconds.tolist()) == ([2, 1], [3.0, 1.0])
    assert reference.events[0] == tuple(EVENTS[:2])


def test_each_threshold_says_what_it_changes():
    found = steps()
    assert found.thresholds.tolist() == np.array([0.9, 0.6, 0.3, 0.1], np.float32).tolist()
    # 0.9: frames 2 and 3 find the first event. 0.6: frame 5 finds the second, frame 7 is wrong. 0.3: frames 0 to 3
    # hold 2 s of dog in 4. 0.1: the whole recording holds 3 s in 8, which is wrong.
    assert found.found.tolist() == [1, 1, 0, -2]
    assert found.wrong.tolist() == [0, 1, 0, 0]
    assert found.crossed.tolist() == [0, 0, 0, 0]


def test_cross_triggers_count_by_their_weight():
    item = RecordingScores(scores=recording().scores, reference=[Event(onset=7.0, offset=8.0, label="cat"), EVENTS[0]])
    reference = reference_of(item)
    found = class_steps(item, reference, 0, dtc=0.5, gtc=0.5, cttc=0.5, weights=np.array([7.0, 2.5]))
    # frames 5 and 7 are wrong from 0.6 on, the second of them inside the cat; at 0.1 one detection holds all
    assert found.wrong.tolist() == [0, 2, 0, -1]
    assert found.crossed.tolist() == [0, 2.5, 0, -2.5]


def test_the_size_of_the_workspace_changes_nothing(monkeypatch):
    whole = steps((0.0, 1.0))
    monkeypatch.setattr("compactcli.metrics.intersections.WORKSPACE_VALUES", 18)
    pieces = steps((0.0, 1.0))
    for name in ("thresholds", "found", "wrong", "crossed"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
