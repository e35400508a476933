import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ManifestError
from compactcli.events import Event, events_to_roll, join_events, sort_events
from compactcli.timing import FrameClock

CLOCK = FrameClock(sample_rate=16000, frame_length=640)


def event(onset, offset, label="dog"):
    return Event(onset=onset, offset=offset, label=label)


def frames(*events, n_samples=6400):
    """Indices of the frames marked for the label 'dog'."""
    roll = events_to_roll(events, edges_s=CLOCK.edges_s(n_samples), classes=("cat", "dog"))
    assert not roll[:, 0].any()
    return np.flatnonzero(roll[:, 1]).tolist()


def test_an_event_has_a_length():
    assert event(0.25, 1.0).duration_s == 0.75


@pytest.mark.parametrize(
    ("onset", "offset"),
    [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0), (math.nan, 1.0), (0.0, math.nan), (0.0, math.inf), (-math.inf, 0.0)],
)
def test_an_event_needs_finite_times_in_order(onset, offset):
    with pytest.raises(ManifestError, match=f"event 'dog' has onset {onset} and offset {offset}"):
        event(onset, offset)


def test_events_are_ordered_by_onset_then_label_then_offset():
    first, second, third, fourth = event(0, 9, "z"), event(1, 5, "a"), event(1, 2, "b"), event(1, 3, "b")
    assert sort_events([fourth, third, second, first]) == [first, second, third, fourth]


def test_an_event_on_frame_edges_marks_exactly_its_frames():
    assert frames(event(0.04, 0.12)) == [1, 2]


def test_an_event_marks_every_frame_that_it_touches():
    assert frames(event(0.05, 0.081)) == [1, 2]
    assert frames(event(0.05, 0.051)) == [1]


def test_an_event_past_the_end_marks_what_there_is():
    assert frames(event(0.37, 5.0)) == [9]
    assert frames(event(0.4, 5.0)) == []


def test_events_of_one_class_add_up():
    assert frames(event(0.0, 0.04), event(0.08, 0.16), event(0.12, 0.2)) == [0, 2, 3, 4]


def test_without_events_or_frames_the_roll_is_empty():
    assert frames() == []
    assert events_to_roll([], edges_s=CLOCK.edges_s(0), classes=("cat", "dog")).shape == (0, 2)


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(ManifestError, match="event label 'fox' is not one of the 2 classes expected"):
        frames(event(0.0, 1.0, "fox"))


@given(
    n_samples=st.integers(min_value=1, max_value=20_000),
    frame_length=st.integers(min_value=1, max_value=2000),
    bounds=st.lists(st.integers(min_value=0, max_value=25_000), min_size=2, max_size=2, unique=True),
)
def test_a_frame_is_marked_when_it_shares_a_sample_with_the_event(n_samples, frame_length, bounds):
    onset, offset = sorted(bounds)
    clock = FrameClock(sample_rate=16000, frame_length=frame_length)
    roll = events_to_roll([event(onset / 16000, offset / 16000)], edges_s=clock.edges_s(n_samples), classes=("dog",))
    active = np.zeros(-(-n_samples // frame_length) * frame_length, dtype=bool)
    active[onset : min(offset, n_samples)] = True
    assert roll[:, 0].tolist() == active.reshape(-1, frame_length).any(axis=1).tolist()


def test_events_of_one_class_that_touch_are_joined():
    events = [
        Event(onset=1.0, offset=2.0, label="dog"),
        Event(onset=0.0, offset=1.0, label="dog"),
        Event(onset=0.5, offset=3.0, label="rain"),
        Event(onset=0.6, offset=0.7, label="rain"),
        Event(onset=2.1, offset=2.2, label="dog"),
    ]
    assert join_events(events) == [
        Event(onset=0.0, offset=2.0, label="dog"),
        Event(onset=0.5, offset=3.0, label="rain"),
        Event(onset=2.1, offset=2.2, label="dog"),
    ]
    assert join_events([]) == []
