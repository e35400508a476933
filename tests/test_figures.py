import dataclasses
import json

import numpy as np

from compactcli.conditions import Condition
from compactcli.config import DetectionConfig
from compactcli.figures import Evaluation, EventCalibration, NoiseAnswers, confusion_pairs
from compactcli.metrics.clip import clip_metrics
from compactcli.metrics.counts import Counts, summarise
from compactcli.metrics.psds import Psds
from compactcli.metrics.reliability import reliability

CLIPS = clip_metrics([0, 0, 1], [[0.9, 0.1], [0.25, 0.75], [0.45, 0.55]])
DETECTION = summarise({"dog": Counts(tp=2, fp=1, fn=1), "cat": Counts()})
FIGURES = Evaluation(
    scenes=CLIPS,
    scene_clips=CLIPS,
    scene_classes=("rain", "street"),
    esc50=CLIPS,
    esc50_classes=("dog", "cat"),
    urbansound8k=CLIPS,
    urbansound8k_classes=("dog", "cat"),
    segment=DETECTION,
    event=DETECTION,
    psds1=Psds(value=0.123456, per_class={"dog": 1 / 3}),
    psds2=Psds(value=0.5, per_class={"dog": 0.5}),
    event_calibration=EventCalibration(
        n_scores=4, error=0.23456, reliability=reliability([0.1, 0.1, 0.65, 0.7], [False, False, True, False])
    ),
    noise=NoiseAnswers(n_clips=9, with_events=1 / 3, scene_score=0.12345),
    n_soundscapes=7,
    detection=DetectionConfig(median_s=0.2),
    condition=Condition(name="wet", description="under water", apply=np.negative),
)


def test_figures_for_programs():
    plain = json.loads(json.dumps(FIGURES.to_dict(), allow_nan=False))
    assert (plain["condition"], plain["condition_description"]) == ("wet", "under water")
    assert plain["psds1"] == {
        "score": 0.1235,
        "class_mean": 0.3333,
        "step_s": 0.0,
        "median_s": 0.2,
        "per_class": {"dog": 0.3333},
    }
    assert plain["psds2"]["score"] == 0.5
    assert plain["scenes"]["confusions"] == [["rain", "street", 1]]
    assert [item["count"] for item in plain["scenes"]["reliability"]] == [0, 0, 0, 0, 0, 1, 0, 1, 1, 0]
    assert plain["scenes"]["reliability"][7]["share_right"] == 0
    calibration = plain["event_calibration"]
    assert (calibration["scores"], calibration["calibration_error"]) == (4, 0.2346)
    assert calibration["reliability"][0] == {"low": 0, "high": 0.1, "count": 2, "mean_score": 0.1, "share_right": 0}
    assert calibration["reliability"][6]["mean_score"] == 0.675
    assert calibration["reliability"][1]["mean_score"] is None
    assert plain["noise_alone"] == {"clips": 9, "with_events": 0.3333, "scene_score": 0.1235}


def test_figures_for_people():
    summary = FIGURES.summary()
    assert ("PSDS1 (median 0.2 s)", "0.123", "7 soundscapes of 10 s") in summary
    assert ("PSDS2 (median 0.2 s)", "0.500", "7 soundscapes of 10 s") in summary
    assert ("events, calibration error", "0.235", "7 soundscapes of 10 s") in summary
    assert ("scenes, accuracy", "66.7 %", "3 recordings") in summary
    assert ("noise alone, clips with an event", "33.3 %", "9 clips of 10 s") in summary
    assert ("noise alone, score of the best scene", "0.123", "9 clips of 10 s") in summary
    at_steps = dataclasses.replace(FIGURES, detection=DetectionConfig(step_s=0.64))
    assert ("PSDS1 (step 0.64 s)", "0.123", "7 soundscapes of 10 s") in at_steps.summary()
    psds1 = at_steps.to_dict()["psds1"]
    assert (psds1["step_s"], psds1["median_s"]) == (0.64, None)
    assert FIGURES.scene_confusions(10) == [("rain", "street", 1)]


def test_confusions_are_ordered_by_their_number():
    truth = [0, 0, 0, 1, 1, 2]
    called = [1, 1, 0, 2, 1, 2]
    metrics = clip_metrics(truth, np.eye(3)[called])
    assert confusion_pairs(metrics, ("a", "b", "c"), 10) == [("a", "b", 2), ("b", "c", 1)]
    assert confusion_pairs(metrics, ("a", "b", "c"), 1) == [("a", "b", 2)]
