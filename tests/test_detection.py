"""Detection against a plain-Python oracle, hand-computed cases, any cutting into pieces, and refusals."""

import pickle
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compactcli.config import DetectionConfig
from compactcli.detection import EventDecoder, decoder, detect_events
from compactcli.errors import ConfigError
from compactcli.events import Event, sort_events
from compactcli.scores import FrameScores
from compactcli.timing import FrameClock

CLOCK = FrameClock(sample_rate=16000, frame_length=640)
PLAIN = DetectionConfig(median_s=0, max_gap_s=0, min_duration_s=0)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, np.newaxis]


def detect(probabilities: np.ndarray, config: DetectionConfig, *, n_samples: int | None = None) -> list[Event]:
    n_samples = len(probabilities) * 640 if n_samples is None else n_samples
    classes = ("rain", "dog", "siren")[: probabilities.shape[1]]
    return detect_events(
        FrameScores(probabilities=probabilities, edges_s=CLOCK.edges_s(n_samples), classes=classes), config
    )


def intervals(events: list[Event]) -> list[tuple[float, float]]:
    return [(event.onset, event.offset) for event in events]


def test_an_event_goes_on_while_the_score_stays_above_the_lower_threshold() -> None:
    scores = column(0.3, 0.5, 0.3, 0.25, 0.4, 0.2, 0.4, 0.6)
    config = DetectionConfig(threshold=0.5, hysteresis=0.25, median_s=0, max_gap_s=0, min_duration_s=0)
    # frame 0 is above the lower threshold, but nothing has begun; frame 3 is at it; frame 6 comes after the end
    assert intervals(detect(scores, config)) == [(0.04, 0.2), (0.28, 0.32)]
    assert intervals(detect(scores, PLAIN)) == [(0.04, 0.08), (0.28, 0.32)]


@pytest.mark.parametrize(("threshold", "hysteresis"), [(0.5, 0.2), (0.7, 0.4), (0.8, 0.1), (1.0, 0.3)])
def test_a_probability_at_the_lower_threshold_keeps_an_event_going(threshold: float, hysteresis: float) -> None:
    config = DetectionConfig(threshold=threshold, hysteresis=hysteresis, median_s=0, max_gap_s=0, min_duration_s=0)
    lower = round(threshold - hysteresis, 1)
    below = np.nextafter(np.float32(lower), np.float32(0))
    assert intervals(detect(column(threshold, lower, below), config)) == [(0.0, 0.08)]


def test_the_lower_threshold_follows_the_threshold_of_the_class() -> None:
    config = DetectionConfig(class_thresholds={"dog": 0.9}, hysteresis=0.2, median_s=0, max_gap_s=0, min_duration_s=0)
    events = detect(np.tile(column(0.95, 0.65, 0.65), (1, 2)), config)
    assert [(event.label, event.offset) for event in events] == [("dog", 0.04), ("rain", 0.12)]


def test_a_large_hysteresis_still_lets_events_end() -> None:
    config = DetectionConfig(threshold=0.3, hysteresis=1, median_s=0, max_gap_s=0, min_duration_s=0)
    assert intervals(detect(column(0.3, 0.01, 0.009, 0.3), config)) == [(0.0, 0.08), (0.12, 0.16)]


def test_hysteresis_never_raises_a_threshold() -> None:
    config = DetectionConfig(threshold=0.004, hysteresis=0.002, median_s=0, max_gap_s=0, min_duration_s=0)
    assert intervals(detect(column(0.004, 0.003), config)) == [(0.0, 0.04)]


def test_the_next_recording_begins_without_an_event() -> None:
    config = DetectionConfig(hysteresis=0.3, median_s=0, max_gap_s=0, min_duration_s=0)
    decoder = EventDecoder(config, ("rain",), CLOCK)
    decoder.push(column(0.9))
    decoder.finish(640)
    decoder.push(column(0.3))
    assert decoder.finish(640) == []


def test_neighbouring_active_frames_are_one_event_with_its_highest_score() -> None:
    events = detect(column(0.1, 0.6, 0.9, 0.7, 0.2), PLAIN)
    assert events == [Event(onset=0.04, offset=0.16, label="rain", score=float(np.float32(0.9)))]


def test_a_burst_is_found_where_it_is() -> None:
    probabilities = np.full((100, 1), 0.05, dtype=np.float32)
    probabilities[25:50] = 0.95
    assert intervals(detect(probabilities, DetectionConfig())) == [(1.0, 2.0)]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.1, 1 / 3, 1.0])
def test_a_probability_at_the_threshold_is_active(threshold: float) -> None:
    below = np.nextafter(np.float32(threshold), np.float32(0))
    config = DetectionConfig(threshold=threshold, median_s=0, max_gap_s=0, min_duration_s=0)
    assert intervals(detect(column(0, threshold, below), config)) == [(0.04, 0.08)]


def test_a_threshold_of_zero_makes_the_whole_recording_one_event() -> None:
    config = DetectionConfig(threshold=0, median_s=0, max_gap_s=0, min_duration_s=0)
    assert intervals(detect(column(0, 0, 0), config)) == [(0.0, 0.12)]


def test_single_classes_can_have_their_own_threshold() -> None:
    config = DetectionConfig(class_thresholds={"dog": 0.9}, median_s=0, max_gap_s=0, min_duration_s=0)
    events = detect(np.full((3, 2), 0.6, dtype=np.float32), config)
    assert [event.label for event in events] == ["rain"]


def test_the_median_removes_a_spike_and_fills_a_hole() -> None:
    config = DetectionConfig(median_s=0.12, max_gap_s=0, min_duration_s=0)
    assert detect(column(0, 0, 1, 0, 0), config) == []
    assert intervals(detect(column(0, 1, 1, 0, 1, 1, 0), config)) == [(0.04, 0.24)]


def test_the_median_repeats_the_frames_at_both_ends() -> None:
    # windows of 5: frame 0 sees frames 0 0 0 1 2, frame 1 sees 0 0 1 2 3, and frame 6 sees 4 5 6 6 6
    config = DetectionConfig(median_s=0.2, max_gap_s=0, min_duration_s=0)
    assert intervals(detect(column(1, 0, 1, 0, 0, 0, 1), config)) == [(0.0, 0.08), (0.24, 0.28)]


def test_the_score_is_the_smoothed_probability() -> None:
    config = DetectionConfig(median_s=0.12, max_gap_s=0, min_duration_s=0)
    (event,) = detect(column(0.1, 0.6, 0.9, 0.7, 0.1), config)
    assert event.score == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize(("median_s", "n_frames"), [(0.0, 1), (0.04, 1), (0.079, 1), (0.08, 3), (0.2, 5), (0.28, 7)])
def test_the_median_takes_the_nearest_odd_number_of_frames(median_s: float, n_frames: int) -> None:
    # a block of k active frames survives a median of up to 2 k - 1 frames and no more
    config = DetectionConfig(median_s=median_s, max_gap_s=0, min_duration_s=0)
    shortest = (n_frames + 1) // 2
    survives, vanishes = np.zeros((2, 30, 1), dtype=np.float32)
    survives[10 : 10 + shortest] = 1
    vanishes[10 : 10 + shortest - 1] = 1
    assert len(detect(survives, config)) == 1
    assert detect(vanishes, config) == []


@pytest.mark.parametrize(("max_gap_s", "n_events"), [(0.0, 2), (0.07, 2), (0.08, 1), (0.2, 1)])
def test_gaps_up_to_the_longest_one_are_closed(max_gap_s: float, n_events: int) -> None:
    config = DetectionConfig(median_s=0, max_gap_s=max_gap_s, min_duration_s=0)
    assert len(detect(column(1, 0, 0, 1), config)) == n_events


@pytest.mark.parametrize(("min_duration_s", "n_events"), [(0.0, 2), (0.08, 2), (0.081, 1), (0.12, 1), (0.121, 0)])
def test_events_shorter_than_the_shortest_one_are_dropped(min_duration_s: float, n_events: int) -> None:
    config = DetectionConfig(median_s=0, max_gap_s=0, min_duration_s=min_duration_s)
    assert len(detect(column(1, 1, 0, 1, 1, 1, 0), config)) == n_events


def test_gaps_are_closed_before_short_events_are_dropped() -> None:
    config = DetectionConfig(median_s=0, max_gap_s=0.04, min_duration_s=0.12)
    assert intervals(detect(column(1, 0, 1), config)) == [(0.0, 0.12)]


def test_the_last_frame_ends_with_the_recording() -> None:
    assert intervals(detect(column(0, 1, 1), PLAIN, n_samples=1500)) == [(0.04, 1500 / 16000)]
    config = DetectionConfig(median_s=0, max_gap_s=0, min_duration_s=0.06)
    assert detect(column(0, 1, 1), config, n_samples=1500) == []


def test_a_recording_shorter_than_the_median_window_is_decoded() -> None:
    assert intervals(detect(column(0.9), DetectionConfig(median_s=1, min_duration_s=0), n_samples=100)) == [
        (0.0, 100 / 16000)
    ]


def test_a_recording_without_frames_has_no_events() -> None:
    assert detect(np.zeros((0, 2), dtype=np.float32), DetectionConfig()) == []
    decoder = EventDecoder(DetectionConfig(), ("rain",), CLOCK)
    assert decoder.push(np.zeros((0, 1), dtype=np.float32)) == []
    assert decoder.finish(0) == []


def test_events_of_one_onset_are_ordered_by_label() -> None:
    events = detect(np.ones((3, 3), dtype=np.float32), PLAIN)
    assert [event.label for event in events] == ["dog", "rain", "siren"]


def test_times_are_exact_after_hours() -> None:
    decoder = EventDecoder(PLAIN, ("rain",), CLOCK)
    silence = np.zeros((90_000, 1), dtype=np.float32)
    for _ in range(3):
        assert decoder.push(silence) == []
    decoder.push(column(1, 1))
    assert intervals(decoder.finish(270_002 * 640)) == [(10_800.0, 10_800.08)]


def oracle(probabilities: np.ndarray, config: DetectionConfig, clock: FrameClock, n_samples: int) -> list[Event]:
    """The same rules, one class, frame and gap at a time, in exact fractions of a second."""
    frame_s = Fraction(clock.frame_length, clock.sample_rate)
    median_s, max_gap_s, min_duration_s = (
        Fraction(str(value)) for value in (config.median_s, config.max_gap_s, config.min_duration_s)
    )
    n_median = max(range(1, 99, 2), key=lambda n: (-abs(n * frame_s - median_s), n))
    events = []
    for index, label in enumerate(("rain", "dog", "siren")[: probabilities.shape[1]]):
        values = probabilities[:, index].tolist()
        padded = values[:1] * (n_median // 2) + values + values[-1:] * (n_median // 2)
        smoothed = [statistics.median(padded[i : i + n_median]) for i in range(len(values))]
        threshold = float(np.float32(config.threshold_of(label)))
        lower = threshold
        if config.hysteresis and threshold > 0.01:
            exact = Fraction(str(config.threshold_of(label))) - Fraction(str(config.hysteresis))
            lower = float(np.float32(float(max(exact, Fraction(1, 100)))))
        runs: list[list[int]] = []
        active = False
        for frame, value in enumerate(smoothed):
            active = value >= (lower if active else threshold)
            if not active:
                continue
            if runs and (frame - runs[-1][1]) * frame_s <= max_gap_s:
                runs[-1][1] = frame + 1
            else:
                runs.append([frame, frame + 1])
        for first, stop in runs:
            onset = first * frame_s
            offset = min(stop * frame_s, Fraction(n_samples, clock.sample_rate))
            if offset - onset >= min_duration_s:
                score = max(smoothed[first:stop])
                events.append(Event(onset=float(onset), offset=float(offset), label=label, score=score))
    return sort_events(events)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    n_frames, n_classes = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    levels = draw(st.lists(st.integers(0, 10), min_size=n_frames * n_classes, max_size=n_frames * n_classes))
    probabilities = (np.array(levels, dtype=np.float32) / np.float32(10)).reshape(n_frames, n_classes)
    return probabilities, n_frames * 640 - draw(st.integers(0, 639))


durations = st.sampled_from([0.0, 0.04, 0.05, 0.08, 0.1, 0.12, 0.2, 0.28, 0.5])
configs = st.builds(
    DetectionConfig,
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    class_thresholds=st.sampled_from([{}, {"rain": 0.2}]),
    hysteresis=st.sampled_from([0.0, 0.1, 0.2, 0.4, 1.0]),
    median_s=durations,
    max_gap_s=durations,
    min_duration_s=durations,
)


@settings(max_examples=300)
@given(recordings(), configs)
def test_events_agree_with_the_oracle(recording: tuple[np.ndarray, int], config: DetectionConfig) -> None:
    probabilities, n_samples = recording
    assert detect(probabilities, config, n_samples=n_samples) == oracle(probabilities, config, CLOCK, n_samples)


@settings(max_examples=300)
@given(recordings(), configs, st.lists(st.integers(0, 12), max_size=12))
def test_events_do_not_depend_on_how_frames_arrive(
    recording: tuple[np.ndarray, int], config: DetectionConfig, sizes: list[int]
) -> None:
    probabilities, n_samples = recording
    classes = ("rain", "dog", "siren")[: probabilities.shape[1]]
    whole, pieces = (EventDecoder(config, classes, CLOCK) for _ in range(2))
    expected = whole.push(probabilities) + whole.finish(n_samples)
    found = []
    for piece in np.split(probabilities, np.minimum(np.cumsum([0, *sizes]), len(probabilities))):
        found += pieces.push(piece)
    found += pieces.finish(n_samples)
    assert found == expected
    assert sort_events(found) == detect(probabilities, config, n_samples=n_samples)
    ends = [(event.offset, classes.index(event.label)) for event in found]
    assert ends == sorted(ends)


def test_events_do_not_depend_on_the_size_of_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = np.random.default_rng(0).random((500, 3), dtype=np.float32)
    expected = detect(probabilities, DetectionConfig())
    monkeypatch.setattr(decoder, "WORKSPACE_VALUES", 60)
    assert len(expected) > 20
    assert detect(probabilities, DetectionConfig()) == expected


def test_an_event_is_returned_once_nothing_can_change_it() -> None:
    decoder = EventDecoder(DetectionConfig(median_s=0.12, max_gap_s=0.08, min_duration_s=0), ("rain",), CLOCK)
    assert decoder.push(column(1, 1, 1)) == []
    # one frame waits for its right neighbour in the median, two for a gap that may close
    assert decoder.push(column(0, 0, 0)) == []
    assert intervals(decoder.push(column(0))) == [(0.0, 0.12)]
    assert decoder.finish(7 * 640) == []


def test_memory_does_not_grow_with_the_recording() -> None:
    decoder = EventDecoder(DetectionConfig(median_s=0.2), ("rain", "dog"), CLOCK)
    piece = np.tile(np.array([[0.9, 0.9], [0.9, 0.1]], dtype=np.float32), (50, 1))
    decoder.push(piece)
    early = len(pickle.dumps(decoder))
    for _ in range(200):
        decoder.push(piece)
    # a larger frame number takes a few bytes more
    assert len(pickle.dumps(decoder)) <= early + 16


def test_a_piece_that_the_caller_overwrites_does_not_change_the_result() -> None:
    decoder = EventDecoder(DetectionConfig(median_s=0.2, min_duration_s=0), ("rain",), CLOCK)
    piece = column(1, 1, 1)
    decoder.push(piece)
    piece[:] = 0
    assert intervals(decoder.finish(3 * 640)) == [(0.0, 0.12)]


def test_a_decoder_can_be_used_for_the_next_recording() -> None:
    decoder = EventDecoder(DetectionConfig(), ("rain",), CLOCK)
    probabilities = np.random.default_rng(1).random((200, 1), dtype=np.float32)
    first = decoder.push(probabilities) + decoder.finish(200 * 640)
    second = decoder.push(probabilities) + decoder.finish(200 * 640)
    assert len(first) > 5
    assert first == second


def test_thresholds_of_unknown_classes_are_refused() -> None:
    config = DetectionConfig(class_thresholds={"cat": 0.5})
    for probabilities in (column(1), np.zeros((0, 1), dtype=np.float32)):
        with pytest.raises(ConfigError, match=r"thresholds for unknown events \['cat'\], expected some of \['rain'\]"):
            detect(probabilities, config)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2, 1)])
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    decoder = EventDecoder(PLAIN, ("rain", "dog"), CLOCK)
    with pytest.raises(ConfigError, match=r"frame probabilities have shape .*, expected \(n_frames, 2\)"):
        decoder.push(np.zeros(shape, dtype=np.float32))


def test_a_recording_of_another_length_is_refused() -> None:
    decoder = EventDecoder(PLAIN, ("rain",), CLOCK)
    decoder.push(column(1, 1))
    with pytest.raises(ConfigError, match="2 frames were decoded of a recording of 640 samples, expected 1"):
        decoder.finish(640)


def test_uneven_frame_edges_are_refused() -> None:
    scores = FrameScores(probabilities=column(1, 1), edges_s=np.array([0.0, 0.04, 0.12]), classes=("rain",))
    with pytest.raises(ConfigError, match=r"not evenly spaced, expected one every 0\.04 seconds"):
        detect_events(scores, PLAIN)
