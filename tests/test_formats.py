"""JSON, CSV and DCASE tables read back by independent readers, ill-formed names, and what all formats share."""

import csv
import dataclasses
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_records import BARK, CUT, EVENTS, FAILED, SCENE, SILENCE

from compactcli.errors import ConfigError, ManifestError
from compactcli.events import Event
from compactcli.formats import (
    FORMATS,
    FRAME_FORMATS,
    ONE_RECORDING,
    SUFFIXES,
    EventTsvWriter,
    JsonLinesWriter,
    RavenWriter,
    RttmWriter,
    Writer,
    encode,
    read_events_tsv,
    read_raven_table,
)
from compactcli.records import Record, Stretch

# every character that means something to one of the formats, one that is not ASCII, and stray bytes of Latin-1
AWKWARD = [
    "a,b.wav",
    'say "hi".wav',
    "line\nbreak.wav",
    "tab\tstop.wav",
    "carriage\rreturn.wav",
    "back\\slash.wav",
    "literal\\n.wav",
    "käse 日本.wav",
    "\u2028separator\x85.wav",
    " space .wav",
    os.fsdecode(b"caf\xe9.wav"),
]


def write(writer: Writer, *records: Record) -> str:
    return writer.begin() + "".join(writer.record(record) for record in records) + writer.end()


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_json_is_an_array_with_a_record_a_line() -> None:
    text = write(FORMATS["detect"]["json"](), EVENTS, FAILED, SILENCE)
    assert json.loads(text) == [EVENTS.to_dict(), FAILED.to_dict(), SILENCE.to_dict()]
    assert text.count("\n") == 5


def test_json_without_records_is_an_empty_array() -> None:
    assert json.loads(write(FORMATS["classify"]["json"]())) == []


def test_jsonl_is_an_object_a_line() -> None:
    text = write(FORMATS["detect"]["jsonl"](), EVENTS, CUT, SILENCE)
    assert [json.loads(line) for line in text.splitlines()] == [EVENTS.to_dict(), CUT.to_dict(), SILENCE.to_dict()]
    assert write(FORMATS["detect"]["jsonl"]()) == ""


def test_json_golden_line() -> None:
    assert write(FORMATS["classify"]["jsonl"](), SCENE) == (
        '{"schema": 1, "path": "beach.wav", "status": "ok", "error": null, "duration": 30.0, "sample_rate": 44100, '
        '"model": "compactnet", "model_version": "2026.11", '
        '"scenes": [{"label": "beach", "score": 0.9123}, {"label": "stream", "score": 0.05}]}\n'
    )


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_gives_any_name_back(name: str, form: str) -> None:
    text = write(FORMATS["detect"][form](), Record(path=name, events=(BARK,)))
    parsed = json.loads(text.encode("utf-8"))
    record = parsed[0] if form == "json" else parsed
    assert os.fsencode(record["path"]) == os.fsencode(name)
    # no reader may find a line end inside a record
    assert len(text.splitlines()) == (3 if form == "json" else 1)


def test_json_leaves_other_scripts_readable() -> None:
    assert '"käse 日本.wav"' in write(FORMATS["classify"]["jsonl"](), Record(path="käse 日本.wav"))


def test_csv_of_scenes_has_a_row_for_each_scene_and_failure() -> None:
    failed = Record(path="a,b.wav", status="error", error_code="empty", error_message='it has "no" samples')
    assert write(FORMATS["classify"]["csv"](), SCENE, failed) == (
        "path,status,duration,start,stop,rank,label,score,error\n"
        "beach.wav,ok,30.000,0.000,30.000,1,beach,0.9123,\n"
        "beach.wav,ok,30.000,0.000,30.000,2,stream,0.0500,\n"
        '"a,b.wav",error,,,,,,,"empty: it has ""no"" samples"\n'
    )


def test_csv_of_scenes_has_a_row_for_each_stretch_where_there_are_some() -> None:
    rain = Stretch(start=0.0, stop=20.0, scenes=(("rain", 0.75), ("beach", 0.25)))
    beach = Stretch(start=20.0, stop=30.0004, scenes=(("beach", 0.5),))
    assert write(FORMATS["classify"]["csv"](), dataclasses.replace(SCENE, stretches=(rain, beach))) == (
        "path,status,duration,start,stop,rank,label,score,error\n"
        "beach.wav,ok,30.000,0.000,20.000,1,rain,0.7500,\n"
        "beach.wav,ok,30.000,0.000,20.000,2,beach,0.2500,\n"
        "beach.wav,ok,30.000,20.000,30.000,1,beach,0.5000,\n"
    )


def test_csv_of_events_tells_silence_from_failure() -> None:
    assert write(FORMATS["detect"]["csv"](), EVENTS, SILENCE, FAILED, CUT) == (
        "path,status,duration,onset,offset,label,score,error\n"
        "street.wav,ok,12.346,0.400,1.200,dog,0.9877,\n"
        "street.wav,ok,12.346,2.000,12.346,siren,0.5000,\n"
        "quiet.wav,ok,5.000,,,,,\n"
        "broken.wav,error,,,,,,not-audio: broken.wav is text\n"
        "cut.flac,partial,3.000,1.000,3.000,rain,0.7500,damaged: cut.flac stops at 3 s\n"
    )


def test_csv_of_an_event_without_a_score_leaves_it_empty() -> None:
    record = Record(path="a.wav", events=(Event(onset=0, offset=1, label="dog"),))
    (row,) = read_csv(write(FORMATS["detect"]["csv"](), record))
    assert row["score"] == ""
    assert row["duration"] == ""


@pytest.mark.parametrize("command", ["classify", "detect"])
def test_csv_gives_any_name_back(command: str) -> None:
    records = [Record(path=name, scenes=SCENE.scenes, events=(BARK,)) for name in AWKWARD]
    rows = read_csv(encode(write(FORMATS[command]["csv"](), *records)).decode("utf-8", "surrogateescape"))
    n_rows = 2 if command == "classify" else 1
    assert [row["path"] for row in rows] == [name for name in AWKWARD for _ in range(n_rows)]


def test_tsv_is_the_table_of_the_dcase_challenges() -> None:
    assert write(FORMATS["detect"]["tsv"](), EVENTS, SILENCE, FAILED, CUT) == (
        "filename\tonset\toffset\tevent_label\n"
        "street.wav\t0.400\t1.200\tdog\n"
        "street.wav\t2.000\t12.346\tsiren\n"
        "quiet.wav\t\t\t\n"
        "cut.flac\t1.000\t3.000\train\n"
    )


def test_formats_of_scenes_and_of_events() -> None:
    assert list(FORMATS["classify"]) == ["json", "jsonl", "csv", "audacity", "raven"]
    assert list(FORMATS["detect"]) == ["json", "jsonl", "csv", "tsv", "audacity", "raven", "vtt", "srt", "rttm"]
    assert list(FRAME_FORMATS["detect"]) == ["scores-tsv"]


def test_every_format_has_a_suffix() -> None:
    assert set(SUFFIXES) == {name for formats in (*FORMATS.values(), *FRAME_FORMATS.values()) for name in formats}
    assert {name for formats in FRAME_FORMATS.values() for name in formats} <= ONE_RECORDING
    # formats without a suffix of their own cannot stand in one folder: those that share one do not meet by chance
    shared = [name for name, suffix in SUFFIXES.items() if list(SUFFIXES.values()).count(suffix) > 1]
    assert shared == ["tsv", "scores-tsv", "levels-tsv"]


FAILURES = [
    Record(path=name, status="error", error_code="not-audio", error_message="it is text") for name in ("a.wav", "b.wav")
]


@pytest.mark.parametrize("form", sorted(ONE_RECORDING & set(FORMATS["detect"])))
def test_formats_without_names_refuse_a_second_recording(form: str) -> None:
    writer = FORMATS["detect"][form]()
    writer.begin()
    writer.record(FAILURES[0])
    with pytest.raises(ConfigError, match=rf"{form} has room for one recording, got 'b\.wav' after 'a\.wav'") as caught:
        writer.record(FAILURES[1])
    assert "--output-dir" in str(caught.value.hint)


@pytest.mark.parametrize("form", sorted(set(FORMATS["detect"]) - ONE_RECORDING))
def test_formats_with_names_take_any_number_of_recordings(form: str) -> None:
    # json, jsonl and csv tell of failures; the others name only recordings that were heard
    text = write(FORMATS["detect"][form](), *FAILURES)
    assert ("b.wav" in text) == (form in {"json", "jsonl", "csv"})


# milliseconds survive the way through text exactly, and so does any name without NUL
milliseconds = st.integers(0, 10**7)
file_names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    AWKWARD
)
written_events = st.builds(
    lambda onset, length, label: Event(onset=onset / 1000, offset=(onset + length) / 1000, label=label),
    milliseconds,
    st.integers(1, 10**5),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)


@given(st.dictionaries(file_names, st.lists(written_events, max_size=4), max_size=4))
def test_tsv_survives_a_round_trip(table: dict[str, list[Event]]) -> None:
    records = [Record(path=name, events=tuple(events)) for name, events in table.items()]
    data = encode(write(EventTsvWriter(), *records))
    read = read_events_tsv(data.decode("utf-8", "surrogateescape"), "events.tsv")
    assert read == table
    assert list(read) == list(table)


def test_encode_restores_the_bytes_of_a_name(tmp_path: Path) -> None:
    raw = b"caf\xe9 \xff.wav"
    text = write(EventTsvWriter(), Record(path=os.fsdecode(raw), events=()))
    assert encode(text) == b"filename\tonset\toffset\tevent_label\n" + raw + b"\t\t\t\n"


def test_encode_replaces_surrogates_that_stand_for_no_byte() -> None:
    assert encode("a\ud800\udfffb\udcff") == b"a\xef\xbf\xbd\xef\xbf\xbdb\xff"


def test_a_table_may_have_other_columns_a_byte_order_mark_and_windows_line_ends() -> None:
    text = "\ufeffevent_label\tfilename\tannotator\tonset\toffset\r\ndog\ta.wav\tann\t0.5\t1e1\r\n\r\n"
    assert read_events_tsv(text, "truth.tsv") == {"a.wav": [Event(onset=0.5, offset=10.0, label="dog")]}


def test_unknown_escapes_are_kept() -> None:
    text = "filename\tonset\toffset\tevent_label\nset\\a.wav\t0\t1\tdog\n"
    assert list(read_events_tsv(text, "truth.tsv")) == ["set\\a.wav"]


def test_an_empty_row_next_to_events_adds_none() -> None:
    text = "filename\tonset\toffset\tevent_label\na.wav\t\t\t\na.wav\t0\t1\tdog\n"
    assert len(read_events_tsv(text, "truth.tsv")["a.wav"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"truth\.tsv line 1 lacks the columns \['filename', 'onset', 'offset', 'event_label'\]"),
        ("filename\tonset\toffset\n", r"truth\.tsv line 1 lacks the columns \['event_label'\]"),
        (80 * "dog\t", r"line 1 lacks the columns .*, found \['dog', ('dog', )+'d?o?g?'?…$"),
        ("a.wav\t0\t1\tdog\n", r"line 1 lacks the columns .*, found \['a\.wav', '0', '1', 'dog'\]"),
    ],
)
def test_a_table_without_its_columns_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read_events_tsv(text, "truth.tsv")
    assert caught.value.hint == "the first line of an event table names its columns, separated by tabs"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.wav\t0\t1", r"truth\.tsv line 3 has 3 fields, expected 4"),
        ("a.wav\t0\t1\tdog\tx", r"truth\.tsv line 3 has 5 fields, expected 4"),
        ("\t0\t1\tdog", r"truth\.tsv line 3 has no filename"),
        ("a.wav\t0\t1\t", r"truth\.tsv line 3 has no event_label"),
        ("a.wav\t\t1\tdog", r"truth\.tsv line 3 has onset '' and offset '1', expected two numbers"),
        ("a.wav\t0,5\t1\tdog", r"truth\.tsv line 3 has onset '0,5' and offset '1', expected two numbers"),
        ("a.wav\t2\t1\tdog", r"truth\.tsv line 3: event 'dog' has onset 2\.0 and offset 1\.0"),
        ("a.wav\tnan\t1\tdog", r"truth\.tsv line 3: event 'dog' has onset nan"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(line: str, message: str) -> None:
    text = f"filename\tonset\toffset\tevent_label\nok.wav\t0\t1\tdog\n{line}\n"
    with pytest.raises(ManifestError, match=message):
        read_events_tsv(text, "truth.tsv")


def test_samples_without_a_name_have_one_where_a_format_needs_it():
    record = Record(
        path="", duration=5.0, sample_rate=16000, model="compactnet", model_version="2026.11", events=(BARK,)
    )

    def written(writer):
        return writer.begin() + writer.record(record) + writer.end()

    assert written(RttmWriter()).split()[1] == "-"
    assert list(read_events_tsv(written(EventTsvWriter()), "x")) == ["-"]
    assert list(read_raven_table(written(RavenWriter()), "x", label_column="Annotation")) == ["-"]
    assert json.loads(written(JsonLinesWriter()))["path"] == ""
