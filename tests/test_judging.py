from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import heard, label, noisy

from compactcli import judging
from compactcli.config import DetectionConfig
from compactcli.detection import detect_events
from compactcli.errors import ConfigError, ManifestError
from compactcli.judging import Judge, Shared, f1_of
from compactcli.metrics.counts import RecordingEvents
from compactcli.metrics.event import event_metrics
from compactcli.metrics.segment import segment_metrics

RECORDINGS = noisy(3, informed=True)
JUDGES = {metric: Judge(RECORDINGS, metric=metric) for metric in ("segment", "event")}


@settings(max_examples=30)
@given(
    metric=st.sampled_from(sorted(JUDGES)),
    thresholds=st.lists(st.sampled_from([0.2, 0.3, 0.35, 0.5]), min_size=2, max_size=2),
    step_s=st.sampled_from([0.0, 0.0, 0.64]),
    median_s=st.sampled_from([0.0, 0.2, 0.6]),
    hysteresis=st.sampled_from([0.0, 0.1]),
    max_gap_s=st.sampled_from([0.0, 0.4]),
    min_duration_s=st.sampled_from([0.0, 0.2]),
)
def test_counts_are_those_of_whole_detections(metric, thresholds, **shared):
    detection = DetectionConfig(class_thresholds=dict(zip(("dog", "cat"), thresholds, strict=True)), **shared)
    measure = {"segment": segment_metrics, "event": event_metrics}[metric]
    found = JUDGES[metric].counts(Shared.of(detection), thresholds)
    for item, counts in zip(RECORDINGS, found, strict=True):
        estimated = detect_events(item.scores, detection)
        per_class = measure(
            [RecordingEvents(reference=item.reference, estimated=estimated, duration_s=20.0)], ("dog", "cat")
        ).per_class
        assert counts.tolist() == [[one.tp, one.fp, one.fn] for one in per_class.values()]


def test_nothing_is_detected_twice(monkeypatch):
    seen = []

    def spy(scores, config):
        seen.append((scores.classes, dict(config.class_thresholds)))
        return detect_events(scores, config)

    monkeypatch.setattr(judging, "detect_events", spy)
    judge = Judge(RECORDINGS[:1], metric="segment")
    shared = Shared.of(DetectionConfig())
    both = judge.counts(shared, [0.3, 0.5])
    np.testing.assert_array_equal(judge.counts(shared, [0.3, 0.4])[:, 0], both[:, 0])
    np.testing.assert_array_equal(judge.counts(shared, [0.3, 0.5]), both)
    assert seen == [(("dog", "cat"), {"dog": 0.3, "cat": 0.5}), (("cat",), {"cat": 0.4})]
    judge.counts(replace(shared, max_gap_s=0.0), [0.3, 0.5])
    assert len(seen) == 3


def test_classes_that_never_sound_are_not_looked_at():
    item = heard(label("cat", (1, 3)), {"dog": (0.9, 0.9), "cat": (0.9, 0.1), "siren": (0.9, 0.9)})
    judge = Judge([item], metric="segment")
    assert judge.classes == ("cat",)
    assert judge.n_events.tolist() == [[1]]
    assert judge.counts(Shared.of(DetectionConfig()), [0.5]).tolist() == [[[2, 0, 0]]]


def test_a_report_without_a_pause():
    item = heard(label("dog", (1, 3), (5, 6)), {"dog": (0.3, 0.0)}, duration_s=10.0)
    assert Judge([item], metric="segment").counts_of_all().tolist() == [[[3, 7, 0]]]
    assert Judge([item], metric="event").counts_of_all().tolist() == [[[0, 1, 2]]]


def test_refusals():
    with pytest.raises(ConfigError, match="metric 'psds' is unknown, expected one of segment, event"):
        Judge(RECORDINGS, metric="psds")
    item = heard(label("dog", (1, 3)), {"dog": (0.9, 0.1)})
    with pytest.raises(ManifestError, match="event label 'fox' is not one of the 1 classes expected"):
        Judge([replace(item, reference=label("fox", (1, 3)))], metric="segment")


@given(counts=st.lists(st.tuples(*[st.integers(0, 50)] * 3), min_size=1, max_size=5))
def test_f1_lies_between_precision_and_recall(counts):
    for (tp, fp, fn), f1 in zip(counts, f1_of(np.array(counts)), strict=True):
        if tp == 0:
            assert f1 == 0
        else:
            precision, recall = tp / (tp + fp), tp / (tp + fn)
            assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
