"""RTTM: exact text, and names that must stay one word."""

import os
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from compactcli.events import Event
from compactcli.formats import RttmWriter, encode
from compactcli.records import Record

BARK = Event(onset=0.40049, offset=1.2, label="dog", score=0.98765)
SIREN = Event(onset=2.0, offset=12.3456, label="car horn", score=0.5)


def write(*records: Record) -> str:
    writer = RttmWriter()
    return writer.begin() + "".join(writer.record(record) for record in records) + writer.end()


def test_a_line_has_the_ten_fields_of_rttm() -> None:
    failed = Record(path="broken.wav", status="error", error_code="not-audio", error_message="it is text")
    silent = Record(path="quiet.wav", events=())
    later = Record(path="rec/b.wav", events=(BARK,))
    assert write(Record(path="a.wav", events=(BARK, SIREN)), silent, failed, later) == (
        "SPEAKER a.wav 1 0.400 0.800 <NA> <NA> dog <NA> <NA>\n"
        "SPEAKER a.wav 1 2.000 10.346 <NA> <NA> car%20horn <NA> <NA>\n"
        "SPEAKER rec/b.wav 1 0.400 0.800 <NA> <NA> dog <NA> <NA>\n"
    )


def test_a_name_with_an_escape_of_its_own_comes_back() -> None:
    (line,) = write(Record(path="100%25 of\u2028it.wav", events=(BARK,))).splitlines()
    assert line.split()[1] == "100%2525%20of%E2%80%A8it.wav"


@given(
    st.text(min_size=1),
    st.text(min_size=1),
    st.integers(0, 10**9),
    st.integers(1, 10**6),
)
def test_names_stay_one_word_and_times_add_up(name: str, label: str, onset: int, length: int) -> None:
    event = Event(onset=onset / 1000, offset=(onset + length) / 1000, label=label)
    (line,) = write(Record(path=name, events=(event,))).splitlines()
    fields = line.split()
    assert len(fields) == 10
    assert (unquote(fields[1]), unquote(fields[7])) == (name, label)
    assert [round(1000 * float(field)) for field in fields[3:5]] == [onset, length]


def test_stray_bytes_of_a_name_are_kept() -> None:
    record = Record(path=os.fsdecode(b"caf\xe9 1.wav"), events=(BARK,))
    assert encode(write(record)).startswith(b"SPEAKER caf\xe9%201.wav 1 0.400")
