"""Which events become clips, and what these are called."""

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.clips import ClipChoice, Pick, choose_events, clip_path, rest_events
from compactcli.errors import ConfigError
from compactcli.events import Event


def event(label, onset, score=None):
    return Event(onset=onset, offset=onset + 1, label=label, score=score)


TABLE = {
    "a.wav": [event("dog", 0, 0.5), event("cat", 1, 0.9), event("dog", 2, 0.7)],
    "b.wav": [event("dog", 0, 0.6), event("dog", 3, 0.7)],
    "c.wav": [],
}


def taken(**settings):
    """Recording and onset of the events of dogs, and of the others."""
    chosen = choose_events(TABLE, ClipChoice(**settings))
    found = [(name, item) for name, events in chosen.items() for item in events]
    return [[(name, item.onset) for name, item in found if (item.label == "dog") == dog] for dog in (True, False)]


def test_all_events_in_the_order_of_the_table():
    assert choose_events(TABLE, ClipChoice()) == {name: TABLE[name] for name in ("a.wav", "b.wav")}


def test_classes_and_thresholds():
    assert taken(classes=("cat",)) == [[], [("a.wav", 1)]]
    assert taken(exclude=("dog",)) == [[], [("a.wav", 1)]]
    assert taken(classes=("cat", "dog"), exclude=("cat",), threshold=0.7) == [[("a.wav", 2), ("b.wav", 3)], []]
    assert taken(threshold=0.7, class_thresholds={"cat": 0.95, "dog": 0.6})[1] == []
    assert taken(threshold=0.7, class_thresholds={"dog": 0.6})[0] == [("a.wav", 2), ("b.wav", 0), ("b.wav", 3)]


def test_the_best_of_each_class():
    assert taken(at_most=1)[1] == [("a.wav", 1)]
    assert taken(at_most=2)[0] == [("a.wav", 2), ("b.wav", 3)]
    assert taken(at_most=3)[0] == [("a.wav", 2), ("b.wav", 0), ("b.wav", 3)]


def test_chance_decides_among_those_that_are_equally_good():
    """Else clips of labels, which have no scores, would all be of the first recordings."""
    table = {f"{index}.wav": [event("dog", onset) for onset in range(10)] for index in range(10)}
    chosen = choose_events(table, ClipChoice(at_most=20))
    assert sum(map(len, chosen.values())) == 20
    assert len(chosen) > 6


def test_what_lies_between_events():
    def rest(duration_s, *times):
        events = [Event(onset=onset, offset=offset, label="dog") for onset, offset in times]
        return [(item.onset, item.offset) for item in rest_events(events, duration_s, label="rest")]

    assert rest(9.0) == [(0.0, 9.0)]
    assert rest(0.9) == []
    assert rest(25.0) == [(0.0, 25 / 3), (25 / 3, 50 / 3), (50 / 3, 25.0)]
    assert rest(9.0, (3, 4), (3.5, 5), (0, 0.5)) == [(1.0, 2.5), (5.5, 9.0)]
    # less than a second is left out, and so is what lies behind the end
    assert rest(9.0, (1.4, 6), (7.9, 8.2)) == []
    assert rest(9.0, (2, 30), (40, 50)) == [(0.0, 1.5)]
    assert rest(9.0, (20, 30)) == [(0.0, 9.0)]
    assert {item.label for item in rest_events([], 9.0, label="rest")} == {"rest"}


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 20)), max_size=6), st.floats(0.1, 60))
def test_what_lies_between_events_touches_none_and_stays_inside(times, duration_s):
    events = [Event(onset=onset, offset=onset + more, label="dog") for onset, more in times]
    found = rest_events(events, duration_s, label="rest")
    for item in found:
        assert 0 <= item.onset < item.offset <= duration_s
        assert 1.0 - 1e-9 <= item.duration_s <= 10.0 + 1e-9
        assert all(item.offset <= event.onset - 0.49 or item.onset >= event.offset + 0.49 for event in events)
    assert found == sorted(found, key=lambda item: item.onset)


def test_labels_of_people_are_surer_than_any_score():
    table = {"a.wav": [event("dog", 0, 0.99), event("dog", 2)]}
    assert choose_events(table, ClipChoice(at_most=1, threshold=1.0)) == {"a.wav": [event("dog", 2)]}


@given(st.integers(1, 30), st.integers(1, 40))
def test_chance_takes_as_many_as_asked_for_and_the_same_every_time(at_most, n_events):
    table = {f"{index % 3}.wav": [] for index in range(3)}
    for index in range(n_events):
        table[f"{index % 3}.wav"].append(event("dog", index, index / n_events))
    choice = ClipChoice(at_most=at_most, pick=Pick.RANDOM)
    chosen = choose_events(table, choice)
    assert sum(map(len, chosen.values())) == min(at_most, n_events)
    assert chosen == choose_events(table, choice)
    assert all(events == [item for item in table[name] if item in events] for name, events in chosen.items())


def test_chance_does_not_take_the_best_or_the_first():
    table = {"a.wav": [event("dog", index, 1 - index / 100) for index in range(100)]}
    onsets = [item.onset for item in choose_events(table, ClipChoice(at_most=20, pick=Pick.RANDOM))["a.wav"]]
    assert 30 < sum(onsets) / 20 < 70


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threshold": 1.5}, "threshold is 1.5, expected 0 to 1"),
        ({"class_thresholds": {"dog": -1}}, "threshold is -1, expected 0 to 1"),
        ({"at_most": 0}, "at_most is 0, expected at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, expected):
    with pytest.raises(ConfigError, match=expected):
        ClipChoice(**settings)


def test_names_tell_recording_time_and_score_and_sort_by_time():
    paths = [
        clip_path(Event(onset=onset, offset=onset + 0.0404, label="dog", score=score), PurePath("sub/a.wav"))
        for onset, score in ((9.9996, None), (10.5, 0.999), (86399.25, 0.5))
    ]
    assert [str(path) for path in paths] == [
        "dog/sub/a.wav_00010.000-00010.040.wav",
        "dog/sub/a.wav_00010.500-00010.540_1.00.wav",
        "dog/sub/a.wav_86399.250-86399.290_0.50.wav",
    ]
    assert paths == sorted(paths)


@pytest.mark.parametrize("label", ["", "a/b", "..", ".dog", "a\\b", "a\0b", "\ud800"])
def test_labels_that_no_folder_can_have_are_refused(label):
    with pytest.raises(ConfigError, match="cannot be the name of a folder, expected a class without slashes"):
        clip_path(Event(onset=0, offset=1, label=label), PurePath("a.wav"))
