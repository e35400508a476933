import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.config import CalibrationConfig, DetectionConfig, FeatureConfig, ModelConfig, NetworkConfig, StageConfig
from compactcli.errors import ConfigError
from compactcli.plainjson import from_json, to_json
from compactcli.recipe import MixConfig

MODEL = ModelConfig(
    name="tiny",
    version="1",
    scenes=("rain", "cafe"),
    events=("dog", "cat", "siren"),
    features=FeatureConfig(n_mels=40),
    network=NetworkConfig(stages=(StageConfig(channels=8, n_blocks=1, kernel_size=(3, 5)),), context=()),
    detection=DetectionConfig(threshold=0.4, class_thresholds={"dog": 0.7}),
    calibration=CalibrationConfig(scene_scale=2.0, scene_bias=(0.5, -0.5), event_bias=(0.0, 1.0, 2.0)),
    training={"epochs": 3, "notes": ["a", None]},
)


def model(**changes):
    return ModelConfig(**{"name": "tiny", "version": "1", "scenes": ("rain",), "events": ("dog", "cat"), **changes})


def test_a_model_survives_json():
    assert from_json(ModelConfig, json.loads(json.dumps(to_json(MODEL))), where="config.json") == MODEL


@given(
    thresholds=st.dictionaries(st.text(), st.floats(0, 1)),
    median_s=st.floats(min_value=0, max_value=60),
)
def test_numbers_and_names_survive_json_unchanged(thresholds, median_s):
    config = DetectionConfig(class_thresholds=thresholds, median_s=median_s)
    assert from_json(DetectionConfig, json.loads(json.dumps(to_json(config))), where="x") == config


def test_whole_numbers_are_read_as_floats_where_a_float_is_meant():
    config = from_json(DetectionConfig, {"threshold": 1}, where="x", partial=True)
    assert isinstance(config.threshold, float)
    assert config.threshold == 1.0


def test_a_partial_table_leaves_the_defaults():
    config = from_json(FeatureConfig, {"n_mels": 32}, where="recipe.features", partial=True)
    assert config == FeatureConfig(n_mels=32)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (
            DetectionConfig,
            {"treshold": 0.5},
            r"here has unknown settings \['treshold'\], expected some of \['threshold'",
        ),
        (NetworkConfig, {"context": [{"width": 3}]}, r"here\.context\[0\] has unknown settings \['width'\]"),
        (NetworkConfig, {"stages": [{"channels": 8}]}, r"here\.stages\[0\] lacks the settings \['n_blocks'\]"),
        (FeatureConfig, 3, "here is int, expected a table of settings"),
        (FeatureConfig, {"n_mels": "64"}, "here.n_mels is '64', expected int"),
        (FeatureConfig, {"n_mels": 64.0}, "here.n_mels is 64.0, expected int"),
        (FeatureConfig, {"n_mels": True}, "here.n_mels is True, expected int"),
        (FeatureConfig, {"f_min": True}, "here.f_min is True, expected float"),
        (FeatureConfig, {"f_min": None}, "here.f_min is None, expected float"),
        (NetworkConfig, {"operation": 1}, "here.operation is 1, expected str"),
        (MixConfig, {"by_source": 1}, "here.by_source is 1, expected bool"),
        (StageConfig, {"channels": 8, "n_blocks": 1, "kernel_size": 3}, "here.kernel_size is int, expected a list"),
        (StageConfig, {"channels": 8, "n_blocks": 1, "kernel_size": [3]}, "here.kernel_size has 1 values, expected 2"),
        (StageConfig, {"channels": 8, "n_blocks": 1, "kernel_size": [3, "3"]}, r"here\.kernel_size\[1\] is '3'"),
        (ModelConfig, {"scenes": "rain"}, "here.scenes is str, expected a list"),
        (DetectionConfig, {"class_thresholds": [0.5]}, "here.class_thresholds is list, expected a table"),
        (DetectionConfig, {"class_thresholds": {"dog": "high"}}, "here.class_thresholds.dog is 'high', expected float"),
        (DetectionConfig, {"threshold": 2}, "threshold is 2.0, expected a number from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(kind, value, message):
    with pytest.raises(ConfigError, match=message):
        from_json(kind, value, where="here", partial=True)


def test_missing_settings_are_named_unless_a_part_is_enough():
    plain = to_json(MODEL)
    del plain["calibration"], plain["events"]
    with pytest.raises(ConfigError, match=r"config.json lacks the settings \['events', 'calibration'\]"):
        from_json(ModelConfig, plain, where="config.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"hop_length": 0}, "hop_length is 0 and n_fft 1024"),
        ({"hop_length": 2048}, "hop_length is 2048 and n_fft 1024"),
        ({"hop_length": 321}, "hop_length is 321 and n_fft 1024.*both even"),
        ({"hop_length": 171, "n_fft": 511}, "hop_length is 171 and n_fft 511.*both even"),
        ({"n_mels": 0}, "n_mels is 0"),
        ({"f_min": -1.0}, "mel bands from -1.0 to 7600.0 Hz"),
        ({"f_min": 7600.0}, "mel bands from 7600.0 to 7600.0 Hz"),
        ({"f_max": 9000.0}, "mel bands from 40.0 to 9000.0 Hz do not fit a sample rate of 16000 Hz"),
        ({"f_max": math.nan}, "mel bands from 40.0 to nan Hz"),
        ({"floor_db": 0.0}, "floor_db is 0.0"),
        ({"n_fft": 2**17}, "n_fft is 131072, expected at most 65536"),
    ],
)
def test_features_are_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 0}, "a stage has 0 channels"),
        ({"n_blocks": -1}, "a stage has -1 blocks"),
        ({"kernel_size": (3, 4)}, r"a stage has kernel \(3, 4\), expected two odd sizes"),
        ({"kernel_size": (-1, 3)}, r"a stage has kernel \(-1, 3\)"),
    ],
)
def test_stages_are_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        StageConfig(**{"channels": 8, "n_blocks": 1, **changes})


def test_networks_are_checked():
    with pytest.raises(ConfigError, match="the network has no stages"):
        NetworkConfig(stages=())
    with pytest.raises(ConfigError, match="group_size is 0"):
        NetworkConfig(group_size=0)
    with pytest.raises(ConfigError, match="a stage has 0 channels"):
        NetworkConfig(stem_channels=0)
    for kernel in ((4, 5), (5, 0), (5, -1)):
        with pytest.raises(ConfigError, match=rf"a stage has kernel \({kernel[0]}, {kernel[1]}\), expected two odd"):
            NetworkConfig(stem_kernel_size=kernel)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.1}, "threshold is 1.1, expected a number from 0 to 1"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"class_thresholds": {"dog": -0.1}}, "the threshold of 'dog' is -0.1"),
        ({"hysteresis": -0.1}, "hysteresis is -0.1, expected a number from 0 to 1"),
        ({"hysteresis": 1.1}, "hysteresis is 1.1"),
        ({"hysteresis": math.nan}, "hysteresis is nan"),
        ({"median_s": -1.0}, "median is -1.0"),
        ({"median_s": 60.1}, "median is 60.1 s, expected at most 60 s"),
        ({"step_s": -0.1}, "step is -0.1, expected seconds, 0 or more"),
        ({"step_s": 60.1}, "step is 60.1 s, expected at most 60 s"),
        ({"merge_share": 1.1}, "merge_share is 1.1, expected a number from 0 to 1"),
        ({"merge_share": math.nan}, "merge_share is nan"),
        ({"max_gap_s": math.inf}, "max_gap is inf"),
        ({"max_gap_s": 1e305}, r"max_gap is 1e\+305 s, expected at most 1e\+09 s"),
        ({"min_duration_s": 2e9}, "min_duration is 2000000000.0 s, expected at most"),
        ({"min_duration_s": math.nan}, "min_duration is nan"),
    ],
)
def test_detection_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        DetectionConfig(**changes)


def test_a_class_without_a_threshold_of_its_own_has_the_common_one():
    config = DetectionConfig(threshold=0.4, class_thresholds={"dog": 0.0})
    assert config.threshold_of("dog") == 0.0
    assert config.threshold_of("cat") == 0.4


@pytest.mark.parametrize(
    ("threshold", "hysteresis", "lower"),
    [(0.5, 0.0, 0.5), (0.5, 0.2, 0.3), (0.5, 0.5, 0.01), (0.5, 1.0, 0.01), (0.005, 0.1, 0.005), (0.0, 0.1, 0.0)],
)
def test_the_lower_threshold_is_less_by_the_hysteresis_down_to_a_floor(threshold, hysteresis, lower):
    config = DetectionConfig(threshold=1.0, class_thresholds={"dog": threshold}, hysteresis=hysteresis)
    assert config.lower_threshold_of("dog") == lower
    assert config.lower_threshold_of("cat") == max(1.0 - hysteresis, 0.01)


@pytest.mark.parametrize("changes", [{"scene_scale": 0.0}, {"event_scale": -1.0}, {"event_scale": math.nan}])
def test_calibration_is_checked(changes):
    with pytest.raises(ConfigError, match="calibration scales are .* expected positive numbers"):
        CalibrationConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "model format version is 2, this compact reads version 1"),
        ({"scenes": ()}, "a head has no classes"),
        ({"events": ("dog", "dog")}, r"class names repeat in \['dog', 'dog'\]"),
        ({"calibration": CalibrationConfig(scene_bias=(0.0, 0.0))}, "2 biases for 1 classes"),
        ({"calibration": CalibrationConfig(event_bias=(0.0,))}, "1 biases for 2 classes"),
        ({"detection": DetectionConfig(class_thresholds={"fox": 0.5})}, r"thresholds for unknown events \['fox'\]"),
    ],
)
def test_models_are_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        model(**changes)


def test_clocks_follow_the_settings():
    assert model().features.clock.frame_s == 0.02
    assert model().clock.frame_s == 0.04
    assert model(features=FeatureConfig(sample_rate=32000, hop_length=160)).clock.frame_length == 320
