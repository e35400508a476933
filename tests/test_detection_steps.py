"""Events at steps against a plain-Python oracle, hand-made cases, and any cutting into pieces."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_detection import CLOCK, column, detect, intervals, recordings

from compactcli.config import DetectionConfig
from compactcli.detection import EventDecoder
from compactcli.detection.steps import SMALLEST_RISE
from compactcli.events import Event, sort_events

# four frames before an edge and four after it
STEPS = DetectionConfig(step_s=0.32, merge_share=0.2, max_gap_s=0.0, min_duration_s=0.0)


def frames(events):
    return [(round(event.onset / 0.04), round(event.offset / 0.04)) for event in events]


def scores(*parts):
    """One class with a score for some frames, then another, and so on."""
    return column(*[score for score, n_frames in parts for _ in range(n_frames)])


def test_an_event_lies_between_the_steepest_rise_and_the_steepest_fall():
    assert frames(detect(scores((0, 10), (0.9, 20), (0, 10)), STEPS)) == [(10, 30)]
    # where a score creeps up and then jumps, the jump counts
    rising = column(*np.linspace(0, 0.3, 10), *[0.9] * 10, *np.linspace(0.3, 0, 10))
    assert frames(detect(rising, STEPS)) == [(10, 20)]


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.85])
def test_the_threshold_moves_no_boundary(threshold):
    rising = column(*np.linspace(0, 0.3, 10), *[0.9] * 10, *np.linspace(0.3, 0, 10))
    assert frames(detect(rising, replace(STEPS, threshold=threshold))) == [(10, 20)]


def test_the_score_is_the_root_mean_square():
    [event] = detect(scores((0, 10), (0.5, 10), (0.9, 10), (0, 10)), STEPS)
    assert event.score == pytest.approx(math.sqrt((0.25 + 0.81) / 2), abs=1e-6)
    found = [
        detect(scores((0, 10), (0.5, 10), (0.9, 10), (0, 10)), replace(STEPS, threshold=value))
        for value in (0.72, 0.74)
    ]
    assert [len(events) for events in found] == [1, 0]


@pytest.mark.parametrize("score", [0.5, 0.7, 0.1, 1 / 3, 1.0])
def test_scores_at_the_threshold_reach_it(score):
    config = replace(STEPS, threshold=score)
    assert frames(detect(scores((0, 10), (score, 20), (0, 10)), config)) == [(10, 30)]
    assert detect(scores((0, 10), (score - 1e-4, 20), (0, 10)), config) == []


def test_single_classes_have_their_own_threshold():
    both = np.repeat(scores((0, 10), (0.6, 10), (0, 10)), 2, axis=1)
    assert [event.label for event in detect(both, replace(STEPS, class_thresholds={"rain": 0.7}))] == ["dog"]


def test_a_sound_that_fills_the_recording_is_one_event():
    assert frames(detect(scores((0.8, 50)), STEPS)) == [(0, 50)]
    assert intervals(detect(scores((0.8, 3)), STEPS, n_samples=1300)) == [(0.0, 1300 / 16000)]


@pytest.mark.parametrize(("level", "n_events"), [(0.0, 2), (0.15, 2), (0.17, 1), (0.4, 1)])
def test_events_with_enough_score_between_them_are_one(level, n_events):
    # a fifth of 0.8 is 0.16
    assert len(detect(scores((0, 10), (0.8, 15), (level, 15), (0.8, 15), (0, 10)), STEPS)) == n_events


def test_the_louder_neighbour_says_what_is_enough():
    parts = [(0, 10), (0.3, 15), (0.1, 15), (0.9, 15), (0, 10)]
    config = replace(STEPS, threshold=0.25)
    assert frames(detect(scores(*parts), config)) == [(10, 25), (40, 55)]
    assert frames(detect(scores(*reversed(parts)), config)) == [(10, 25), (40, 55)]
    assert frames(detect(scores(*parts), replace(config, merge_share=0.1))) == [(10, 55)]


@pytest.mark.parametrize(("max_gap_s", "n_events"), [(0.0, 2), (0.55, 2), (0.6, 1)])
def test_gaps_are_closed_between_events_and_not_between_candidates(max_gap_s, n_events):
    config = replace(STEPS, max_gap_s=max_gap_s)
    assert len(detect(scores((0, 10), (0.8, 15), (0, 15), (0.8, 15), (0, 10)), config)) == n_events
    # what does not reach the threshold draws no event on
    weak = scores((0, 10), (0.8, 15), (0, 5), (0.2, 15), (0, 10))
    assert frames(detect(weak, replace(config, merge_share=1.0))) == [(10, 25)]


def test_short_events_are_dropped():
    burst = scores((0, 10), (0.8, 5), (0, 10))
    assert [len(detect(burst, replace(STEPS, min_duration_s=value))) for value in (0.2, 0.21)] == [1, 0]


def test_a_small_rise_begins_nothing():
    small, enough = (scores((0, 10), (score, 20), (0, 10)) for score in (SMALLEST_RISE, SMALLEST_RISE + 1e-3))
    config = replace(STEPS, threshold=0.0)
    assert detect(small, config) == []
    assert frames(detect(enough, config)) == [(10, 30)]


def test_neither_median_nor_hysteresis_has_a_part():
    rough = np.random.default_rng(3).random((300, 2), dtype=np.float32)
    found = detect(rough, STEPS)
    assert len(found) > 3
    assert detect(rough, replace(STEPS, median_s=1.0, hysteresis=0.4)) == found


def test_an_event_is_returned_once_nothing_can_change_it():
    decoder = EventDecoder(replace(STEPS, max_gap_s=0.2), ("rain",), CLOCK)
    assert decoder.push(scores((0, 10), (0.9, 10), (0, 100))) == []
    # another candidate shows that the first one goes no further, and that it is more than 0.2 s away
    assert decoder.push(scores((0.9, 10), (0, 10))) == []
    assert frames(decoder.push(scores((0, 30), (0.9, 20)))) == [(10, 20)]
    assert frames(decoder.finish(190 * 640)) == [(120, 130), (170, 190)]


def test_times_are_exact_after_hours():
    decoder = EventDecoder(STEPS, ("rain",), CLOCK)
    silence = np.zeros((10_000, 1), dtype=np.float32)
    for _ in range(27):
        assert decoder.push(silence) == []
    decoder.push(scores((0, 1), (1, 2)))
    assert intervals(decoder.finish(270_003 * 640)) == [(10_800.04, 10_800.12)]


def test_memory_does_not_grow_with_the_recording():
    decoder = EventDecoder(STEPS, ("rain", "dog"), CLOCK)
    piece = np.tile(np.array([[0.9, 0.9], [0.0, 0.1]], dtype=np.float32).repeat(25, axis=0), (5, 1))
    for _ in range(2):
        decoder.push(piece)
    early = len(pickle.dumps(decoder))
    for _ in range(200):
        decoder.push(piece)
    assert len(pickle.dumps(decoder)) <= early + 50


def test_a_decoder_can_be_used_for_the_next_recording():
    decoder = EventDecoder(STEPS, ("rain",), CLOCK)
    rough = np.random.default_rng(1).random((200, 1), dtype=np.float32)
    first = decoder.push(rough) + decoder.finish(200 * 640)
    second = decoder.push(rough) + decoder.finish(200 * 640)
    assert len(first) > 1
    assert first == second


def oracle(probabilities, config, n_samples):
    """The same rules, one class and edge at a time."""
    half = max(1, round(config.step_s / 0.08))
    events = []
    for index, label in enumerate(("rain", "dog", "siren")[: probabilities.shape[1]]):
        values = probabilities[:, index].astype(float)
        n_frames = len(values)
        sums, squares = ([0.0, *np.cumsum(powers).tolist()] for powers in (values, values * values))

        def before(frame, sums=sums):
            return sums[min(max(frame, 0), len(sums) - 1)]

        def mean(first, stop, sums=sums):
            return (sums[stop] - sums[first]) / (stop - first)

        changes = [
            ((before(edge + half) - before(edge)) - (before(edge) - before(edge - half))) / half
            for edge in range(n_frames + 1)
        ]
        closed = [-math.inf, *changes, -math.inf]
        begins = [
            edge
            for edge in range(n_frames + 1)
            if changes[edge] > SMALLEST_RISE and closed[edge] <= changes[edge] > closed[edge + 2]
        ]
        boxes = []
        for begin, following in zip(begins, [*begins, n_frames + 1][1:], strict=True):
            end = min(range(begin, following), key=lambda edge: (changes[edge], edge))
            if boxes:
                first, stop = boxes[-1]
                gap = 1.0 if stop == begin else mean(stop, begin)
                if gap >= config.merge_share * max(mean(first, stop), mean(begin, end)):
                    boxes[-1] = (first, end)
                    continue
            boxes.append((begin, end))
        runs = []
        for first, stop in boxes:
            square = (squares[stop] - squares[first]) / (stop - first)
            score = float(np.float32(min(1.0, math.sqrt(max(0.0, square)))))
            if score < np.float32(config.threshold_of(label)):
                continue
            if runs and (first - runs[-1][1]) * 0.04 <= config.max_gap_s + 1e-9:
                runs[-1] = (runs[-1][0], stop, max(runs[-1][2], score))
            else:
                runs.append((first, stop, score))
        for first, stop, score in runs:
            onset, offset = first * 640 / 16000, min(stop * 640, n_samples) / 16000
            if offset - onset >= config.min_duration_s - 1e-9:
                events.append(Event(onset=onset, offset=offset, label=label, score=score))
    return sort_events(events)


def decode(probabilities, config, n_samples, sizes=()):
    """Events in frames that come in pieces; of a single short frame alone, its edges do not say how long others are."""
    decoder = EventDecoder(config, ("rain", "dog", "siren")[: probabilities.shape[1]], CLOCK)
    found = []
    for piece in np.split(probabilities, np.minimum(np.cumsum([0, *sizes]), len(probabilities))):
        found += decoder.push(piece)
    return sort_events(found + decoder.finish(n_samples))


durations = st.sampled_from([0.0, 0.04, 0.1, 0.2, 0.5])
configs = st.builds(
    DetectionConfig,
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7]),
    class_thresholds=st.sampled_from([{}, {"rain": 0.2}]),
    step_s=st.sampled_from([0.04, 0.08, 0.16, 0.32, 0.64, 3.0]),
    merge_share=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    max_gap_s=durations,
    min_duration_s=durations,
)


@settings(max_examples=300)
@given(recordings(), configs)
def test_events_agree_with_the_oracle(recording, config):
    probabilities, n_samples = recording
    assert decode(probabilities, config, n_samples) == oracle(probabilities, config, n_samples)


@settings(max_examples=300)
@given(recordings(), configs, st.lists(st.integers(0, 12), max_size=12))
def test_events_do_not_depend_on_how_frames_arrive(recording, config, sizes):
    probabilities, n_samples = recording
    assert decode(probabilities, config, n_samples, sizes) == decode(probabilities, config, n_samples)


def test_long_recordings_agree_with_the_oracle():
    generator = np.random.default_rng(4)
    rough = np.repeat(generator.random((400, 3), dtype=np.float32), 10, axis=0) ** 3
    config = replace(STEPS, step_s=0.64, max_gap_s=0.8, min_duration_s=0.1)
    found = detect(rough, config)
    assert len(found) > 50
    assert found == oracle(rough, config, len(rough) * 640)
