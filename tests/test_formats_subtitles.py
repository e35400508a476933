"""Subtitles: exact text, times, and labels that would break a cue."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.events import Event, sort_events
from compactcli.formats import SrtWriter, VttWriter, Writer
from compactcli.records import Record

BARK = Event(onset=0.40049, offset=1.2, label="dog", score=0.98765)
SIREN = Event(onset=2.0, offset=12.3456, label="siren", score=0.5)


def write(writer: Writer, *events: Event) -> str:
    return writer.begin() + writer.record(Record(path="a.wav", events=events)) + writer.end()


def test_vtt_has_a_cue_for_each_event() -> None:
    assert write(VttWriter(), BARK, SIREN) == (
        "WEBVTT\n\n00:00:00.400 --> 00:00:01.200\ndog\n\n00:00:02.000 --> 00:00:12.346\nsiren\n"
    )


def test_srt_numbers_its_cues() -> None:
    assert write(SrtWriter(), BARK, SIREN) == (
        "1\n00:00:00,400 --> 00:00:01,200\ndog\n\n2\n00:00:02,000 --> 00:00:12,346\nsiren\n\n"
    )


def test_silence_and_failure_have_no_cues() -> None:
    failed = Record(path="a.wav", status="error", error_code="not-audio", error_message="it is text")
    assert write(VttWriter()) == "WEBVTT\n"
    assert write(SrtWriter()) == ""
    assert VttWriter().record(failed) == SrtWriter().record(failed) == ""


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0004, "00:00:00.000"),
        (59.9996, "00:01:00.000"),
        (3599.999, "00:59:59.999"),
        (86_399.9999, "24:00:00.000"),
        (359_999.999, "99:59:59.999"),
        (360_000.0, "100:00:00.000"),
        (4_000_000.5, "1111:06:40.500"),
    ],
)
def test_times_are_exact_to_the_millisecond_after_any_number_of_hours(time_s: float, text: str) -> None:
    event = Event(onset=time_s, offset=time_s + 10, label="dog")
    assert f"\n{text} --> " in write(VttWriter(), event)
    assert f"\n{text.replace('.', ',')} --> " in write(SrtWriter(), event)


def test_labels_cannot_break_a_vtt_cue() -> None:
    event = Event(onset=0, offset=1, label="a --> b\n\nNOTE <i>&amp;\r\nc")
    lines = write(VttWriter(), event).split("\n")
    assert lines[3:] == ["a --&gt; b NOTE &lt;i&gt;&amp;amp; c", ""]


def test_labels_cannot_break_an_srt_cue() -> None:
    event = Event(onset=0, offset=1, label="a --> b ----> c\n\n2\r\n-> d")
    assert write(SrtWriter(), event).split("\n")[2:] == ["a -> b -> c 2 -> d", "", ""]


def test_an_event_shorter_than_a_millisecond_has_no_cue() -> None:
    found = [Event(onset=1.0, offset=2.0, label="dog"), Event(onset=1.0001, offset=1.0003, label="click")]
    text = write(VttWriter(), *found)
    assert re.findall(r"^([\d:.]+) -->", text, flags=re.MULTILINE) == ["00:00:01.000"]
    assert "click" not in text


times = st.integers(0, 10**9)
events = st.builds(
    lambda onset, length, label: Event(onset=onset / 1e5, offset=(onset + length) / 1e5, label=label),
    times,
    st.integers(1, 10**6),
    st.text(min_size=1),
)


@pytest.mark.parametrize(("make", "point"), [(VttWriter, "."), (SrtWriter, ",")])
@given(found=st.lists(events, max_size=5))
def test_cues_have_a_length_and_come_in_order(make: type[Writer], point: str, found: list[Event]) -> None:
    clock = rf"(\d\d+):([0-5]\d):([0-5]\d)\{point}(\d\d\d)"
    text = write(make(), *sort_events(found))
    cues = [[int(part) for part in match] for match in re.findall(rf"^{clock} --> {clock}$", text, flags=re.MULTILINE)]
    lasting = [event for event in found if round(event.onset, 3) < round(event.offset, 3)]
    assert text.count("-->") == len(cues) == len(lasting)
    milliseconds = [
        [((hours * 60 + minutes) * 60 + seconds) * 1000 + rest for hours, minutes, seconds, rest in (cue[:4], cue[4:])]
        for cue in cues
    ]
    assert all(onset < offset for onset, offset in milliseconds)
    assert milliseconds == sorted(milliseconds, key=lambda cue: cue[0])
    expected = sorted(event.offset for event in lasting)
    assert [offset for _, offset in sorted(milliseconds, key=lambda cue: cue[1])] == pytest.approx(
        [1000 * offset for offset in expected], abs=0.501
    )
