import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from compactcli.cli import options
from compactcli.cli.tuning_report import OPTIONS, TuningReport, detection_options
from compactcli.config import DetectionConfig
from compactcli.inference import override_detection
from compactcli.operating_point import FEW_EVENTS, GRIDS, ClassFit, OperatingPoint

OWN = DetectionConfig(class_thresholds={"siren": 0.8})
FITTED = replace(OWN, median_s=0.0, max_gap_s=0.4, class_thresholds={"siren": 0.8, "door [wood]": 0.35})


def fit(name, *, cross_validated, kept=None):
    return ClassFit(
        label=name,
        n_events=4 if kept else 9,
        threshold_before=0.5,
        threshold_fitted=0.5 if kept else 0.35,
        f1_before=0.5,
        f1_after=0.75,
        f1_cross_validated=cross_validated,
        kept=kept,
    )


def make_report(*, cross_validated=0.625, fitted=FITTED, asked_model=None, output=None):
    classes = (fit("door [wood]", cross_validated=cross_validated), fit("dog", cross_validated=0.5, kept=FEW_EVENTS))
    point = OperatingPoint(metric="segment", before=OWN, fitted=fitted, classes=classes, n_recordings=7, n_folds=5)
    return TuningReport(
        point=point,
        model="fake",
        asked_model=asked_model,
        duration_s=70.0,
        output=output,
        unlabelled=2,
        unknown_labels=("fox",),
        failed=("bad.wav",),
    )


def drawn(report):
    console = Console(width=120, color_system=None, force_terminal=False)
    with console.capture() as capture:
        report.print(console)
    return capture.get()


def test_everything_as_plain_values():
    values = make_report(output=Path("mine")).to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["f1"] == {"before": 0.5, "after_same_recordings": 0.75, "after_cross_validated": 0.5625}
    assert values["improved"] is True
    assert values["detection"]["chosen"] == values["detection"]["fitted"]
    assert values["detection"]["fitted"]["class_thresholds"] == {"siren": 0.8, "door [wood]": 0.35}
    assert values["classes"]["dog"] == {
        "events": 4,
        "threshold": {"before": 0.5, "fitted": 0.5},
        "kept": "few events",
        "f1": {"before": 0.5, "after_same_recordings": 0.75, "after_cross_validated": 0.5},
    }
    assert (values["model"], values["metric"], values["recordings"], values["folds"]) == ("fake", "segment", 7, 5)
    assert (values["duration"], values["output"], values["unlabelled"]) == (70.0, "mine", 2)
    assert (values["unknown_labels"], values["failed"]) == (["fox"], ["bad.wav"])


def test_a_table_for_people():
    lines = [line.rstrip() for line in drawn(make_report()).splitlines()]
    assert lines[0].split() == ["setting", "before", "fitted"]
    assert "median, s                 0.2       0" in lines
    assert "longest gap closed, s     0.2     0.4" in lines
    assert [line.split() for line in lines if line.startswith(("door", "dog"))] == [
        ["door", "[wood]", "9", "0.5", "0.35", "0.500", "0.750", "0.625"],
        ["dog", "4", "0.5", "0.5", "0.500", "0.750", "0.500", "few", "events"],
    ]
    assert "after, cross-validated                0.562" in drawn(make_report())
    assert lines[-1] == "compact detect --median 0.0 --max-gap 0.4 --threshold 'door [wood]=0.35'"


def test_what_is_no_better_is_said_with_both_figures():
    report = make_report(cross_validated=0.5)
    assert drawn(report).splitlines()[-1] == (
        "on recordings that they were not fitted on, fitted settings reach 0.500, not above the 0.500 of the model's "
        "own, which stay"
    )
    assert (report.options, report.to_dict()["detection"]["chosen"]) == ("", report.to_dict()["detection"]["before"])
    assert drawn(make_report(fitted=OWN)).splitlines()[-1] == "no other settings do better: the model's own stay"


def test_options_name_the_model_that_they_are_for():
    assert make_report(asked_model="my model").options.startswith("--model 'my model' --median 0.0")
    assert make_report(asked_model="tiny", fitted=OWN).options == "--model tiny"


THRESHOLDS = st.dictionaries(st.sampled_from(["dog", "door [wood]", "a=b"]), st.floats(0, 1), max_size=3)
SHARED = st.fixed_dictionaries({name: st.sampled_from(grid) for name, grid in GRIDS.items()})


@given(before=SHARED, after=SHARED, own=THRESHOLDS, fitted=THRESHOLDS)
def test_options_turn_the_models_settings_into_the_fitted_ones(before, after, own, fitted):
    start = DetectionConfig(threshold=0.6, class_thresholds=own, **before)
    end = DetectionConfig(threshold=0.6, class_thresholds={**own, **fitted}, **after)
    words = shlex.split(shlex.join(detection_options(start, end)))
    given = list(zip(words[::2], words[1::2], strict=True))
    _, for_one = options.parse_thresholds([value for name, value in given if name == "--threshold"])
    names = {option: name for name, option in OPTIONS.items()}
    changes = {names[name]: float(value) for name, value in given if name != "--threshold"}
    if end.step_s:  # these have no part in events at steps, and no words
        end = replace(end, median_s=start.median_s, hysteresis=start.hysteresis)
    assert override_detection(start, class_thresholds=for_one, **changes) == end


def test_every_setting_that_is_fitted_has_an_option():
    assert list(OPTIONS) == list(GRIDS)


@pytest.mark.parametrize("metric", ["segment", "event"])
def test_the_figures_name_their_metric(metric):
    report = make_report()
    text = drawn(replace(report, point=replace(report.point, metric=metric)))
    assert ("segment-based (1 s) macro F1" in text, "event-based (200 ms) macro F1" in text) == (
        metric == "segment",
        metric == "event",
    )
