"""Label tracks of Audacity: exact text, round trips, tracks of other programs, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats import AudacityWriter, encode, read_audacity_labels
from compactcli.records import Record

BARK = Event(onset=0.4000004, offset=1.2, label="dog", score=0.98765)
SIREN = Event(onset=360_000.0, offset=360_012.3456789, label="car horn", score=0.5)


def write(*events: Event, **settings: object) -> str:
    writer = AudacityWriter()
    return writer.begin() + writer.record(Record(path="street.wav", events=events, **settings)) + writer.end()


def test_a_track_has_a_region_for_each_event() -> None:
    assert write(BARK, SIREN) == "0.400000\t1.200000\tdog\n360000.000000\t360012.345679\tcar horn\n"


def test_silence_and_failure_give_an_empty_track() -> None:
    assert write() == ""
    writer = AudacityWriter()
    assert writer.record(Record(path="a", status="error", error_code="not-audio", error_message="it is text")) == ""


def test_an_event_shorter_than_a_microsecond_is_left_out() -> None:
    assert write(Event(onset=1.0, offset=1.0000001, label="dog"), SIREN) == write(SIREN)
    assert write(Event(onset=0.0, offset=0.000001, label="dog")) == "0.000000\t0.000001\tdog\n"


def test_separators_in_labels_become_pictures() -> None:
    event = Event(onset=0, offset=1, label='a\tb\nc\rd\\e "f"')
    assert write(event) == '0.000000\t1.000000\ta\u2409b\u240ac\u240dd\\e "f"\n'
    assert read_audacity_labels(write(event), "x") == [Event(onset=0.0, offset=1.0, label=event.label)]


microseconds = st.integers(0, 10**12)
labels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2409\u240a\u240d"), min_size=1)
events = st.builds(
    lambda onset, length, label: Event(onset=onset / 1e6, offset=(onset + length) / 1e6, label=label),
    microseconds,
    st.integers(1, 10**8),
    labels,
)


@given(st.lists(events, max_size=4))
def test_a_track_survives_a_round_trip(written: list[Event]) -> None:
    text = encode(write(*written)).decode("utf-8")
    assert read_audacity_labels(text, "labels.txt") == written


def test_a_track_may_have_frequencies_further_fields_and_windows_line_ends() -> None:
    text = "\ufeff0.5\t1\tdog\r\n\\\t200.0\t8000.0\r\n\r\n2\t3\towl\t0.9\r\n"
    assert read_audacity_labels(text, "labels.txt") == [
        Event(onset=0.5, offset=1.0, label="dog"),
        Event(onset=2.0, offset=3.0, label="owl"),
    ]


def test_an_empty_track_has_no_events() -> None:
    assert read_audacity_labels("", "labels.txt") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\t2", r"labels\.txt line 2 has 2 fields, expected onset, offset and label between tabs"),
        ("1 2 dog", r"labels\.txt line 2 has 1 fields"),
        ("1\t2\t", r"labels\.txt line 2 has no label"),
        ("1,5\t2\tdog", r"labels\.txt line 2 has onset '1,5' and offset '2', expected two numbers"),
        ("1\tx\tdog", r"labels\.txt line 2 has onset '1' and offset 'x', expected two numbers"),
        ("2\t2\tdog", r"labels\.txt line 2: event 'dog' has onset 2\.0 and offset 2\.0, expected 0 <= onset < offset"),
        ("-1\t2\tdog", r"labels\.txt line 2: event 'dog' has onset -1\.0"),
        ("1\tinf\tdog", r"labels\.txt line 2: event 'dog' has onset 1\.0 and offset inf"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(line: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_audacity_labels(f"0\t1\tdog\n{line}\n", "labels.txt")
