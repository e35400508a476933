"""Segment-based metrics against hand-computed cases and a brute-force oracle."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ConfigError, ManifestError
from compactcli.events import Event
from compactcli.metrics.counts import Counts, RecordingEvents, summarise
from compactcli.metrics.segment import segment_metrics

CLASSES = ("dog", "rain", "siren")


def event(onset: float, offset: float, label: str = "dog") -> Event:
    return Event(onset=onset, offset=offset, label=label)


def score(
    reference: list[Event], estimated: list[Event], duration_s: float = 10.0, time_resolution_s: float = 1.0
) -> dict[str, Counts]:
    recording = RecordingEvents(reference=reference, estimated=estimated, duration_s=duration_s)
    return dict(segment_metrics([recording], CLASSES, time_resolution_s=time_resolution_s).per_class)


def test_a_segment_is_active_when_any_part_of_an_event_falls_into_it() -> None:
    # reference touches seconds 0, 1, 2; the estimate 2 and 3
    assert score([event(0.99, 2.01)], [event(2.9, 3.1)])["dog"] == Counts(tp=1, fp=1, fn=2)


def test_an_event_that_ends_on_an_edge_does_not_touch_the_next_segment() -> None:
    assert score([event(1.0, 2.0)], [event(1.2, 1.3)])["dog"] == Counts(tp=1)
    assert score([event(0.1 + 0.2, 0.9)], [event(0.3, 0.4)], time_resolution_s=0.1)["dog"] == Counts(tp=1, fn=5)


def test_two_events_in_one_segment_count_once() -> None:
    assert score([event(0.1, 0.2), event(0.5, 0.6)], [event(0.8, 0.9)])["dog"] == Counts(tp=1)


def test_the_last_segment_may_be_shorter() -> None:
    assert score([event(10.2, 10.4)], [], duration_s=10.5)["dog"] == Counts(fn=1)


def test_what_lies_after_the_end_is_not_counted() -> None:
    assert score([event(9.5, 14.0)], [event(12.0, 13.0)])["dog"] == Counts(fn=1)


def test_rounding_of_the_duration_opens_no_segment() -> None:
    # 0.1 * 3 is a hair above 0.3
    assert score([event(0.0, 0.1 * 3)], [], duration_s=0.1 * 3, time_resolution_s=0.1)["dog"] == Counts(fn=3)


def test_an_empty_recording_counts_nothing() -> None:
    assert score([], [], duration_s=0.0) == dict.fromkeys(CLASSES, Counts())


def test_classes_are_scored_apart() -> None:
    counts = score([event(0, 2, "dog")], [event(0, 1, "rain"), event(1, 2, "dog")])
    assert counts == {"dog": Counts(tp=1, fn=1), "rain": Counts(fp=1), "siren": Counts()}
    assert list(counts) == list(CLASSES)


def test_micro_and_macro_averages_of_a_case_done_by_hand() -> None:
    recordings = [
        RecordingEvents(reference=[event(0, 6, "dog")], estimated=[event(0, 3, "dog")], duration_s=10.0),
        RecordingEvents(reference=[], estimated=[event(4, 6, "rain")], duration_s=10.0),
    ]
    metrics = segment_metrics(recordings, CLASSES)
    assert metrics.micro == Counts(tp=3, fp=2, fn=3)
    assert metrics.micro.precision == pytest.approx(3 / 5)
    assert metrics.micro.recall == pytest.approx(3 / 6)
    assert metrics.micro.f1 == pytest.approx(6 / 11)
    # dog: precision 1, recall 1/2, F1 2/3; rain: false alarms only, 0; siren: nowhere, left out
    assert metrics.macro.n_classes == 2
    assert metrics.macro.precision == pytest.approx(1 / 2)
    assert metrics.macro.recall == pytest.approx(1 / 4)
    assert metrics.macro.f1 == pytest.approx(1 / 3)


def test_nothing_at_all_gives_zeros() -> None:
    metrics = segment_metrics([], CLASSES)
    assert (metrics.micro.precision, metrics.micro.recall, metrics.micro.f1) == (0.0, 0.0, 0.0)
    assert (metrics.macro.n_classes, metrics.macro.f1) == (0, 0.0)


def test_a_class_that_was_missed_altogether_counts_with_zero() -> None:
    metrics = summarise({"dog": Counts(tp=2), "rain": Counts(fn=3)})
    assert metrics.macro.f1 == pytest.approx(0.5)


def brute_force(reference: list[Event], estimated: list[Event], duration_s: float, step_s: float) -> dict[str, Counts]:
    counts = {}
    for label in CLASSES:
        cells = {"tp": 0, "fp": 0, "fn": 0, "nothing": 0}
        for index in range(math.ceil(duration_s / step_s)):
            start, stop = index * step_s, (index + 1) * step_s
            true, said = (
                any(item.label == label and item.onset < stop and item.offset > start for item in events)
                for events in (reference, estimated)
            )
            cells[{(True, True): "tp", (False, True): "fp", (True, False): "fn"}.get((true, said), "nothing")] += 1
        counts[label] = Counts(tp=cells["tp"], fp=cells["fp"], fn=cells["fn"])
    return counts


# quarters are exact in float64, so edges are hit often and without rounding
quarter_events = st.lists(
    st.builds(
        lambda onset, length, label: event(onset / 4, (onset + length) / 4, label),
        st.integers(0, 40),
        st.integers(1, 12),
        st.sampled_from(CLASSES),
    ),
    max_size=8,
)


@given(quarter_events, quarter_events, st.integers(0, 48), st.sampled_from([0.5, 1.0, 2.0]))
def test_counts_agree_with_brute_force(
    reference: list[Event], estimated: list[Event], quarters: int, step_s: float
) -> None:
    expected = brute_force(reference, estimated, quarters / 4, step_s)
    assert score(reference, estimated, quarters / 4, step_s) == expected


def test_counts_of_many_recordings_are_the_sum_of_each() -> None:
    rng = random.Random(3)
    recordings = []
    for _ in range(20):
        lists = [
            [
                event(onset := rng.random() * 9, onset + rng.random() + 0.01, rng.choice(CLASSES))
                for _ in range(rng.randint(0, 6))
            ]
            for _ in range(2)
        ]
        recordings.append(RecordingEvents(reference=lists[0], estimated=lists[1], duration_s=10.0))
    metrics = segment_metrics(iter(recordings), CLASSES)
    for label in CLASSES:
        single = [brute_force(list(item.reference), list(item.estimated), 10.0, 1.0)[label] for item in recordings]
        assert metrics.per_class[label] == sum(single, Counts())
    assert metrics.micro == sum(metrics.per_class.values(), Counts())


@pytest.mark.parametrize("step_s", [0.0, -1.0, float("inf"), float("nan")])
def test_the_segment_length_must_be_positive(step_s: float) -> None:
    with pytest.raises(ConfigError, match=r"time_resolution_s is .*, expected seconds, more than 0"):
        segment_metrics([], CLASSES, time_resolution_s=step_s)


@pytest.mark.parametrize("duration_s", [-0.1, float("inf"), float("nan")])
def test_a_duration_must_be_a_number_of_seconds(duration_s: float) -> None:
    with pytest.raises(ConfigError, match=r"a recording lasts .* seconds, expected 0 or more"):
        RecordingEvents(reference=[], estimated=[], duration_s=duration_s)


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ManifestError, match="event label 'cat' is not one of the 3 classes"):
        score([event(0, 1, "cat")], [])
