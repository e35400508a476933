import json
import os
import unicodedata
from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest

from compactcli.cli.inputs import Input
from compactcli.cli.references import describe_unknown, known_events, match_recordings, read_event_table
from compactcli.errors import ConfigError, ManifestError
from compactcli.events import Event

HEAD = "filename\tonset\toffset\tevent_label\n"


def inputs(*paths, root=None):
    return [Input(path=Path(path), root=None if root is None else Path(root)) for path in paths]


def model(*classes):
    return SimpleNamespace(name="fake", events=classes)


def matched(found, *names):
    return {name: str(item.path) for name, item in match_recordings(found, names, source="truth.tsv").items()}


def test_a_table_is_read_with_names_as_they_are_on_disk(tmp_path):
    path = tmp_path / "truth.tsv"
    path.write_bytes(HEAD.encode() + 2 * b"caf\xe9.wav\t0.5\t1\tdog\n" + b"b.wav\t\t\t\n")
    event = Event(onset=0.5, offset=1.0, label="dog")
    assert read_event_table(path, option="--reference") == {"caf\udce9.wav": [event], "b.wav": []}


def test_label_tracks_are_called_as_their_recordings(tmp_path):
    track = "0.500000\t1.000000\tdog\n\\\t200.0\t8000.0\n"
    event = Event(onset=0.5, offset=1.0, label="dog")
    labels = tmp_path / "labels"
    (labels / "north").mkdir(parents=True)
    (labels / "north/a.wav.txt").write_text(track)
    (labels / "b.wav.txt").write_text("")
    assert read_event_table(labels) == {"b.wav": [], "north/a.wav": [event]}
    assert read_event_table(labels / "north/a.wav.txt") == {"a.wav": [event]}
    # beside its recording a track is about that
    (labels / "north/a.wav").touch()
    assert read_event_table(labels) == {"b.wav": [], str(labels / "north/a.wav"): [event]}
    (labels / "notes.txt").write_text("remember the milk\n")
    with pytest.raises(ManifestError, match=r"notes.txt begins with \['remember the milk'\], expected"):
        read_event_table(labels)
    (labels / "notes.txt").write_text("0.5\t1.0\tdog\n0.5\tx\tdog\n")
    with pytest.raises(ManifestError, match=r"notes.txt line 2 has onset '0.5' and offset 'x', expected two numbers"):
        read_event_table(labels)


def test_tables_of_one_recording_in_a_folder_are_joined(tmp_path):
    head = "Begin File\tBegin Time (s)\tEnd Time (s)\tAnnotation\n"
    (tmp_path / "1.selections.txt").write_text(head + "a.wav\t0.5\t1.0\towl\n")
    (tmp_path / "2.selections.txt").write_text(head + "a.wav\t2.0\t3.0\tfox\na.wav\t0.5\t1.0\towl\n")
    (tmp_path / "a.wav.txt").write_text("4.0\t5.0\tdog\n")
    [(name, events)] = read_event_table(tmp_path).items()
    assert (name, [event.label for event in events]) == ("a.wav", ["owl", "fox", "dog"])


def test_labels_go_before_results_and_the_newest_of_them_counts(tmp_path):
    record = {"path": "a.wav", "schema": 1, "events": [{"onset": 0.5, "offset": 1, "label": "fox", "score": 0.5}]}
    tables = {
        ".tsv": ("filename\tonset\toffset\tevent_label\na.wav\t0.5\t1\tcat\n", "cat"),
        ".CSV": ("path,onset,offset,label\na.wav,0.5,1,cow\n", "cow"),
        ".json": (json.dumps([record]), "fox"),
        ".jsonl": (json.dumps(record | {"events": []}), None),
        ".txt": ("0.5\t1.0\tdog\n", "dog"),
        ".selections.txt": ("Begin File\tBegin Time (s)\tEnd Time (s)\tAnnotation\na.wav\t0.5\t1.0\towl\n", "owl"),
    }
    (tmp_path / "a.wav").touch()
    for hidden in ("._a.wav.txt", ".cache/a.wav.txt"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"\0\xff")

    def labels():
        [(name, found)] = read_event_table(tmp_path).items()
        assert PurePath(name).name == "a.wav"
        return [event.label for event in found]

    for suffix, (text, label) in tables.items():
        path = tmp_path / f"a.wav{suffix}"
        path.write_text(text)
        os.utime(path, (1000, 1000))
        assert labels() == ([] if label is None else [label])
    # what somebody has corrected is newer
    os.utime(tmp_path / "a.wav.jsonl", (3000, 3000))
    os.utime(tmp_path / "a.wav.txt", (2000, 2000))
    assert labels() == ["dog"]


def test_tables_of_several_recordings_in_a_folder(tmp_path):
    for name in ("night1", "night2"):
        (tmp_path / f"{name}.csv").write_text(f"path,onset,offset,label\n{name}.wav,0.5,1,cow\n")
    assert list(read_event_table(tmp_path)) == ["night1.wav", "night2.wav"]


def test_a_name_without_its_suffix_is_told_what_it_may_have_meant(tmp_path):
    found = [Input(path=tmp_path / "a.flac")]
    with pytest.raises(ConfigError, match=r"truth.tsv names 'a', found .*a.flac, expected its whole name") as caught:
        matched(found, "a")
    assert "a label track is called as its recording with .txt behind it" in caught.value.hint


def test_a_folder_without_label_tracks(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(ConfigError, match=r"--reference .* names no recordings, expected label tracks"):
        read_event_table(tmp_path, option="--reference")


def test_a_table_that_cannot_be_used(tmp_path):
    path = tmp_path / "truth.tsv"
    with pytest.raises(ConfigError, match=r"truth.tsv cannot be read \(No such file or directory\), expected a table"):
        read_event_table(path, option="--reference")
    path.write_text(HEAD)
    with pytest.raises(ConfigError, match="truth.tsv names no recordings, expected the events of some"):
        read_event_table(path, option="--reference")
    path.write_text("file\tonset\n")
    with pytest.raises(ManifestError, match="truth.tsv line 1 lacks the columns"):
        read_event_table(path, option="--reference")


def test_whole_paths_go_before_paths_in_the_folder_before_ends_of_paths():
    found = inputs("in/a.wav", "in/b/a.wav", "in/b/c.wav", "in/d.wav", root="in") + inputs("./e.wav")
    assert matched(found, "in/a.wav", "b/a.wav", "c.wav", "d.wav", "./e.wav") == {
        "in/a.wav": "in/a.wav",
        "b/a.wav": "in/b/a.wav",
        "c.wav": "in/b/c.wav",
        "d.wav": "in/d.wav",
        "./e.wav": "e.wav",
    }
    # below the folder goes before the same base name elsewhere
    assert matched(inputs("in/a.wav", "in/b/a.wav", root="in"), "a.wav") == {"a.wav": "in/a.wav"}
    # what a whole path has taken is no longer there for a base name
    assert matched(inputs("x/a.wav", "y/a.wav"), "x/a.wav", "a.wav") == {"x/a.wav": "x/a.wav", "a.wav": "y/a.wav"}


def test_ends_of_paths_reach_above_the_folder_that_was_named():
    found = inputs("x/in/a.wav", "x/in/b.wav", "y/in/a.wav", root="x/in")
    names = ("y/in/a.wav", f"{Path.cwd().name}/x/in/b.wav", str(Path.cwd() / "x/in/a.wav"))
    assert matched(found, *names) == dict(zip(names, ("y/in/a.wav", "x/in/b.wav", "x/in/a.wav"), strict=True))
    # the longer end first: what it takes is no longer there for the shorter one
    assert matched(inputs("p/x/a.wav", "q/y/a.wav"), "a.wav", "x/a.wav") == {
        "a.wav": "q/y/a.wav",
        "x/a.wav": "p/x/a.wav",
    }


@pytest.mark.parametrize("name", ["siteB/a.wav", "siteB/siteA/a.wav", "/siteA/a.wav"])
def test_a_recording_of_another_folder_is_not_the_one(name):
    with pytest.raises(ConfigError, match=f"names '{name}', found siteA/a.wav in another folder, expected every"):
        matched(inputs("siteA/a.wav", "siteA/b.wav", root="siteA"), name, "b.wav")


def test_recordings_without_a_name_are_left():
    assert matched(inputs("a.wav", "b.wav"), "b.wav") == {"b.wav": "b.wav"}


def test_a_folder_above_has_its_recordings_found_by_their_ends(tmp_path, monkeypatch):
    (tmp_path / "in/scripts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in/scripts")
    found = inputs("../a.wav", "../b.wav", root="..")
    assert matched(found, "in/a.wav", f"{tmp_path}/in/b.wav") == {
        "in/a.wav": "../a.wav",
        f"{tmp_path}/in/b.wav": "../b.wav",
    }


def test_an_accent_may_be_a_character_of_its_own():
    composed, decomposed = (unicodedata.normalize(form, "M\u00f6we.wav") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert matched(inputs(f"in/{decomposed}"), composed) == {composed: f"in/{decomposed}"}
    # where both are there, each is the one it says
    both = matched(inputs(f"in/{decomposed}", f"in/{composed}"), composed, decomposed)
    assert both == {composed: f"in/{composed}", decomposed: f"in/{decomposed}"}


def test_a_name_that_may_be_two_recordings():
    found = inputs("x/a.wav", root="x") + inputs("y/a.wav", root="y")
    with pytest.raises(ConfigError, match=r"truth.tsv names 'a.wav', which may be x/a.wav or y/a.wav, expected one"):
        matched(found, "a.wav")


def test_two_names_that_may_be_one_recording():
    with pytest.raises(ConfigError, match=r"names 'x/a.wav' and 'x//a.wav', of which one may be x/a.wav, expected"):
        matched(inputs("x/a.wav", "b.wav"), "x/a.wav", "b.wav", "x//a.wav")


def test_a_name_of_a_recording_that_has_one():
    expected = r"names 'b/a.wav' and 'c/b/a.wav', which may both be x/c/b/a.wav, expected one name for each recording"
    with pytest.raises(ConfigError, match=expected):
        matched(inputs("x/c/b/a.wav", "x/d.wav", root="x"), "c/b/a.wav", "b/a.wav")


def test_names_of_no_recording():
    with pytest.raises(ConfigError, match=r"truth.tsv names 'c.wav', found no such recording, expected every"):
        matched(inputs("a.wav"), "c.wav", "a.wav")
    with pytest.raises(ConfigError, match=r"truth.tsv names 'c.wav' and 2 more, found no such"):
        matched(inputs("a.wav"), "c.wav", "a.wav", "d.wav", "e.wav")


def test_labels_that_a_model_does_not_know_are_parted_from_the_others():
    dog, fox, owl = (Event(onset=0.0, offset=1.0, label=name) for name in ("dog", "fox", "owl"))
    table = {"a.wav": [owl, dog, fox], "b.wav": [fox], "c.wav": []}
    known = {"a.wav": [dog], "b.wav": [], "c.wav": []}
    assert known_events(table, model("cat", "dog"), source="truth.tsv") == (known, {"owl": 1, "fox": 2})
    many = dict.fromkeys("abcde", 2)
    assert describe_unknown(many, ["dog"]) == "'a' (2 times), 'b' (2 times), 'c' (2 times) and 2 more"
    shown = r"such as 'owl' \(once\), 'dog' \(once\), 'fox' \(2 times\)"
    with pytest.raises(ConfigError, match=f"truth.tsv holds only labels .* does not know, {shown}") as caught:
        known_events(table, model("cat"), source="truth.tsv")
    assert caught.value.hint == "list them with: compact models info fake"
    with pytest.raises(ConfigError, match="truth.tsv holds no labels, expected names of the model's events"):
        known_events({"c.wav": []}, model("cat"), source="truth.tsv")


@pytest.mark.parametrize("label", ["Dog", " dog ", "dgo"])
def test_a_label_that_is_misspelt_is_told_what_it_may_have_meant(label):
    assert describe_unknown({label: 2}, ["cat", "dog"]) == f"'{label}' (2 times, did you mean dog?)"


def test_a_recording_or_a_table_of_two_bytes_a_letter_is_no_reference(tmp_path):
    path = tmp_path / "truth.tsv"
    path.write_bytes("filename\tonset\toffset\tevent_label\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"--reference .*truth.tsv is not text in UTF-8, expected a table of events"):
        read_event_table(path, option="--reference")
