import io
import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import image, rc_context, rcParams

from compactcli.events import Event
from compactcli.formats.drawing import (
    DOTS_PER_INCH,
    FEWEST_ROWS,
    MOST_TICKS,
    choose_rows,
    clock_time,
    draw_picture,
    tick_step_s,
)
from compactcli.pictures import Picture
from compactcli.records import Record, Stretch

CLASSES = tuple(f"class_{index}" for index in range(30))


def make_picture(events=(), *, path="a.wav", peaks=None, duration_s=10.0, **record):
    probabilities = np.zeros((250, len(CLASSES)), np.float32)
    probabilities[100] = np.linspace(0.1, 0.4, len(CLASSES)) if peaks is None else peaks
    return Picture(
        record=Record(
            path=path,
            duration=duration_s,
            model="compactnet",
            scenes=(("forest", 0.81), ("rain", 0.12)),
            events=tuple(events),
            **record,
        ),
        levels_db=np.linspace(-90, -20, 500 * 64, dtype=np.float32).reshape(500, 64),
        level_column_s=duration_s / 500,
        centres_hz=np.linspace(60, 7500, 64),
        probabilities=probabilities,
        score_column_s=duration_s / 250,
        classes=CLASSES,
    )


def texts(picture):
    return draw_picture(picture, "svg").decode()


def places(picture):
    """Where each text of a picture stands, in points from the left and from above."""
    root = ElementTree.fromstring(draw_picture(picture, "svg"))
    return {
        item.text: (float(item.get("x", "nan")), float(item.get("y", "nan")))
        for item in root.iter()
        if is_a(item, "text")
    }


def bars(picture):
    """Left, right, upper and lower edge of each event's bar, in points."""
    root = ElementTree.fromstring(draw_picture(picture, "svg"))
    paths = [item.get("d") for item in root.iter() if is_a(item, "path") and "#d55e00" in item.get("style", "")]
    corners = [np.array(re.findall(r"[ML] (\S+) (\S+)", path), dtype=float) for path in paths]
    return [(*item[:, 0][[0, -1]], *item[:, 1][[0, 1]]) for item in corners]


def is_a(item, kind):
    return item.tag == f"{{http://www.w3.org/2000/svg}}{kind}"


def colour_at(picture, time, row):
    """Red, green and blue where the tick of a time meets that of a row."""
    found, pixels = places(picture), image.imread(io.BytesIO(draw_picture(picture, "png")))
    scale = DOTS_PER_INCH / 72
    # a tick is half a small letter above the line that its label stands on
    return pixels[round((found[row][1] - 4) * scale), round(found[time][0] * scale), :3]


def test_levels_stand_at_their_time_and_frequency():
    levels_db = np.full((500, 64), -120, np.float32)
    levels_db[:445, 32:] = -20
    picture = replace(make_picture(), levels_db=levels_db)
    assert colour_at(picture, "8", "5,000").min() > 0.7
    for time, row in (("9", "5,000"), ("8", "1,000"), ("9", "1,000")):
        assert colour_at(picture, time, row).max() < 0.1


def test_scores_stand_at_their_time_and_class():
    probabilities = np.zeros((250, len(CLASSES)), np.float32)
    probabilities[:222, 29] = 1
    probabilities[222:, 3] = 1
    picture = replace(make_picture(), probabilities=probabilities)
    for time, row in (("8", "class_29"), ("9", "class_3")):
        assert colour_at(picture, time, row)[0] < 0.1
    for time, row in (("9", "class_29"), ("8", "class_3"), ("8", "class_0")):
        assert colour_at(picture, time, row).min() > 0.9


def test_scenes_of_stretches_stand_at_their_time_between():
    stretches = (
        Stretch(start=0, stop=8.5, scenes=(("beach", 1.0),)),
        Stretch(start=8.5, stop=10, scenes=(("street_traffic", 1.0), ("beach\x04", 0.0))),
    )
    picture = make_picture()
    picture = replace(picture, record=replace(picture.record, stretches=stretches))
    for time, row in (("8", "beach"), ("9", "street_traffic")):
        assert colour_at(picture, time, row)[0] < 0.1
    for time, row in (("9", "beach"), ("8", "street_traffic")):
        assert colour_at(picture, time, row).min() > 0.9
    found = places(picture)
    assert found["1,000"][1] < found["beach"][1] < found["street_traffic"][1] < found["class_29"][1]
    assert {"scenes", "events"} <= set(found)
    assert not {"scenes", "events"} & set(places(make_picture()))


def test_bars_stand_at_their_time_below_their_class():
    events = [
        Event(onset=4, offset=8, label="class_3", score=0.9),
        Event(onset=1, offset=2, label="class_5", score=0.9),
    ]
    picture = make_picture(events)
    found = places(picture)
    # class_5 is surer, so it comes first
    for (left, right, top, bottom), label, times in zip(
        bars(picture), ("class_5", "class_3"), (("1", "2"), ("4", "8")), strict=True
    ):
        assert (left, right) == pytest.approx([found[time][0] for time in times], abs=0.01)
        row_points = found["class_3"][1] - found["class_5"][1]
        assert 0.2 * row_points < top + 4 - found[label][1] < bottom + 4 - found[label][1] < 0.55 * row_points


def test_without_events_the_likeliest_classes_are_shown():
    assert choose_rows(make_picture()) == list(range(len(CLASSES) - 1, len(CLASSES) - 1 - FEWEST_ROWS, -1))


def test_classes_with_events_come_first_surest_on_top():
    events = [Event(onset=1, offset=2, label=f"class_{index}", score=0.6) for index in (3, 5)]
    assert choose_rows(make_picture(events))[:3] == [5, 3, 29]


@pytest.mark.parametrize("n_classes", [9, len(CLASSES)])
def test_every_class_with_events_is_shown(n_classes):
    events = [Event(onset=0, offset=1, label=name, score=0.6) for name in CLASSES[:n_classes]]
    assert sorted(choose_rows(make_picture(events))) == list(range(n_classes))


@pytest.mark.parametrize(
    ("duration_s", "step_s"), [(0.001, 1e-4), (1, 0.1), (10, 1), (125, 15), (3600, 300), (86400, 7200), (1e7, 86400)]
)
def test_ticks_stand_where_people_count(duration_s, step_s):
    assert tick_step_s(duration_s) == step_s


@pytest.mark.parametrize("duration_s", np.geomspace(0.001, 1e6, 40))
def test_there_are_few_ticks_but_some(duration_s):
    assert 2 <= duration_s / tick_step_s(duration_s) <= MOST_TICKS


def test_labels_of_ticks():
    assert [clock_time(0.3, 0.1), clock_time(7, 1), clock_time(45, 15)] == ["0.3", "7", "0:00:45"]
    assert [clock_time(3599, 15), clock_time(90000, 7200)] == ["0:59:59", "25:00:00"]


def test_a_picture_says_what_it_shows():
    event = Event(onset=1, offset=2, label="class_7", score=0.9)
    text = texts(make_picture([event]))
    for part in ("a.wav", "forest 0.81, rain 0.12 · 1 event · compactnet", "class_7", "frequency in Hz", "1,000"):
        assert f">{part}<" in text
    assert "time in seconds" in text
    assert "· no events ·" in texts(make_picture())
    assert "· 2 events ·" in texts(make_picture([event, replace(event, onset=3, offset=4)]))


def test_long_recordings_have_a_clock():
    text = texts(make_picture(duration_s=7200.0))
    assert "time in h:mm:ss" in text
    assert ">1:30:00<" in text


def test_a_damaged_recording_says_so():
    picture = make_picture(status="partial", error_code="damaged", error_message="ends early")
    assert "damaged · forest" in texts(picture)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("$x_1$ ^{2}.wav", "$x_1$ ^{2}.wav"),
        (r"night$1_$2\$.wav", r"night$1_$2\$.wav"),
        ("a\nb\x01\x1f.wav", "a␊b␁␟.wav"),
        ("caf\udce9\ufffe\uffff\x7f\x85.wav", "caf\ufffd\ufffd\ufffd\ufffd\ufffd.wav"),
        ("<b>&.wav", "<b>&.wav"),
    ],
)
def test_names_are_shown_as_they_are(path, shown):
    assert shown in places(make_picture(path=path))


def test_odd_names_of_classes_and_models_are_shown():
    picture = make_picture()
    record = replace(picture.record, model="a\x02", scenes=(("b\x03", 0.5),))
    found = places(replace(picture, record=record, classes=(*CLASSES[:-1], "c\x04\ud800")))
    assert {"b␃ 0.50 · no events · a␂", "c␄\ufffd"} <= set(found)


@pytest.mark.parametrize("letter", ["i", "W", "録"])
def test_long_names_end_where_the_picture_does(letter):
    (shown,) = re.findall(rf">(…{letter}+\.wav)<", texts(make_picture(path=300 * letter + ".wav")))
    with_short_name, with_long_name = (
        image.imread(io.BytesIO(draw_picture(make_picture(path=path), "png"))) for path in ("a.wav", shown)
    )
    # what stands below the caption is where it was
    assert (with_short_name[60:] == with_long_name[60:]).all()
    assert (with_long_name[:20, -100:] == 1).all()


def test_scenes_that_there_is_no_room_for_are_left_out():
    picture = make_picture()
    scenes = tuple((f"scene_{index}", 0.01) for index in range(40))
    text = texts(replace(picture, record=replace(picture.record, scenes=scenes)))
    assert re.search(r">scene_0 0.01, scene_1 0.01, .*, … · no events · compactnet<", text)
    assert "scene_39" not in text


def test_settings_that_lie_about_change_nothing():
    usual = draw_picture(make_picture(), "png")
    with rc_context({"font.size": 30, "axes.facecolor": "black", "text.usetex": True, "savefig.bbox": "tight"}):
        assert draw_picture(make_picture(), "png") == usual
        assert rcParams["font.size"] == 30


def test_letters_that_the_font_lacks_are_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_picture(make_picture(path="録音.wav"), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(("form", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_equal_pictures_are_equal_bytes(form, magic):
    first, second = (draw_picture(make_picture(), form) for _ in range(2))
    assert first == second
    assert first.startswith(magic)


def count_event_pixels(picture):
    pixels = image.imread(io.BytesIO(draw_picture(picture, "png")))
    scores = pixels[int(0.62 * len(pixels)) :]  # below the spectrogram all else is white, blue or black
    return (scores[..., 0] - scores[..., 2] > 0.25).sum()


def test_events_are_underlined():
    def event(duration_s):
        return Event(onset=1, offset=1 + duration_s, label="class_29", score=0.9)

    none, short, long = (count_event_pixels(make_picture(events)) for events in ([], [event(1.0)], [event(6.0)]))
    assert none == 0
    assert short > 50
    # five more seconds, at about a hundred pixels a second and six pixels high
    assert 2000 < long - short < 4000


def test_the_shortest_event_of_a_day_is_seen():
    event = Event(onset=40000, offset=40000.1, label="class_29", score=0.9)
    assert count_event_pixels(make_picture([event], duration_s=86400.0)) >= 5
