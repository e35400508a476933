"""Records against schema 1, written out by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_records import BARK, CUT, EVENTS, FAILED, SCENE, SILENCE

from compactcli.errors import ConfigError
from compactcli.events import Event
from compactcli.records import Record, Stretch, rounded_events


def test_a_record_of_scenes_follows_the_schema() -> None:
    values = SCENE.to_dict()
    assert list(values) == [
        "schema",
        "path",
        "status",
        "error",
        "duration",
        "sample_rate",
        "model",
        "model_version",
        "scenes",
    ]
    assert values == {
        "schema": 1,
        "path": "beach.wav",
        "status": "ok",
        "error": None,
        "duration": 30.0,
        "sample_rate": 44100,
        "model": "compactnet",
        "model_version": "2026.11",
        "scenes": [{"label": "beach", "score": 0.9123}, {"label": "stream", "score": 0.05}],
    }


def test_a_record_of_events_follows_the_schema() -> None:
    values = EVENTS.to_dict()
    assert list(values) == [
        "schema",
        "path",
        "status",
        "error",
        "duration",
        "sample_rate",
        "model",
        "model_version",
        "events",
    ]
    assert values["duration"] == 12.346
    assert [list(event) for event in values["events"]] == [["onset", "offset", "label", "score"]] * 2
    assert values["events"] == [
        {"onset": 0.4, "offset": 1.2, "label": "dog", "score": 0.9877},
        {"onset": 2.0, "offset": 12.346, "label": "siren", "score": 0.5},
    ]


def test_a_record_of_stretches_follows_the_schema() -> None:
    stretches = (
        Stretch(start=0, stop=20.0, scenes=(("rain", 0.75004),)),
        Stretch(start=20.0, stop=30.0004, scenes=(("beach", 1.0),)),
    )
    values = replace(SCENE, stretches=stretches).to_dict()
    assert list(values)[-2:] == ["scenes", "stretches"]
    assert values["scenes"] == SCENE.to_dict()["scenes"]
    assert values["stretches"] == [
        {"start": 0.0, "stop": 20.0, "scenes": [{"label": "rain", "score": 0.75}]},
        {"start": 20.0, "stop": 30.0, "scenes": [{"label": "beach", "score": 1.0}]},
    ]


def test_a_failure_has_a_record_without_results() -> None:
    assert FAILED.to_dict() == {
        "schema": 1,
        "path": "broken.wav",
        "status": "error",
        "error": {"code": "not-audio", "message": "broken.wav is text"},
        "duration": None,
        "sample_rate": None,
        "model": "compactnet",
        "model_version": "2026.11",
    }


def test_a_partial_record_has_both_error_and_results() -> None:
    values = CUT.to_dict()
    assert values["error"] == {"code": "damaged", "message": "cut.flac stops at 3 s"}
    assert len(values["events"]) == 1


def test_silence_has_an_empty_list_of_events() -> None:
    assert SILENCE.to_dict()["events"] == []
    assert "scenes" not in SILENCE.to_dict()


def test_an_event_without_a_score_has_null() -> None:
    record = Record(path="a.wav", events=(Event(onset=0, offset=1, label="dog"),))
    assert record.to_dict()["events"] == [{"onset": 0, "offset": 1, "label": "dog", "score": None}]


@given(st.integers(0, 10**7), st.integers(1, 10**5))
def test_rounded_events_keep_a_length_and_stay_in_the_recording(start: int, length: int) -> None:
    # tens of microseconds: many lengths are below the millisecond that is written
    event = Event(onset=start / 1e5, offset=(start + length) / 1e5, label="dog", score=0.5)
    record = Record(path="a.wav", duration=event.offset, events=(event,))
    values = record.to_dict()
    assert values["events"] or length < 100
    for written in values["events"]:
        assert 0 <= written["onset"] < written["offset"] <= values["duration"]
        # half a millisecond, and what the nearest float64 may add
        assert abs(written["onset"] - event.onset) <= 0.00050001
        assert abs(written["offset"] - event.offset) <= 0.00050001


def test_events_of_which_rounding_leaves_nothing_are_left_out() -> None:
    fifth = Event(onset=0.0, offset=5 / 16000, label="dog", score=0.5)
    assert Record(path="a.wav", duration=5 / 16000, events=(fifth,)).to_dict()["events"] == []
    within = Event(onset=1.0001, offset=1.0004, label="dog")
    assert rounded_events([within, BARK]) == [Event(onset=0.4, offset=1.2, label="dog", score=0.98765)]
    assert rounded_events([within], decimals=4) == [within]


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        ("fine", None, None, "a record has status 'fine', expected one of"),
        ("ok", "not-audio", "it is text", "status 'ok' has error code 'not-audio' .*, expected neither"),
        ("ok", None, "it is text", "status 'ok' has error code None .*, expected neither"),
        ("error", None, None, "status 'error' has error code None and message None, expected both"),
        ("partial", "damaged", None, "status 'partial' has error code 'damaged' and message None, expected both"),
    ],
)
def test_status_and_error_must_agree(status: str, code: str | None, message: str | None, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Record(path="a.wav", status=status, error_code=code, error_message=message)
