"""Selection tables of Raven: exact text, round trips, tables of other programs, refusals."""

import csv
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats import RavenWriter, encode, read_raven_table
from compactcli.records import Record

HEADER = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin Path\t"
    "File Offset (s)\tAnnotation\tScore\n"
)
BARK = Event(onset=0.4, offset=1.2, label="dog", score=0.98765)
SIREN = Event(onset=2.0, offset=12.3456789, label="siren", score=0.5)
STREET = Record(path="street.wav", duration=12.5, sample_rate=44100, model="m", events=(BARK, SIREN))
QUIET = Record(path="quiet.wav", duration=60.0000004, sample_rate=16000, model="m", events=())
FAILED = Record(path="broken.wav", status="error", error_code="not-audio", error_message="it is text", model="m")
CUT = Record(
    path="rec/cut.flac",
    status="partial",
    error_code="damaged",
    error_message="it stops at 3 s",
    duration=3.0,
    sample_rate=48000,
    model="m",
    events=(Event(onset=1.0, offset=3.0, label="rain"),),
)


def write(*records: Record) -> str:
    writer = RavenWriter()
    return writer.begin() + "".join(writer.record(record) for record in records) + writer.end()


def test_times_run_on_over_all_recordings_and_the_offset_is_inside_each() -> None:
    assert write(STREET, QUIET, FAILED, CUT) == HEADER + (
        "1\tSpectrogram 1\t1\t0.400000\t1.200000\t0.0\t22050.0\tstreet.wav\t0.400000\tdog\t0.9877\n"
        "2\tSpectrogram 1\t1\t2.000000\t12.345679\t0.0\t22050.0\tstreet.wav\t2.000000\tsiren\t0.5000\n"
        "3\tSpectrogram 1\t1\t73.500000\t75.500000\t0.0\t24000.0\trec/cut.flac\t1.000000\train\t\n"
    )


def test_a_table_without_events_has_its_columns() -> None:
    assert write(QUIET, FAILED) == HEADER
    assert read_raven_table(HEADER, "x") == {}


def test_an_unknown_sample_rate_leaves_the_band_open() -> None:
    (row,) = csv.DictReader(io.StringIO(write(Record(path="a", events=(BARK,)))), delimiter="\t")
    assert (row["Low Freq (Hz)"], row["High Freq (Hz)"]) == ("0.0", "")


def test_paths_of_windows_stay_as_they_are() -> None:
    record = Record(path=r"C:\new\table.wav", duration=2.0, sample_rate=8000, events=(BARK,))
    assert "\tC:\\new\\table.wav\t" in write(record)
    assert list(read_raven_table(write(record), "x")) == [r"C:\new\table.wav"]


@pytest.mark.parametrize(
    "name", ["tab\tstop.wav", "line\nbreak.wav", "carriage\rreturn\r", 'say "hi".wav', os.fsdecode(b"caf\xe9.wav"), " "]
)
def test_any_name_comes_back(name: str) -> None:
    data = encode(write(Record(path=name, events=(BARK,))))
    assert list(read_raven_table(data.decode("utf-8", "surrogateescape"), "x")) == [name]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u2409\u240a\u240d"), min_size=1)
events = st.builds(
    lambda onset, length, label: Event(onset=onset / 1e6, offset=(onset + length) / 1e6, label=label),
    st.integers(0, 10**11),
    st.integers(1, 10**8),
    names,
)
tables = st.dictionaries(names, st.tuples(st.lists(events, min_size=1, max_size=3), st.integers(1, 10**12)), max_size=4)


@given(tables)
def test_a_table_survives_a_round_trip(table: dict[str, tuple[list[Event], int]]) -> None:
    records = [
        Record(path=name, duration=length / 1e6, sample_rate=16000, events=tuple(found))
        for name, (found, length) in table.items()
    ]
    text = encode(write(*records)).decode("utf-8")
    assert read_raven_table(text, "x") == {name: found for name, (found, _) in table.items()}


@given(tables)
def test_rows_agree_with_a_reader_that_knows_only_tabs(table: dict[str, tuple[list[Event], int]]) -> None:
    records = [
        Record(path=name, duration=length / 1e6, sample_rate=16000, events=tuple(found))
        for name, (found, length) in table.items()
    ]
    rows = [line.split("\t") for line in write(*records).split("\n")[1:-1]]
    started_us = [sum(length for _, length in list(table.values())[:index]) for index in range(len(table))]
    expected = [
        (start + round(event.onset * 1e6), start + round(event.offset * 1e6))
        for start, (found, _) in zip(started_us, table.values(), strict=True)
        for event in found
    ]
    assert [int(row[0]) for row in rows] == list(range(1, len(expected) + 1))
    assert [(int(row[3].replace(".", "")), int(row[4].replace(".", ""))) for row in rows] == expected


def test_selections_of_tables_that_were_joined_count_all() -> None:
    table = (
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tAnnotation\n"
        "1\tSpectrogram 1\t1\t2\ta.wav\tdog\n"
        "1\tWaveform 1\t1\t2\ta.wav\tdog\n"
        "1\tWaveform 1\t5\t6\tb.wav\tcat\n"
    )
    found = read_raven_table(table, "joined.txt")
    assert {name: [event.label for event in events] for name, events in found.items()} == {
        "a.wav": ["dog"],
        "b.wav": ["cat"],
    }


def test_a_selection_that_has_a_row_for_each_view_counts_once() -> None:
    text = (
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation\r\n"
        "1\tWaveform 1\t0.5\t1.5\towl\r\n"
        "1\tSpectrogram 1\t0.5\t1.5\towl\r\n"
        "2\tWaveform 1\t3.0\t4.0\towl\r\n"
        # of another table, which was joined
        "2\tSpectrogram 1\t5.0\t6.0\towl\r\n"
        "\r\n"
    )
    expected = [Event(onset=onset, offset=onset + 1, label="owl") for onset in (0.5, 3.0, 5.0)]
    assert read_raven_table(text, "x") == {"": expected}


def test_a_table_may_name_files_and_other_labels() -> None:
    text = "Begin File\tSpecies\tEnd Time (s)\tBegin Time (s)\nb.wav\towl\t4\t3\na.wav\trobin\t2\t1\nb.wav\towl\t6\t5\n"
    assert read_raven_table(text, "x", label_column="Species") == {
        "b.wav": [Event(onset=3.0, offset=4.0, label="owl"), Event(onset=5.0, offset=6.0, label="owl")],
        "a.wav": [Event(onset=1.0, offset=2.0, label="robin")],
    }


def test_the_path_goes_before_the_file_name() -> None:
    text = "Begin File\tBegin Path\tBegin Time (s)\tEnd Time (s)\tAnnotation\nb.wav\t/rec/b.wav\t1\t2\towl\n"
    assert list(read_raven_table(text, "x")) == ["/rec/b.wav"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x\.txt line 1 lacks the columns \['Begin Time \(s\)', 'End Time \(s\)', 'Annotation'\], found \[''\]"),
        ("Begin Time (s)\tEnd Time (s)\tSpecies\n", r"x\.txt line 1 lacks the columns \['Annotation'\]"),
    ],
)
def test_a_table_without_its_columns_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read_raven_table(text, "x.txt")
    assert caught.value.hint == "the first line of a selection table names its columns, separated by tabs"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\t2\ta.wav\t0", r"x\.txt line 3 has 4 fields, expected 5 as in line 1"),
        ("1\t2\t\t0\towl", r"x\.txt line 3 has no Begin Path"),
        ("1\t2\ta.wav\t0\t", r"x\.txt line 3 has no label"),
        ("one\t2\ta.wav\t0\towl", r"x\.txt line 3 has onset 'one' and offset '2', expected two numbers"),
        ("1\t2\ta.wav\t\towl", r"x\.txt line 3 has onset '' and offset '2', expected two numbers"),
        ("2\t1\ta.wav\t5\towl", r"x\.txt line 3: event 'owl' has onset 5\.0 and offset 4\.0, expected 0 <= onset"),
        ("1\tnan\ta.wav\t5\towl", r"x\.txt line 3: event 'owl' has onset 5\.0 and offset nan"),
        ("1\tinf\ta.wav\t5\towl", r"x\.txt line 3: event 'owl' has onset 5\.0 and offset inf"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(line: str, message: str) -> None:
    header = "Begin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tAnnotation"
    with pytest.raises(ManifestError, match=message):
        read_raven_table(f"{header}\n0\t1\ta.wav\t0\towl\n{line}\n", "x.txt")
