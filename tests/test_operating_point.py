from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import heard, label, noisy

from compactcli.config import DetectionConfig
from compactcli.detection import detect_events
from compactcli.errors import ConfigError, ManifestError
from compactcli.judging import Shared, f1_of
from compactcli.metrics.counts import Counts, RecordingEvents
from compactcli.metrics.segment import segment_metrics
from compactcli.operating_point import (
    FEW_EVENTS,
    GRIDS,
    NO_MORE_THAN_CHANCE,
    THRESHOLDS,
    TOLERANCE,
    check_references,
    fit_detection,
    nearest_of_best,
    search_shared,
)

OWN = DetectionConfig(hysteresis=0.1)
HIGH = DetectionConfig(threshold=0.7, hysteresis=0.1)
EVENTS = (*label("dog", (1, 3), (6, 8)), *label("cat", (2, 4), (10, 11)))


def of(point, name):
    return next(item for item in point.classes if item.label == name)


def total(recordings, detections):
    """Counts of each class when every recording is detected with settings of its own."""
    added = {}
    for item, detection in zip(recordings, detections, strict=True):
        pair = RecordingEvents(
            reference=item.reference, estimated=detect_events(item.scores, detection), duration_s=20.0
        )
        for name, counts in segment_metrics([pair], item.scores.classes).per_class.items():
            added[name] = added.get(name, Counts()) + counts
    return added


def test_a_class_whose_scores_are_low_gets_the_threshold_that_it_needs():
    recordings = [heard(EVENTS, {"dog": (0.9, 0.1), "cat": (0.42, 0.12)}) for _ in range(4)]
    reports = []
    point = fit_detection(recordings, OWN, report=lambda done, total: reports.append((done, total)))
    # 0.15 to 0.4 are all perfect, and 0.4 is the nearest to 0.5; what needs no change has none
    assert point.fitted == replace(OWN, class_thresholds={"cat": 0.4})
    assert (point.f1_before, point.f1_after, point.f1_cross_validated) == (0.5, 1, 1)
    assert (of(point, "cat").f1_before, of(point, "cat").f1_cross_validated, of(point, "cat").n_events) == (0, 1, 8)
    assert (of(point, "cat").threshold_before, of(point, "cat").threshold_fitted) == (0.5, 0.4)
    assert of(point, "cat").kept is of(point, "dog").kept is None
    assert point.is_better
    assert point.chosen is point.fitted
    assert (point.n_recordings, point.n_folds) == (4, 4)
    assert reports == [(done, 5) for done in range(6)]


def test_the_models_own_thresholds_of_single_classes_are_where_it_starts():
    own = replace(OWN, class_thresholds={"cat": 0.97, "dog": 0.33, "siren": 0.8})
    recordings = [heard(EVENTS, {"dog": (0.9, 0.1), "cat": (0.92, 0.12), "siren": (0.0, 0.0)}) for _ in range(4)]
    point = fit_detection(recordings, own)
    # 0.33 is not on the grid and stays
    assert point.fitted == replace(own, class_thresholds={"cat": 0.9, "dog": 0.33, "siren": 0.8})


def test_pieces_of_events_are_joined_where_events_count():
    pieces = [(start / 25, (start + 3) / 25) for start in (125, 138, 151, 164)]
    # a median that drops the pieces would drop the short ones too
    solid = label("dog", (1, 3), (12, 14), (16, 16.12), (17, 17.12), (18, 18.12))
    scores = heard((*solid, *label("dog", *pieces)), {"dog": (0.9, 0.0)})
    recordings = [replace(scores, reference=(*solid, *label("dog", (5, pieces[-1][1]))))] * 4
    own = replace(OWN, max_gap_s=0.0)
    point = fit_detection(recordings, own, metric="event")
    assert point.fitted == replace(own, max_gap_s=0.4)
    # of six events five were found, beside four pieces
    assert of(point, "dog").f1_before == pytest.approx(2 * 5 / (2 * 5 + 4 + 1))
    assert (point.f1_after, point.f1_cross_validated) == (1, 1)
    assert not fit_detection(recordings, own, metric="segment").is_better


@pytest.mark.parametrize("metric", ["segment", "event"])
@pytest.mark.parametrize("seed", range(6))
def test_labels_that_scores_know_nothing_of_change_nothing(seed, metric):
    recordings = noisy(12, informed=False, seed=seed)
    point = fit_detection(recordings, OWN, metric=metric)
    assert point.chosen == OWN
    assert not point.is_better
    # and not for want of anything to gain: at the lowest threshold F1 is higher
    low = [replace(OWN, threshold=0.05)] * 12
    if metric == "segment":
        found = np.mean([counts.f1 for counts in total(recordings, low).values()])
        assert found > point.f1_before


def test_what_fits_by_luck_does_not_stay():
    # the first recording needs a low threshold, which is wrong for the second, and the other way round
    many = label("dog", *[(start, start + 1) for start in range(0, 20, 4)])
    low, high = heard(many, {"dog": (0.42, 0.1)}), heard(many, {"dog": (0.9, 0.46)})
    own = DetectionConfig(threshold=0.4)
    point = fit_detection([low, high], own)
    assert point.f1_after > point.f1_before > point.f1_cross_validated
    assert not point.is_better
    assert point.chosen is own


def test_cross_validation_is_what_fits_on_the_others_get():
    own = DetectionConfig(threshold=0.55, hysteresis=0.1)
    recordings = noisy(7, informed=True, seed=3)
    point = fit_detection(recordings, own)
    assert point.n_folds == 5
    settings = []
    for fold in ([0, 1], [2, 3], [4], [5], [6]):
        others = [item for index, item in enumerate(recordings) if index not in fold]
        settings += [fit_detection(others, own).fitted] * len(fold)
    assert len({str(item) for item in settings}) > 1
    pooled = total(recordings, settings)
    assert {item.label: item.f1_cross_validated for item in point.classes} == pytest.approx(
        {name: counts.f1 for name, counts in pooled.items()}
    )
    for f1, detection in ((point.f1_before, own), (point.f1_after, point.fitted)):
        found = total(recordings, [detection] * 7).values()
        assert f1 == pytest.approx(np.mean([counts.f1 for counts in found]))
    assert point.is_better


def test_thresholds_are_the_nearest_of_the_best():
    recordings = noisy(6, informed=True, seed=5)
    point = fit_detection(recordings, HIGH)
    shared = {name: getattr(point.fitted, name) for name in GRIDS}
    for item in point.classes:
        levels = {
            level: total(recordings, [replace(HIGH, threshold=level, **shared)] * 6)[item.label].f1
            for level in THRESHOLDS
        }
        good = [level for level, f1 in levels.items() if f1 >= max(levels.values()) - TOLERANCE]
        assert item.threshold_fitted in good
        assert abs(item.threshold_fitted - 0.7) == pytest.approx(min(abs(level - 0.7) for level in good))
        assert item.threshold_fitted != 0.7


def test_a_class_with_few_events_keeps_its_threshold():
    levels = {"dog": (0.9, 0.1), "cat": (0.3, 0.1)}
    many, one = heard(EVENTS[:2], levels), heard((*EVENTS[:2], EVENTS[2]), levels)
    point = fit_detection([many, one, one, one, one], OWN)
    assert (of(point, "cat").n_events, of(point, "cat").kept, of(point, "cat").threshold_fitted) == (4, FEW_EVENTS, 0.5)
    assert point.fitted == OWN
    # of five events a fold's others have four, by which nothing could be fitted that the fifth might judge
    point = fit_detection([one] * 5, OWN)
    assert (of(point, "cat").n_events, of(point, "cat").kept, of(point, "cat").threshold_fitted) == (5, FEW_EVENTS, 0.5)
    assert point.fitted == OWN
    # of seven they have five at least
    point = fit_detection([one] * 7, OWN)
    assert (of(point, "cat").kept, of(point, "cat").threshold_fitted) == (None, 0.3)


def test_a_threshold_that_no_other_recording_judged_is_not_taken():
    levels = {"dog": (0.42, 0.1), "cat": (0.3, 0.1)}
    cats = label("cat", *[(start + 0.5, start + 1) for start in range(9, 20)])
    first, others = heard((*EVENTS[:2], *cats), levels), heard(EVENTS[:2], levels)
    point = fit_detection([first, *[others] * 5], OWN)
    # what dogs gain does not speak for cats, all of which are in one recording
    assert point.chosen == replace(OWN, class_thresholds={"dog": 0.4})
    assert (of(point, "cat").n_events, of(point, "cat").kept) == (11, FEW_EVENTS)
    assert (of(point, "cat").f1_after, of(point, "cat").f1_cross_validated) == (0, 0)


def test_a_class_that_sounds_nearly_always_shows_nothing():
    rain = label("rain", (0, 9), (9, 18))
    recordings = [heard(rain, {"rain": (0.4, 0.1)}) for _ in range(3)]
    point = fit_detection(recordings, OWN)
    # reported without a pause it has an F1 of 36/38
    assert of(point, "rain").kept == NO_MORE_THAN_CHANCE
    assert point.fitted == OWN


def test_recordings_without_events_count_their_false_alarms():
    levels = {"dog": (0.65, 0.1)}
    barking = [heard(label("dog", (1, 3), (6, 8)), levels)] * 4
    quiet = replace(heard(label("dog", (4, 12)), {"dog": (0.62, 0.1)}), reference=())
    assert fit_detection(barking, OWN).fitted == OWN
    point = fit_detection([*barking, quiet], OWN)
    assert of(point, "dog").f1_before == pytest.approx(2 * 16 / (2 * 16 + 8))
    assert of(point, "dog").threshold_fitted == 0.65
    assert (point.f1_after, point.n_recordings) == (1, 5)


@pytest.mark.parametrize("n_with_events", [0, 1])
def test_two_recordings_are_needed(n_with_events):
    recordings = [heard(EVENTS[:n_with_events], {"dog": (0.9, 0.1)}), heard((), {"dog": (0.9, 0.1)})]
    with pytest.raises(ConfigError, match=f"{n_with_events} of 2 labelled recordings hold an event .* at least 2"):
        fit_detection(recordings, OWN)
    check_references([EVENTS, EVENTS])
    with pytest.raises(ConfigError, match="0 of 0 labelled recordings"):
        check_references([])


def test_wrong_requests():
    recordings = [heard(EVENTS, {"dog": (0.9, 0.1), "cat": (0.9, 0.1)})] * 2
    with pytest.raises(ConfigError, match="metric 'psds' is unknown"):
        fit_detection(recordings, OWN, metric="psds")
    foxes = [replace(item, reference=label("fox", (1, 2))) for item in recordings]
    with pytest.raises(ManifestError, match="event label 'fox' is not one of the 2 classes"):
        fit_detection(foxes, OWN)


@given(
    found=st.dictionaries(st.integers(0, 20).map(lambda step: step / 20), st.floats(0, 1), min_size=1),
    own=st.integers(0, 20).map(lambda step: step / 20),
)
def test_the_nearest_of_the_best(found, own):
    value = nearest_of_best(found, own)
    good = [other for other, f1 in found.items() if f1 >= max(found.values()) - TOLERANCE]
    assert value in good
    assert all(abs(value - own) <= abs(other - own) + 1e-9 for other in good)


def test_of_two_values_equally_near_the_better_one_is_taken():
    assert nearest_of_best({0.4: 0.795, 0.6: 0.8}, 0.5) == 0.6
    assert nearest_of_best({0.4: 0.8, 0.6: 0.8}, 0.5) == 0.4
    assert f1_of(np.array([1, 0, 0])) == 1


def test_two_sweeps_are_enough():
    asked = []

    def criterion(shared):
        asked.append(shared)
        median, hysteresis = GRIDS["median_s"].index(shared.median_s), GRIDS["hysteresis"].index(shared.hysteresis)
        # a ridge: each sweep brings both a step nearer to the fourth value
        return 1 - 0.02 * (median - hysteresis) ** 2 - 0.02 * (4 - hysteresis) ** 2

    start = Shared.of(DetectionConfig(step_s=0.64, median_s=0.0, max_gap_s=0.2))
    found = search_shared(criterion, start)
    assert found == replace(start, median_s=GRIDS["median_s"][2], hysteresis=GRIDS["hysteresis"][3])
    assert len(asked) == 2 * sum(len(grid) for grid in GRIDS.values())


def test_a_sweep_that_changes_nothing_is_the_last():
    asked = []
    start = Shared.of(DetectionConfig(median_s=0.5, max_gap_s=0.2))
    assert search_shared(lambda shared: float(asked.append(shared) is None), start) == start
    # 0.5 s is not on the grid, and is tried with it
    assert len(asked) == 1 + sum(len(grid) for grid in GRIDS.values())
