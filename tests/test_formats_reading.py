"""Tables of events of every kind: read back as they were written, refused where they are none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats import FORMATS, encode, read_events
from compactcli.formats.documents import read_events_json
from compactcli.formats.tables import read_events_csv
from compactcli.records import Record

BARK = Event(onset=0.4, offset=1.2, label="dog", score=0.9877)
SIREN = Event(onset=2.0, offset=12.346, label="siren", score=0.5)
RECORDS = [
    Record(
        path='a "b", c\n.wav',
        duration=20.0,
        sample_rate=16000,
        model="m",
        scenes=(("rain", 1.0),),
        events=(BARK, SIREN),
    ),
    Record(path="caf\udce9.wav", duration=20.0, sample_rate=16000, model="m", scenes=(("rain", 1.0),), events=(BARK,)),
    Record(path="quiet.wav", duration=5.0, sample_rate=16000, model="m", scenes=(("rain", 1.0),), events=()),
    Record(path="broken.wav", status="error", error_code="not-audio", error_message="it is text", model="m"),
]


def written(form, records=RECORDS):
    writer = FORMATS["detect"][form]()
    text = writer.begin() + "".join(writer.record(record) for record in records) + writer.end()
    return encode(text).decode("utf-8", "surrogateescape")


def without_scores(table):
    return {
        name: [Event(onset=event.onset, offset=event.offset, label=event.label) for event in events]
        for name, events in table.items()
    }


EXPECTED = {RECORDS[0].path: [BARK, SIREN], "caf\udce9.wav": [BARK], "quiet.wav": []}


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_detect_writes_is_read_with_its_scores(form, mark):
    assert read_events(mark + written(form), "events") == EXPECTED


def test_tables_of_other_programs():
    assert read_events(written("tsv"), "events.tsv") == without_scores(EXPECTED)
    with_events = {name: events for name, events in EXPECTED.items() if events}
    assert read_events(written("raven"), "events.txt") == with_events
    head = "filename\tonset\toffset\tevent_label\tscore\n"
    rows = "a.wav\t0.4\t1.2\tdog\t0.9877\na.wav\t2.0\t12.346\tsiren\thigh\n"
    unsure = Event(onset=2.0, offset=12.346, label="siren")
    assert read_events(head + rows, "events.tsv") == {"a.wav": [BARK, unsure]}


def test_scores_of_other_scales_are_none():
    table = "Begin File\tBegin Time (s)\tEnd Time (s)\tAnnotation\tConfidence\na.wav\t0.4\t1.2\tdog\t{}\n"
    assert read_events(table.format("0.9877"), "a.txt") == {"a.wav": [BARK]}
    assert read_events(table.format("98.77"), "a.txt") == without_scores({"a.wav": [BARK]})


def test_what_spreadsheets_make_of_csv():
    rows = "a.wav,0.4,1.2,dog,0.9877\n,,,,\n,,,,\n"
    table = "path,onset,offset,label,score\n" + rows
    for separator in ",;\t":
        assert read_events(table.replace(",", separator), "a.csv") == {"a.wav": [BARK]}
    decimal_commas = "path;onset;offset;label;score\na.wav;0,4;1,2;dog;0,9877\n"
    assert read_events(decimal_commas, "a.csv") == {"a.wav": [BARK]}
    quoted = '"path","onset","offset","label","score"\n' + rows
    assert read_events(quoted, "a.csv") == {"a.wav": [BARK]}


@pytest.mark.parametrize("separator", [",", ";"])
def test_names_of_columns_as_dcase_has_them(separator):
    table = "filename,onset,offset,event_label,score\na.wav,0.4,1.2,dog,0.9877\n"
    assert read_events(table.replace(",", separator), "a.csv") == {"a.wav": [BARK]}


@pytest.mark.parametrize("form", ["csv", "tsv"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_that_were_joined(form, mark):
    text = mark + written(form)
    assert read_events(text + text, "season") == {
        name: [*events, *events] for name, events in read_events(text, "a").items()
    }


def test_tables_of_other_columns_that_were_joined():
    table = "path,onset,offset,label\na.wav,2.0,12.346,siren\nscore,label,offset,onset,path\n0.9877,dog,1.2,0.4,a.wav\n"
    assert read_events(table, "season.csv") == {"a.wav": [Event(onset=2.0, offset=12.346, label="siren"), BARK]}


def test_records_however_they_are_broken_into_lines():
    records = [record.to_dict() for record in RECORDS]
    for indent in (None, 2):
        assert read_events("\n".join(json.dumps(record, indent=indent) for record in records), "a.json") == EXPECTED
    assert read_events(json.dumps(records[0], indent=2), "a.json") == {RECORDS[0].path: [BARK, SIREN]}


def test_lines_of_windows_and_spaces_around_json():
    assert read_events(written("csv", RECORDS[1:]).replace("\n", "\r\n"), "a.csv") == dict(list(EXPECTED.items())[1:])
    assert read_events("\n\n " + written("jsonl").replace("\n", "\r\n\r\n"), "a.jsonl") == EXPECTED
    assert read_events(json.dumps([record.to_dict() for record in RECORDS], indent=2), "a.json") == EXPECTED


def test_records_of_one_recording_are_joined():
    text = written("jsonl", [RECORDS[1], RECORDS[1]])
    assert read_events(text, "a.jsonl") == {"caf\udce9.wav": [BARK, BARK]}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5), st.integers(0, 10**4)), max_size=4), st.text())
def test_any_event_comes_back(times, path):
    events = [
        Event(onset=start / 1000, offset=(start + length) / 1000, label="dog", score=score / 10**4)
        for start, length, score in times
    ]
    record = Record(path=path, scenes=(("a", 1.0),), events=tuple(events))
    assert read_events(written("jsonl", [record]), "a.jsonl") == {
        encode(path).decode("utf-8", "surrogateescape"): list(events)
    }


OK = {"schema": 1, "path": "a.wav", "status": "ok"}
EVENT = {"onset": 0, "offset": 1, "label": "dog", "score": 0.5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"table begins with \[''\], expected a table of events"),
        ("file\tlabel\n", r"table begins with \['file', 'label'\], expected a table of events"),
        ("filename\tonset\n", r"table line 1 lacks the columns \['offset', 'event_label'\]"),
        ("Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n", "none of the columns .'Begin Path', 'Begin File'."),
        ("{", r"table line 1 is no JSON \(.*\), expected records of compact detect"),
        ("[{}", r"table line 1 is no JSON \(Expecting"),
        ("[" * 200_000, "table is nested too deeply, expected records of compact detect"),
        (
            "Begin File\tBegin Time (s)\tEnd Time (s)\tAnnotation\na.wav\t0\t1\tdog\nb.wav\t9\t10\tdog\n",
            r"table names 2 recordings and lacks the column 'File Offset \(s\)'",
        ),
        ("{}\n", "table record 1 is no record of schema 1, expected what compact detect writes"),
        (json.dumps(OK) + "\n[]\n", "table record 1 has no events, expected a record of compact detect"),
        (json.dumps([OK | {"events": []}, 7]), "table record 2 is no record"),
        (json.dumps(OK | {"path": 7, "events": []}), "table record 1 is no record"),
        (json.dumps(OK | {"schema": 2, "events": []}), "table record 1 is no record of schema 1"),
        (json.dumps(OK | {"events": [EVENT, 7]}), "record 1, event 2 is 7, expected onset and offset in seconds"),
        (json.dumps(OK | {"events": [EVENT | {"onset": "0"}]}), "record 1, event 1 is .*, expected onset and offset"),
        (json.dumps(OK | {"events": [EVENT | {"offset": True}]}), "record 1, event 1 is .*, expected onset and offset"),
        (
            json.dumps(OK | {"events": [EVENT | {"offset": 10**400}]}),
            "record 1, event 1 is .*, expected onset and offset",
        ),
        (
            json.dumps(OK | {"events": [EVENT | {"label": ["dog"]}]}),
            "record 1, event 1 is .*, expected onset and offset",
        ),
        (json.dumps(OK | {"events": [EVENT | {"score": "1"}]}), "record 1, event 1 is .*, expected onset and offset"),
        (json.dumps(OK | {"events": [EVENT | {"score": 1.5}]}), "event 1 has score 1.5, expected 0 to 1"),
        (json.dumps(OK | {"events": [EVENT | {"offset": 0}]}), "event 1: event 'dog' has onset 0 and offset 0"),
        (json.dumps(OK | {"events": [{"onset": 0, "offset": 1}]}), "record 1, event 1 has no label"),
        ("path,onset,offset,label\na.wav,0,1\n", "table line 2 has 3 fields, expected 4, one for each column"),
        ("path,onset,offset,label\n,0,1,dog\n", "table line 2 has no path"),
        ("path,onset,offset,label\na.wav,0,1,\n", "table line 2 has no label"),
        (
            "path,onset,offset,label\n\na.wav,x,1,dog\n",
            "table line 3 has onset 'x' and offset '1', expected two numbers",
        ),
        ("path,onset,offset,label,score\na.wav,0,1,dog,high\n", "table line 2 has score 'high', expected a number"),
        ("path,onset,offset,label,score\na.wav,0,1,dog,nan\n", "table line 2 has score nan, expected 0 to 1"),
        ('path,onset,offset,label\n"a.wav,0,1,dog\n', "table line 2 is no row of a table"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(text, expected):
    with pytest.raises(ManifestError, match=expected):
        read_events(text, "table")


def test_the_readers_of_one_kind_refuse_others():
    with pytest.raises(ManifestError, match=r"a.csv line 1 lacks the columns \['onset', 'offset', 'label'\], found"):
        read_events_csv("path,scene\n", "a.csv")
    with pytest.raises(ManifestError, match="a.jsonl line 1 is no JSON"):
        read_events_json("filename\tonset\n", "a.jsonl")
