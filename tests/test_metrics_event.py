"""Event-based metrics against hand-computed cases and an exhaustive matching."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ConfigError, ManifestError
from compactcli.events import Event
from compactcli.metrics.counts import Counts, RecordingEvents
from compactcli.metrics.event import event_metrics, max_matching

CLASSES = ("dog", "rain", "siren")


def event(onset: float, offset: float, label: str = "dog") -> Event:
    return Event(onset=onset, offset=offset, label=label)


def score(reference: list[Event], estimated: list[Event], **collars: float) -> Counts:
    recording = RecordingEvents(reference=reference, estimated=estimated, duration_s=100.0)
    return event_metrics([recording], CLASSES, **collars).micro


@pytest.mark.parametrize(
    ("onset", "offset", "found"),
    [
        (1.0, 2.0, True),
        (1.2, 2.0, True),  # on the onset collar, although 1.2 - 1.0 > 0.2 in float64
        (0.8, 2.0, True),
        (1.21, 2.0, False),
        (0.79, 2.0, False),
        (1.0, 2.5, True),  # half of the reference's length of 1 s
        (1.0, 1.5, True),
        (1.0, 2.51, False),
        (1.0, 1.49, False),
    ],
)
def test_collars_around_an_event_of_one_second(onset: float, offset: float, found: bool) -> None:
    expected = Counts(tp=1) if found else Counts(fp=1, fn=1)
    assert score([event(1.0, 2.0)], [event(onset, offset)]) == expected


def test_the_fixed_offset_collar_serves_short_events() -> None:
    # half of 0.1 s would be 0.05 s
    assert score([event(1.0, 1.1)], [event(1.0, 1.3)]) == Counts(tp=1)
    assert score([event(1.0, 1.1)], [event(1.0, 1.31)]) == Counts(fp=1, fn=1)


def test_the_offset_collar_comes_from_the_reference_length() -> None:
    assert score([event(0.0, 4.0)], [event(0.0, 2.0)]) == Counts(tp=1)
    assert score([event(0.0, 2.0)], [event(0.0, 4.0)]) == Counts(fp=1, fn=1)


def test_labels_must_agree() -> None:
    assert score([event(0, 1, "dog")], [event(0, 1, "rain")]) == Counts(fp=1, fn=1)


def test_an_event_is_matched_once() -> None:
    assert score([event(1.0, 2.0)], [event(1.0, 2.0), event(1.05, 2.0)]) == Counts(tp=1, fp=1)
    assert score([event(1.0, 2.0), event(1.05, 2.0)], [event(1.0, 2.0)]) == Counts(tp=1, fn=1)


def test_matching_is_optimal_where_a_greedy_one_loses_a_pair() -> None:
    # the first reference fits both estimates, the second only the first of them
    reference = [event(1.0, 2.0), event(0.7, 2.0)]
    estimated = [event(0.9, 2.0), event(1.2, 2.0)]
    assert score(reference, estimated) == Counts(tp=2)


def test_collars_can_be_chosen() -> None:
    reference, estimated = [event(1.0, 2.0)], [event(1.3, 2.4)]
    assert score(reference, estimated, onset_collar_s=0.3) == Counts(tp=1)
    assert score(reference, estimated, onset_collar_s=0.3, offset_collar_rate=0.3) == Counts(fp=1, fn=1)
    assert score(reference, estimated, onset_collar_s=0.3, offset_collar_rate=0.3, offset_collar_s=0.4) == Counts(tp=1)
    assert score(reference, [event(1.0, 2.0)], onset_collar_s=0, offset_collar_s=0, offset_collar_rate=0) == Counts(
        tp=1
    )


def test_events_of_different_recordings_do_not_match() -> None:
    recordings = [
        RecordingEvents(reference=[event(0, 1)], estimated=[], duration_s=5.0),
        RecordingEvents(reference=[], estimated=[event(0, 1)], duration_s=5.0),
    ]
    assert event_metrics(recordings, CLASSES).micro == Counts(fp=1, fn=1)


def test_averages_of_a_case_done_by_hand() -> None:
    recording = RecordingEvents(
        reference=[event(0, 1), event(2, 3), event(4, 5), event(0, 1, "rain")],
        estimated=[event(0, 1), event(2.1, 3), event(9, 10)],
        duration_s=10.0,
    )
    metrics = event_metrics([recording], CLASSES)
    assert dict(metrics.per_class) == {"dog": Counts(tp=2, fp=1, fn=1), "rain": Counts(fn=1), "siren": Counts()}
    assert metrics.micro.f1 == pytest.approx(4 / 7)
    assert metrics.macro.n_classes == 2
    assert metrics.macro.precision == pytest.approx(1 / 3)
    assert metrics.macro.recall == pytest.approx(1 / 3)
    assert metrics.macro.f1 == pytest.approx(1 / 3)


def exhaustive_matching(candidates: list[list[int]], used: frozenset[int] = frozenset()) -> int:
    if not candidates:
        return 0
    best = exhaustive_matching(candidates[1:], used)
    for right in candidates[0]:
        if right not in used:
            best = max(best, 1 + exhaustive_matching(candidates[1:], used | {right}))
    return best


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), max_size=6))
def test_matching_agrees_with_an_exhaustive_search(candidates: list[list[int]]) -> None:
    assert max_matching(candidates) == exhaustive_matching(candidates)


def test_matching_follows_a_path_longer_than_the_interpreter_stack() -> None:
    # the last item pushes each of the others one place on
    n_items = 5000
    candidates = [[index, index + 1] for index in range(n_items)] + [[0]]
    assert max_matching(candidates) == n_items + 1


# steps of 0.07 s keep onset distances off the collar of 0.2 s, where rounding would decide
fine_events = st.lists(
    st.builds(
        lambda onset, length, label: event(onset * 0.07 + 0.003, (onset + length) * 0.07 + 0.003, label),
        st.integers(0, 12),
        st.integers(1, 8),
        st.sampled_from(CLASSES[:2]),
    ),
    max_size=5,
)


def brute_force_hits(reference: list[Event], estimated: list[Event]) -> int:
    def fits(true: Event, said: Event) -> bool:
        collar = max(0.2, 0.5 * (true.offset - true.onset))
        return (
            true.label == said.label
            and abs(true.onset - said.onset) <= 0.2
            and abs(true.offset - said.offset) <= collar + 1e-9
        )

    few, many, swapped = reference, estimated, False
    if len(few) > len(many):
        few, many, swapped = many, few, True
    return max(
        sum(fits(other, item) if swapped else fits(item, other) for item, other in zip(few, chosen, strict=True))
        for chosen in itertools.permutations(many, len(few))
    )


@given(fine_events, fine_events)
def test_counts_agree_with_every_possible_pairing(reference: list[Event], estimated: list[Event]) -> None:
    tp = brute_force_hits(reference, estimated)
    assert score(reference, estimated) == Counts(tp=tp, fp=len(estimated) - tp, fn=len(reference) - tp)


@given(fine_events)
def test_a_list_matches_itself(events: list[Event]) -> None:
    assert score(events, events) == Counts(tp=len(events))


@pytest.mark.parametrize("name", ["onset_collar_s", "offset_collar_s", "offset_collar_rate"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_collars_must_not_be_negative(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*, expected a number, 0 or more"):
        score([], [], **{name: value})


@pytest.mark.parametrize(("reference", "estimated"), [(["cat"], []), ([], ["cat"])])
def test_an_unknown_label_is_refused(reference: list[str], estimated: list[str]) -> None:
    with pytest.raises(ManifestError, match="event label 'cat' is not one of the 3 classes"):
        score([event(0, 1, label) for label in reference], [event(0, 1, label) for label in estimated])
