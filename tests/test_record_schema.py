"""Real records of every status against the JSON Schema of records, and altered ones that it must refuse."""

import copy
import json
import math
import re
from importlib import resources

import jsonschema
import numpy as np
import pytest
from fake_engine import FakeEngine, fake_embedder
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import AudioError
from compactcli.events import Event
from compactcli.formats import FORMATS
from compactcli.inference import classify_recording, detect_recording, embed_recording, error_record
from compactcli.records import STATUSES, Record

SCHEMA = json.loads((resources.files("compactcli") / "record.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

DETECTED = {
    "schema": 1,
    "path": "street.wav",
    "status": "ok",
    "error": None,
    "duration": 12.346,
    "sample_rate": 16000,
    "model": "compactnet",
    "model_version": "2026.11",
    "scenes": [{"label": "street_traffic", "score": 0.9}],
    "events": [{"onset": 0.4, "offset": 1.2, "label": "dog", "score": 0.9877}],
}
STRETCH = {"start": 0, "stop": 12.346, "scenes": DETECTED["scenes"]}
VECTOR = {"start": 0, "stop": 12.346, "values": [0.5, -1]}
CUT = DETECTED | {"status": "partial", "error": {"code": "damaged", "message": "street.wav stops at 3 s"}}
FAILED = {
    "schema": 1,
    "path": "broken.wav",
    "status": "error",
    "error": {"code": "not-audio", "message": "broken.wav is text"},
    "duration": None,
    "sample_rate": None,
    "model": "compactnet",
    "model_version": "2026.11",
}


def as_written(record: Record) -> dict:
    return json.loads(FORMATS["detect"]["jsonl"]().record(record))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_records_of_features_have_neither_scenes_nor_events():
    measured = as_written(Record(path="a.wav", duration=1.0, sample_rate=8000, model="compactnet", model_version="1"))
    VALIDATOR.validate(measured)
    messages = [error.message for error in VALIDATOR.iter_errors(measured | {"events": []})]
    assert messages == ["'scenes' is a dependency of 'events'"]


@pytest.fixture
def records(write_recording, tone):
    """One record of each kind, as the commands make them."""
    engine = FakeEngine()
    whole = write_recording("whole.wav", tone(2.0))
    cut = write_recording("cut.flac", tone(10.0))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    return {
        "classified": classify_recording(whole, engine),
        "stretches": classify_recording(whole, engine, every_s=1.0),
        "embedded": embed_recording(whole, fake_embedder()),
        "detected": detect_recording(whole, engine),
        "silent": detect_recording(write_recording("silent.wav", np.zeros(16000, np.float32)), engine),
        "cut": detect_recording(cut, engine),
        "failed": error_record(
            "a.wav", AudioError("a.wav is empty", code="empty-file"), model="fake", model_version="1"
        ),
    }


def test_records_of_every_status_fit(records):
    assert {record.status for record in records.values()} == set(STATUSES)
    for record in records.values():
        VALIDATOR.validate(as_written(record))


def test_every_field_is_described_and_every_description_has_a_field(records):
    values = as_written(records["stretches"]) | as_written(records["embedded"]) | as_written(records["cut"])
    assert set(SCHEMA["properties"]) == set(values)
    assert set(SCHEMA["properties"]["status"]["enum"]) == set(STATUSES)
    scenes = SCHEMA["$defs"]["scenes"]["items"]["properties"]
    described = {name: part["items"]["properties"] for name, part in SCHEMA["properties"].items() if "items" in part}
    described["scenes"] = scenes
    described["error"] = SCHEMA["properties"]["error"]["oneOf"][1]["properties"]
    assert set(values["stretches"][0]["scenes"][0]) == set(scenes)
    for name, fields in described.items():
        part = values[name] if name == "error" else values[name][0]
        assert set(part) == set(fields)
        assert all(field["description"] for field in fields.values())


@given(
    st.integers(1, 10**7),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(1e-5, 1e4), st.none() | st.floats(0, 1)), max_size=3),
    st.text(),
)
def test_any_record_fits(length, score, times, path):
    events = [Event(onset=onset, offset=onset + more, label="dog", score=peak) for onset, more, peak in times]
    record = Record(
        path=path,
        duration=length / 16000,
        sample_rate=16000,
        model="m",
        model_version="1",
        scenes=(("rain", score),),
        events=tuple(events),
    )
    VALIDATOR.validate(as_written(record))


@pytest.mark.parametrize("record", [DETECTED, CUT, FAILED])
def test_the_records_that_are_altered_below_fit(record):
    VALIDATOR.validate(record)


@pytest.mark.parametrize("record", [DETECTED, CUT, FAILED])
@pytest.mark.parametrize(
    "name", ["schema", "path", "status", "error", "duration", "sample_rate", "model", "model_version"]
)
def test_no_field_may_be_missing(record, name):
    altered = copy.deepcopy(record)
    del altered[name]
    with pytest.raises(jsonschema.ValidationError, match=rf"'{name}' is a required property"):
        VALIDATOR.validate(altered)


@pytest.mark.parametrize(
    ("record", "changes", "message"),
    [
        (DETECTED, {"schema": 2}, "1 was expected"),
        (DETECTED, {"path": None}, "None is not of type 'string'"),
        (DETECTED, {"status": "fine"}, "'fine' is not one of"),
        (DETECTED, {"status": "error"}, "False schema|not of type 'object'"),
        (DETECTED, {"status": "partial"}, "None is not of type 'object'"),
        (DETECTED, {"error": FAILED["error"]}, "is not of type 'null'"),
        (DETECTED, {"duration": None}, "None is not of type 'number'"),
        (DETECTED, {"duration": -0.5}, "less than the minimum of 0"),
        (DETECTED, {"sample_rate": None}, "None is not of type 'integer'"),
        (DETECTED, {"sample_rate": 44100.5}, "is not of type 'integer'"),
        (DETECTED, {"sample_rate": 0}, "0 is less than or equal to the minimum of 0"),
        (DETECTED, {"model": None}, "None is not of type 'string'"),
        (DETECTED, {"extra": 1}, "'extra' was unexpected"),
        (DETECTED, {"scenes": []}, r"\[\] should be non-empty"),
        (DETECTED, {"scenes": [{"label": "rain"}]}, "'score' is a required property"),
        (DETECTED, {"scenes": [{"label": "rain", "score": 1.5}]}, "1.5 is greater than the maximum of 1"),
        (DETECTED, {"scenes": [{"label": "rain", "score": None}]}, "None is not of type 'number'"),
        (DETECTED, {"scenes": [{"label": "", "score": 1}]}, "'' should be non-empty"),
        (DETECTED, {"stretches": []}, r"\[\] should be non-empty"),
        (DETECTED, {"stretches": [STRETCH | {"stop": -1}]}, "-1 is less than the minimum of 0"),
        (DETECTED, {"stretches": [STRETCH | {"scenes": []}]}, r"\[\] should be non-empty"),
        (DETECTED, {"stretches": [STRETCH | {"onset": 0}]}, "'onset' was unexpected"),
        (DETECTED, {"stretches": [{"start": 0, "stop": 1}]}, "'scenes' is a required property"),
        (DETECTED, {"events": None}, "None is not of type 'array'"),
        (DETECTED, {"events": [{"onset": 0, "offset": 1, "label": "dog"}]}, "'score' is a required property"),
        (DETECTED, {"events": [DETECTED["events"][0] | {"onset": -1}]}, "-1 is less than the minimum of 0"),
        (DETECTED, {"events": [DETECTED["events"][0] | {"score": 2}]}, "is not valid under any of the given schemas"),
        (DETECTED, {"events": [DETECTED["events"][0] | {"class": 3}]}, "'class' was unexpected"),
        (CUT, {"error": None}, "None is not of type 'object'"),
        (CUT, {"error": {"code": "damaged"}}, "is not valid under any of the given schemas"),
        (CUT, {"error": {"code": "It broke", "message": "x"}}, "is not valid under any of the given schemas"),
        (CUT, {"error": {"code": "damaged", "message": ""}}, "is not valid under any of the given schemas"),
        (FAILED, {"error": None}, "None is not of type 'object'"),
        (FAILED, {"status": "ok", "error": None}, "None is not of type 'number'"),
        (FAILED, {"scenes": DETECTED["scenes"]}, "False schema does not allow"),
        (DETECTED, {"vectors": []}, r"\[\] should be non-empty"),
        (DETECTED, {"vectors": [VECTOR | {"values": []}]}, r"\[\] should be non-empty"),
        (DETECTED, {"vectors": [VECTOR | {"values": ["1"]}]}, "'1' is not of type 'number'"),
        (DETECTED, {"vectors": [VECTOR | {"start": -1}]}, "-1 is less than the minimum of 0"),
        (DETECTED, {"vectors": [VECTOR | {"label": "x"}]}, "'label' was unexpected"),
        (FAILED, {"vectors": [VECTOR]}, "False schema does not allow"),
        (FAILED, {"stretches": [STRETCH]}, "False schema does not allow"),
        (FAILED, {"events": []}, "False schema does not allow"),
        (FAILED, {"duration": math.inf, "sample_rate": "16 kHz"}, "'16 kHz' is not of type 'integer'"),
    ],
)
def test_altered_records_are_refused(record, changes, message):
    messages = [error.message for error in VALIDATOR.iter_errors(record | changes)]
    assert any(re.search(message, found) for found in messages), messages
