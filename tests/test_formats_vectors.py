"""Tables of embeddings."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ManifestError
from compactcli.formats import FORMATS, read_vectors
from compactcli.records import Record, Vector


def embedded(path, *vectors):
    found = tuple(Vector(start=start, stop=stop, values=values) for start, stop, values in vectors)
    return Record(path=path, duration=found[-1].stop, sample_rate=8000, model="m", model_version="7", vectors=found)


FAILED = Record(
    path="b,c.wav", status="error", error_code="empty", error_message="it has no samples", model="m", model_version="7"
)


def write(*records):
    writer = FORMATS["embed"]["csv"]()
    return "".join([writer.begin(), *map(writer.record, records), writer.end()])


def test_a_row_for_each_stretch():
    text = write(embedded("a.wav", (0.0, 2.0, (0.5, -1.0)), (2.0, 3.0005, (1e-6, 12.3456789))))
    assert text == (
        "path,status,duration,start,stop,model,model_version,error,v1,v2\n"
        "a.wav,ok,3.001,0.000,2.000,m,7,,0.50000,-1.00000\n"
        "a.wav,ok,3.001,2.000,3.001,m,7,,0.00000,12.34568\n"
    )


def test_failures_keep_their_place_and_all_columns():
    one = embedded("a.wav", (0.0, 2.0, (0.5, 1.0)))
    for records in ([FAILED, one, FAILED], [one, FAILED, one], [FAILED, FAILED, one]):
        rows = list(csv.DictReader(io.StringIO(write(*records)), restkey="more", restval="missing"))
        assert [row["path"] for row in rows] == [record.path for record in records]
        assert [row["v2"] for row in rows] == ["" if record is FAILED else "1.00000" for record in records]
        assert all("more" not in row for row in rows)


def test_nothing_but_failures_has_no_columns_of_values():
    expected = "path,status,duration,start,stop,model,model_version,error\n"
    assert write() == expected
    assert write(FAILED) == expected + '"b,c.wav",error,,,,m,7,empty: it has no samples\n'


HEAD = "path,status,start,stop,model,model_version,error,v1,v2\n"
ROW = "a.wav,ok,0,2,m,7,,0.5,1\n"


def read(text):
    return list(read_vectors(io.StringIO(text, newline=""), "v.csv"))


names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=8)
values = st.floats(-100, 100, width=32)
recordings = st.lists(
    st.tuples(names, st.lists(st.tuples(values, values), min_size=1, max_size=3)), min_size=1, max_size=5
)


@given(recordings=recordings, form=st.sampled_from(["csv", "json", "jsonl"]), with_failed=st.booleans())
def test_what_is_written_is_read_again(recordings, form, with_failed):
    written = [
        embedded(path, *((place, place + 1, row) for place, row in enumerate(rows))) for path, rows in recordings
    ]
    writer = FORMATS["embed"][form]()
    records = [*written, *[FAILED] * with_failed]
    text = "".join([writer.begin(), *map(writer.record, records), writer.end()])
    found = read(text)
    flat = [
        (record.path, record.model, vector.start, vector.stop, *vector.values)
        for record in found
        for vector in record.vectors or ()
    ]
    expected = [
        (record.path, "m", vector.start, vector.stop, *(round(value, 5) for value in vector.values))
        for record in written
        for vector in record.vectors
    ]
    assert [row[:4] for row in flat] == [row[:4] for row in expected]
    for row, other in zip(flat, expected, strict=True):
        assert row[4:] == pytest.approx(other[4:], rel=1e-6)
    assert [record.path for record in found if record.status == "error"] == ["b,c.wav"] * with_failed


def test_a_failure_says_what_it_was():
    [record] = read(write(FAILED))
    assert (record.error_code, record.error_message) == ("empty", "it has no samples")


def test_tables_that_follow_one_another_empty_lines_and_the_mark_of_windows():
    assert [record.path for record in read(f"\ufeff{HEAD}{ROW}\r\n{HEAD}{ROW.replace('a.', 'b.')}")] == [
        "a.wav",
        "b.wav",
    ]


def test_a_table_of_another_model_or_without_vectors_may_follow():
    smaller = f"{HEAD.replace(',v2', '')}b.wav,ok,0,2,other,1,,0.5\n"
    failed = write(FAILED)
    assert [(record.path, record.model) for record in read(HEAD + ROW + smaller + failed + "\ufeff" + HEAD + ROW)] == [
        ("a.wav", "m"),
        ("b.wav", "other"),
        ("b,c.wav", "m"),
        ("a.wav", "m"),
    ]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_empty_lines_at_the_beginning(form):
    writer = FORMATS["embed"][form]()
    text = "".join([writer.begin(), writer.record(embedded("a.wav", (0, 1, (1, 2)))), writer.end()])
    [record] = read(f"\ufeff\n  \n\n{text}" if form == "json" else f"\ufeff\n\n{text}")
    assert list(record.vectors[0].values) == [1, 2]


def test_other_columns_do_not_matter():
    [record] = read(
        "mine,path,status,model,model_version,error,start,stop,v1\nx,a.wav,partial,m,7,damaged: yes,1,2,4\n"
    )
    assert (record.path, record.vectors[0].start, list(record.vectors[0].values)) == ("a.wav", 1.0, [4.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"v\.csv begins with \[\], expected a table of vectors"),
        ("path,onset,offset\n", r"begins with \['path', 'onset', 'offset'\], expected a table of vectors"),
        (HEAD + "a.wav,ok,0,2,m,7,,0.5\n", "line 2 has 8 fields, expected 9, one for each column"),
        (HEAD + ROW + "a.wav,ok,0,2,m,7,,0.5,x\n", "line 3 holds what is no number among its values"),
        (HEAD + "a.wav,ok,0,2,m,7,,,\n", "line 2 holds what is no number among its values"),
        (HEAD + "a.wav,ok,0,2,m,7,,nan,1\n", "line 2 holds values that are not finite"),
        (HEAD + "a.wav,ok,0,2,m,7,,1e39,1\n", "line 2 holds values that are not finite"),
        (HEAD + "a.wav,ok,2,2,m,7,,1,1\n", r"line 2 starts at 2\.0 and stops at 2\.0, expected 0 <= start < stop"),
        (HEAD + "a.wav,ok,-1,2,m,7,,1,1\n", "expected 0 <= start < stop"),
        (HEAD + "a.wav,ok,0,nan,m,7,,1,1\n", "expected 0 <= start < stop"),
        (HEAD + "a.wav,ok,,2,m,7,,1,1\n", "line 2 has start '' and stop '2', expected two numbers"),
        (HEAD + "a.wav,ok,0,2,,7,,1,1\n", "line 2 has path 'a.wav', model '' and version '7', expected all three"),
        (HEAD + "a.wav,ok,0,2,m,,,1,1\n", "line 2 has path 'a.wav', model 'm' and version '', expected all three"),
        (HEAD + ",ok,0,2,m,7,,1,1\n", "line 2 has path '', model 'm' and version '7', expected all three"),
        (HEAD + '"a.wav,ok,0,2,m,7,,1,1\n', "is no row of a table"),
        ("[1]", r"record 1 is no record of schema 1, expected what compact embed writes"),
        ('{"schema": 1, "path": "a.wav", "model": "m", "events": []}', "record 1 has no vectors, expected a record of"),
        ('{"schema": 1, "path": "a.wav", "vectors": []}', "record 1 has path 'a.wav', model '' and version ''"),
        (
            '{"schema": 1, "path": "a.wav", "model": "m", "vectors": [{"start": 0, "stop": 1, "values": ["x"]}]}',
            "record 1, vector 1 holds what is no number of float32 among its values",
        ),
        (
            '{"schema": 1, "path": "a.wav", "vectors": [{"start": 0, "stop": 1, "values": [1' + "0" * 400 + "]}]}",
            "record 1, vector 1 holds what is no number of float32 among its values",
        ),
        (
            '{"schema": 1, "path": "a.wav", "vectors": [{"start": 0, "stop": "1", "values": [1]}]}',
            "record 1, vector 1 is .*, expected start and stop in seconds and values",
        ),
        ('{"schema": 1' + "0" * 5000 + "}", "v.csv holds a number that is too long .*, expected records of"),
        ("{", "v.csv line 1 is no JSON .*, expected records of compact embed"),
        ("[" * 100_000, "v.csv is nested too deeply, expected records of compact embed"),
    ],
)
def test_damaged_tables_are_refused(text, expected):
    with pytest.raises(ManifestError, match=expected):
        read(text)
