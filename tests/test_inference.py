import dataclasses
import io
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from fake_engine import CONFIG, SURE, FakeEngine, with_detection

import compactcli
from compactcli.config import CalibrationConfig, DetectionConfig
from compactcli.errors import AudioError, ConfigError
from compactcli.events import Event
from compactcli.inference import (
    Listening,
    classify_recording,
    detect_recording,
    error_record,
    override_detection,
    plan_detection,
)

RATE = 16000
SURE_SCORE = 1 / (1 + math.exp(-SURE))


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def two_sounds(write_recording, tone):
    """Silence with a loud tone from 1 to 2 s and a faint one from 3 to 3.5 s."""
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[RATE : 2 * RATE] = tone(1.0, level=0.8)
    waveform[3 * RATE : 3 * RATE + 8000] = tone(0.5, level=0.1)
    return write_recording("two.wav", waveform, subtype="FLOAT")


def intervals(record, label):
    return [(event.onset, event.offset) for event in record.events if event.label == label]


def test_scene_scores_are_the_softmax_of_the_mean_logits(engine, two_sounds):
    record = classify_recording(two_sounds, engine, top_k=3)

    # of 125 frames, 25 are loud and 13 faint: 3 to 3.5 s is 12.5 frames
    logits = SURE * np.array([87, 13, 25]) / 125
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [label for label, _ in record.scenes] == ["silence", "din", "hum"]
    np.testing.assert_allclose([score for _, score in record.scenes], expected[[0, 2, 1]], rtol=1e-6)
    assert record.events is None
    assert (record.path, record.status, record.model) == (str(two_sounds), "ok", "fake")
    assert (record.duration, record.sample_rate) == (5.0, RATE)
    assert (record.error_code, record.error_message) == (None, None)


def test_scene_calibration_is_used(two_sounds):
    calibration = CalibrationConfig(scene_bias=(0.0, 100.0, 0.0))
    engine = FakeEngine(config=dataclasses.replace(CONFIG, calibration=calibration))
    assert classify_recording(two_sounds, engine, top_k=1).scenes[0] == ("hum", pytest.approx(1.0))


def test_events_are_where_the_sounds_are(engine, two_sounds):
    record = detect_recording(two_sounds, engine)
    assert intervals(record, "loud") == [(1.0, 2.0)]
    assert intervals(record, "faint") == [(3.0, 3.52)]
    assert intervals(record, "any") == [(1.0, 2.0), (3.0, 3.52)]
    assert [(event.onset, event.label) for event in record.events] == [
        (1.0, "any"),
        (1.0, "loud"),
        (3.0, "any"),
        (3.0, "faint"),
    ]
    assert all(event.score == pytest.approx(SURE_SCORE, rel=1e-6) for event in record.events)
    assert record.scenes[0][0] == "silence"


@pytest.mark.parametrize(
    ("settings", "loud"),
    [
        ({}, [(1.0, 2.0), (3.0, 3.52)]),
        ({"min_duration": 0.6}, [(1.0, 2.0)]),
        ({"max_gap": 1.0}, [(1.0, 3.52)]),
        ({"median": 1.4}, [(1.0, 2.0)]),
        ({"threshold": 0.99, "hysteresis": 0.5}, []),
        ({"min_duration": 0.6, "max_gap": 1.0, "threshold": {"any": 0.9}}, [(1.0, 3.52)]),
    ],
)
def test_settings_have_the_names_of_the_shell(engine, two_sounds, settings, loud):
    assert intervals(compactcli.detect(two_sounds, model=engine, **settings), "any") == loud


def test_hysteresis_takes_the_place_of_the_model_s(two_sounds):
    # "any" is at 0.982 in the tones and at 0.018 outside, which 0.98 below the threshold still reaches
    engine = FakeEngine(config=with_detection(hysteresis=0.1))
    assert intervals(compactcli.detect(two_sounds, model=engine, threshold=0.9, hysteresis=0.9), "any") == [(1.0, 5.0)]
    assert intervals(compactcli.detect(two_sounds, model=engine, threshold=0.9), "any") == [(1.0, 2.0), (3.0, 3.52)]
    with pytest.raises(ConfigError, match="hysteresis is 2"):
        compactcli.detect(two_sounds, model=engine, hysteresis=2.0)


def test_event_calibration_is_used(two_sounds):
    calibration = CalibrationConfig(event_bias=(-100.0, 0.0, 100.0))
    engine = FakeEngine(config=dataclasses.replace(CONFIG, calibration=calibration))
    record = detect_recording(two_sounds, engine)
    assert intervals(record, "loud") == []
    assert intervals(record, "any") == [(0.0, 5.0)]


def test_no_event_ends_after_the_recording(engine, write_recording, tone):
    # 1.01 s at 44.1 kHz: the last output frame would end at 1.04 s
    path = write_recording("tail.wav", tone(1.01, sample_rate=44100), sample_rate=44100)
    record = detect_recording(path, engine)
    assert record.duration == pytest.approx(1.01)
    assert record.events[0].offset <= record.duration
    assert record.events[0].offset == pytest.approx(1.01, abs=1 / RATE)


def test_chunks_do_not_matter(two_sounds):
    records = [detect_recording(two_sounds, FakeEngine(frames_per_chunk=n)) for n in (1, 7, 10_000)]
    assert records[0].events == records[1].events == records[2].events
    assert [label for label, _ in records[0].scenes] == [label for label, _ in records[2].scenes]
    np.testing.assert_allclose(
        [score for _, score in records[0].scenes], [score for _, score in records[2].scenes], rtol=1e-6
    )


def test_a_long_recording_is_streamed(engine, write_recording):
    record = classify_recording(write_recording("long.wav", np.zeros(300 * RATE, np.float32)), engine)
    assert record.duration == 300.0
    # a block of a second waits beside less than a chunk of two
    assert engine.longest_wait <= 3 * RATE


def test_classes_are_a_filter(engine, two_sounds):
    record = detect_recording(two_sounds, engine, classes=["any", "faint"])
    assert {event.label for event in record.events} == {"any", "faint"}
    assert intervals(record, "faint") == [(3.0, 3.52)]


def test_detection_settings_are_used(engine, two_sounds):
    record = detect_recording(two_sounds, engine, detection=DetectionConfig(median_s=0, max_gap_s=1.0))
    assert intervals(record, "any") == [(1.0, 3.52)]
    record = detect_recording(two_sounds, engine, detection=DetectionConfig(median_s=0, class_thresholds={"loud": 1.0}))
    assert intervals(record, "loud") == []
    assert intervals(record, "faint") == [(3.0, 3.52)]


def test_silence_has_no_events(engine, write_recording):
    record = detect_recording(write_recording("silence.wav", np.zeros(3 * RATE, np.float32)), engine)
    assert (record.status, record.events) == ("ok", ())


def test_damaged_recording_is_partial(engine, write_recording, tone):
    path = write_recording("cut.flac", tone(10.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    record = detect_recording(path, engine)
    assert (record.status, record.error_code) == ("partial", "damaged")
    assert "the decoder gave up after" in record.error_message
    assert 0 < record.duration < 9.0
    assert record.events[-1].offset == pytest.approx(record.duration)


def test_progress_is_told(engine, write_recording):
    told = []
    path = write_recording("a.wav", np.zeros(5 * RATE, np.float32))
    classify_recording(path, engine, listening=Listening(on_progress=lambda *seconds: told.append(seconds)))
    assert told == [(2.0, 5.0), (4.0, 5.0), (5.0, 5.0)]


def test_errors_are_raised(engine, tmp_path, two_sounds):
    with pytest.raises(AudioError, match="does not exist"):
        classify_recording(tmp_path / "nowhere.wav", engine)
    with pytest.raises(ConfigError, match="top_k is 0, expected a whole number of scenes, at least 1"):
        classify_recording(two_sounds, engine, top_k=0)
    with pytest.raises(ConfigError, match="top_k is -1"):
        compactcli.classify(np.zeros(99), sample_rate=RATE, model=engine, top_k=-1)


def test_error_record():
    record = error_record("a.wav", AudioError("a.wav is empty", code="empty-file"), model="fake", model_version="1")
    assert (record.path, record.status) == ("a.wav", "error")
    assert (record.model, record.model_version) == ("fake", "1")
    assert (record.error_code, record.error_message) == ("empty-file", "a.wav is empty")
    assert (record.scenes, record.events, record.duration, record.sample_rate) == (None, None, None, None)


def test_unknown_class_is_refused_with_what_was_meant():
    with pytest.raises(ConfigError, match="'lout' is not an event class of the model fake") as caught:
        plan_detection(CONFIG, detection=None, classes=["lout"])
    assert caught.value.hint == "did you mean loud?"
    assert caught.value.code == "unknown-class"
    with pytest.raises(ConfigError, match="'zebra' is not") as caught:
        plan_detection(CONFIG, detection=DetectionConfig(class_thresholds={"zebra": 0.5}), classes=None)
    assert "compact models info fake" in caught.value.hint
    with pytest.raises(ConfigError, match="'faintt' is not an event class of the model fake") as caught:
        plan_detection(CONFIG, detection=None, classes=None, exclude=["any", "faintt"])
    assert caught.value.hint == "did you mean faint?"


@pytest.mark.parametrize("options", [{"classes": "loud"}, {"classes": None, "exclude": "loud"}])
def test_a_single_name_in_the_place_of_a_list_is_refused(options):
    with pytest.raises(ConfigError, match="is 'loud', expected a list of names") as caught:
        plan_detection(CONFIG, detection=None, **options)
    assert caught.value.hint.endswith('=["loud"]')


@pytest.mark.parametrize(
    ("classes", "exclude"), [([], []), (None, ["loud", "faint", "any"]), (["any", "loud"], ["loud", "any"])]
)
def test_a_plan_without_classes_is_refused(classes, exclude):
    with pytest.raises(ConfigError, match="no event class is left to look for, expected at least one") as caught:
        plan_detection(CONFIG, detection=None, classes=classes, exclude=exclude)
    assert caught.value.hint == "name one with classes, or exclude fewer"


def test_plan_keeps_the_order_of_the_model_and_only_thresholds_that_matter():
    config = with_detection(class_thresholds={"loud": 0.1, "any": 0.9})
    plan = plan_detection(config, detection=None, classes=["any", "faint", "any"])
    assert plan.classes == ("faint", "any")
    assert plan.columns == (1, 2)
    assert plan.detection.class_thresholds == {"any": 0.9}
    assert plan_detection(config, detection=None, classes=iter(["any", "faint", "any"])) == plan
    assert plan_detection(config, detection=None, classes=None).classes == CONFIG.events


def test_excluded_classes_are_left_out_with_their_thresholds():
    config = with_detection(class_thresholds={"loud": 0.1, "any": 0.9})
    plan = plan_detection(config, detection=None, classes=None, exclude=["any"])
    assert (plan.classes, plan.columns) == (("loud", "faint"), (0, 1))
    assert plan.detection.class_thresholds == {"loud": 0.1}
    # a class that is asked for and excluded is excluded; a class that is not asked for may be excluded too
    plan = plan_detection(CONFIG, detection=None, classes=["any", "loud"], exclude=["any", "faint"])
    assert plan.classes == ("loud",)


def test_override_of_detection_settings():
    own = DetectionConfig(
        threshold=0.5, class_thresholds={"loud": 0.1}, median_s=0.3, max_gap_s=0.4, min_duration_s=0.6
    )
    assert override_detection(own) == own
    assert override_detection(own, class_thresholds={"any": 0.2}).class_thresholds == {"loud": 0.1, "any": 0.2}
    # a threshold for all is for all: the model's exceptions do not survive it, the user's own do
    changed = override_detection(own, threshold=0.7, class_thresholds={"any": 0.2})
    assert (changed.threshold, changed.class_thresholds) == (0.7, {"any": 0.2})
    changed = override_detection(own, median_s=0.0, max_gap_s=0.0, min_duration_s=0.0)
    assert (changed.median_s, changed.max_gap_s, changed.min_duration_s) == (0.0, 0.0, 0.0)
    assert override_detection(own, hysteresis=0.2) == dataclasses.replace(own, hysteresis=0.2)
    assert override_detection(dataclasses.replace(own, hysteresis=0.2), hysteresis=0.0) == own
    at_steps = override_detection(own, step_s=0.64)
    assert at_steps == dataclasses.replace(own, step_s=0.64)
    assert override_detection(at_steps, step_s=0.0, median_s=0.1) == dataclasses.replace(own, median_s=0.1)
    with pytest.raises(ConfigError, match="median 0.1 was given for events that begin and end at steps, in which it"):
        override_detection(at_steps, median_s=0.1)
    with pytest.raises(ConfigError, match="hysteresis is 2"):
        override_detection(own, hysteresis=2)
    with pytest.raises(ConfigError, match="max_gap is nan"):
        override_detection(own, max_gap_s=math.nan)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_python_api_gives_the_records_of_the_shell(kind, engine, two_sounds):
    path = kind(two_sounds)
    assert compactcli.classify(path, model=engine) == classify_recording(two_sounds, engine)
    assert compactcli.detect(path, model=engine) == detect_recording(two_sounds, engine)
    chosen = compactcli.detect(path, model=engine, classes=["loud"], detection=DetectionConfig(median_s=0), top_k=1)
    assert chosen.events == (Event(onset=1.0, offset=2.0, label="loud", score=pytest.approx(SURE_SCORE)),)
    assert len(chosen.scenes) == 1


def test_classes_can_be_left_out(engine, two_sounds):
    record = compactcli.detect(two_sounds, model=engine, exclude=["any", "loud"])
    assert record == detect_recording(two_sounds, engine, exclude=["any", "loud"])
    assert [event.label for event in record.events] == ["faint"]
    assert compactcli.detect(two_sounds, model=engine, classes=["any", "faint"], exclude=["any"]) == record
    with pytest.raises(ConfigError, match="'lout' is not an event class"):
        compactcli.detect(two_sounds, model=engine, exclude=["lout"])


def test_thresholds_take_the_place_of_the_model_s(engine, two_sounds):
    found = [event.label for event in compactcli.detect(two_sounds, model=engine, threshold={"any": 1.0}).events]
    assert found == ["loud", "faint"]
    assert compactcli.detect(two_sounds, model=engine, threshold=1.0).events == ()
    low, high = with_detection(threshold=0.3), with_detection(class_thresholds={"loud": 1.0}, max_gap_s=1.0)
    assert compactcli.detect(two_sounds, model=engine, detection=low.detection, threshold=1.0).events == ()
    # what is not named stays as the model, or the detection, has it
    record = compactcli.detect(two_sounds, model=FakeEngine(config=high), threshold={"faint": 1.0})
    assert [(event.label, event.onset, event.offset) for event in record.events] == [("any", 1.0, 3.52)]
    with pytest.raises(ConfigError, match="threshold is 2, expected a number from 0 to 1"):
        compactcli.detect(two_sounds, model=engine, threshold=2)


def test_what_is_too_long_is_refused(engine, two_sounds):
    samples = np.zeros(5 * RATE, np.float32)
    for analyse in (compactcli.classify, compactcli.detect):
        assert analyse(two_sounds, model=engine, max_duration=5).duration == 5.0
        assert analyse(samples, sample_rate=RATE, model=engine, max_duration=5).duration == 5.0
        for recording, sample_rate, name in ((two_sounds, None, "two.wav"), (samples, RATE, "the array")):
            with pytest.raises(AudioError, match=f"{name} lasts .*expected at most 4.9 s") as caught:
                analyse(recording, sample_rate=sample_rate, model=engine, max_duration=4.9)
            assert caught.value.code == "too-long"
        with pytest.raises(ConfigError, match="max_duration_s is 0, expected seconds above 0"):
            analyse(two_sounds, model=engine, max_duration=0)


def test_a_gain_comes_before_everything(engine, two_sounds, tone):
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[RATE : 2 * RATE] = tone(1.0, level=0.8)
    waveform[3 * RATE : 3 * RATE + 8000] = tone(0.5, level=0.1)
    for analyse in (compactcli.classify, compactcli.detect):
        found = analyse(two_sounds, model=engine)
        quiet = analyse(waveform * np.float32(10**-2), sample_rate=RATE, model=engine, gain=40)
        assert (quiet.scenes, quiet.events) == (found.scenes, found.events)
        raised = analyse(two_sounds, model=engine, gain=40)
        assert (raised.scenes, raised.events) != (found.scenes, found.events)
        for gain in (60.1, -61, math.nan):
            with pytest.raises(ConfigError, match=rf"gain is {gain:g}, expected dB from -60 to 60"):
                analyse(two_sounds, model=engine, gain=gain)


def test_samples_give_what_their_file_gives(engine, two_sounds, tone):
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[RATE : 2 * RATE] = tone(1.0, level=0.8)
    waveform[3 * RATE : 3 * RATE + 8000] = tone(0.5, level=0.1)
    stereo = np.stack([waveform, waveform], axis=1)
    from_file = compactcli.detect(two_sounds, model=engine)
    from_samples = compactcli.detect(stereo, sample_rate=RATE, model=engine)
    assert dataclasses.replace(from_samples, path=from_file.path) == from_file
    assert compactcli.classify(waveform, sample_rate=RATE, model=engine).scenes == from_file.scenes


@pytest.mark.parametrize("recording", [None, b"a.wav", 3, io.BytesIO(b"RIFF")])
def test_what_is_no_recording_is_refused_by_its_kind(recording, engine):
    message = f"the recording is {type(recording).__name__}, expected a path as text or pathlib.Path, or an array"
    with pytest.raises(ConfigError, match=message):
        compactcli.classify(recording, model=engine)


def test_sample_rate_goes_with_samples_only(engine, two_sounds):
    with pytest.raises(ConfigError, match="sample_rate is 16000 for the file .*expected None"):
        compactcli.classify(two_sounds, sample_rate=RATE, model=engine)
    for rate in (16000.0, "16000"):
        with pytest.raises(ConfigError, match=f"sample_rate is {rate!r}, expected a whole number of Hz"):
            compactcli.detect(np.zeros(99), sample_rate=rate, model=engine)
    with pytest.raises(ConfigError, match="samples came without a sample_rate"):
        compactcli.detect(np.zeros(99), model=engine)


def test_numbers_of_numpy_are_numbers_in_the_record(engine, two_sounds):
    record = compactcli.classify(np.zeros(RATE), sample_rate=np.int64(RATE), model=engine)
    assert json.loads(json.dumps(record.to_dict()))["sample_rate"] == RATE


def test_models_are_found_by_name_and_the_default_is_taken(monkeypatch, tmp_path, write_tone):
    loaded = []
    monkeypatch.setattr("compactcli.checkpoint.find_model", lambda name: tmp_path / name)

    def load_engine(folder, *, device, engine, batch_size, precision):
        loaded.append((folder, device, engine, batch_size, precision))
        return FakeEngine(device=device)

    monkeypatch.setattr("compactcli.engine.load_engine", load_engine)
    assert compactcli.load_model().config is CONFIG
    assert (
        compactcli.load_model(tmp_path / "own", device="cpu", engine="torch", batch_size=4, precision="bf16").device
        == "cpu"
    )
    assert compactcli.classify(write_tone(), model="other", device="cpu").model == "fake"
    assert compactcli.detect(write_tone()).model == "fake"
    assert loaded == [
        (tmp_path / "compactnet", "auto", "auto", None, "fp32"),
        (tmp_path / "own", "cpu", "torch", 4, "bf16"),
        (tmp_path / "other", "cpu", "auto", None, "fp32"),
        (tmp_path / "compactnet", "auto", "auto", None, "fp32"),
    ]


def test_public_names():
    assert set(compactcli.__all__) <= set(dir(compactcli))
    assert all(callable(getattr(compactcli, name)) for name in ("classify", "detect", "load_model"))
    with pytest.raises(AttributeError, match="module 'compactcli' has no attribute 'transcribe'"):
        compactcli.transcribe  # noqa: B018 - the access is the test


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": "0.5"}, "threshold is '0.5', expected a number"),
        ({"threshold": [0.5]}, r"threshold is \[0\.5\], expected a number"),
        ({"threshold": True}, "threshold is True, expected a number"),
        ({"threshold": {"loud": "x"}}, "threshold of loud is 'x', expected a number"),
        ({"max_gap": "1"}, "max_gap is '1', expected a number"),
        ({"median": "x", "step": 0}, "median is 'x', expected a number"),
        ({"gain": "3"}, "gain is '3', expected a number"),
        ({"max_duration": "3"}, "max_duration is '3', expected a number"),
        ({"top_k": 1.5}, "top_k is 1.5, expected a whole number of scenes, at least 1"),
        ({"top_k": True}, "top_k is True, expected a whole number of scenes"),
        ({"gain": Fraction(1, 2)}, r"gain is Fraction\(1, 2\), expected a number"),
        ({"exclude": None}, "exclude is None, expected a list of names of classes"),
        ({"classes": b"loud"}, "classes is b'loud', expected a list of names of classes"),
        ({"classes": ["loud", 1]}, "1 is no name of a class, expected text"),
        ({"threshold": {1: 0.5}}, "1 is no name of a class, expected text"),
        ({"classes": 5}, "classes is 5, expected a list of names of classes"),
        ({"model": 3}, "the model is int, expected a name, a folder or what load_model gave"),
    ],
)
def test_options_of_the_wrong_type(options, expected, write_tone):
    with pytest.raises(ConfigError, match=expected):
        compactcli.detect(write_tone(), **{"model": FakeEngine(), **options})


def test_numbers_of_numpy_are_numbers(write_tone):
    options = {"threshold": np.float32(0.25), "max_gap": np.int64(1), "gain": np.float64(0), "top_k": np.int64(2)}
    record = compactcli.detect(write_tone(), model=FakeEngine(), **options)
    assert len(record.scenes) == 2
