import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import freesound_id, write_table

from compactcli.datasets import (
    DROPPED,
    TEST,
    TRAIN,
    VALIDATION,
    doubts,
    music_track,
    read_corpus,
    read_table,
    share_of,
)
from compactcli.errors import ManifestError
from compactcli.recipe import SceneConfig, SplitConfig

FOLDERS = ("esc50", "urbansound8k", "ambience", "speech", "music", "effects")


def by_path(recordings):
    return {item.path: item for item in recordings}


def write_corpus(folder, clips):
    """``clips`` of ESC-50 and UrbanSound8K as (folder, fold, Freesound id), and one row in every other table."""
    rows = {"esc50": [], "urbansound8k": []}
    for number, (name, fold, identity) in enumerate(clips):
        file = f"{fold}-{number}.ogg"
        both = {"file": file, "fold": fold, "category": "dog", "class": "siren"}
        rows[name].append({**both, "src_file": identity, "freesound_id": identity})
    for name, filler in (("esc50", 901), ("urbansound8k", 902)):
        both = {"file": "0.ogg", "fold": 1, "category": "dog", "class": "siren"}
        rows[name].append({**both, "src_file": filler, "freesound_id": filler})
    write_table(folder / "esc50/esc50.csv", rows["esc50"])
    write_table(folder / "urbansound8k/urbansound8k.csv", rows["urbansound8k"])
    write_table(folder / "ambience/ambience.csv", [{"file": "a.ogg", "label": "a"}])
    write_table(folder / "speech/speech.csv", [{"file": "s.ogg", "language": "en", "speaker_or_package": "s"}])
    write_table(folder / "music/music.csv", [{"file": "m_0.ogg"}])
    write_table(folder / "effects/effects.csv", [{"file": "e.ogg", "label": "e"}])


def test_labels_become_classes(tiny_corpus, tiny_recipe):
    found = by_path(read_corpus(tiny_corpus, tiny_recipe))
    labelled = {
        (item.folder, item.label): (item.event, item.scene) for path, item in found.items() if item.split != DROPPED
    }
    assert labelled == {
        ("esc50", "dog"): ("dog", None),
        ("esc50", "rain"): ("rain", "rain"),
        ("esc50", "siren"): ("siren", None),
        ("urbansound8k", "dog_bark"): ("dog", None),  # by the table
        ("urbansound8k", "siren"): ("siren", "street"),  # by its own name
        ("ambience", "downpour"): (None, "rain"),
        ("ambience", "avenue"): (None, "street"),
        ("ambience", "street"): (None, "street"),
        ("speech", "speech"): ("speech", "talk"),
        ("music", "music"): ("music", None),
        ("effects", "woof"): ("dog", None),
        ("effects", "thud"): (None, None),
    }
    assert found["ambience/audio/street.ogg"].key == "ambience/street"


def test_recordings_come_in_the_order_of_the_tables(tiny_corpus, tiny_recipe):
    recordings = read_corpus(tiny_corpus, tiny_recipe)
    assert list(dict.fromkeys(item.folder for item in recordings)) == list(FOLDERS)
    names = [row["file"] for row in read_table(tiny_corpus / "esc50/esc50.csv", ("file",))]
    assert [item.file for item in recordings if item.folder == "esc50"] == names


def test_what_is_held_out(tiny_corpus, tiny_recipe):
    recordings = read_corpus(tiny_corpus, tiny_recipe)
    sides = {path: item.split for path, item in by_path(recordings).items()}
    assert {sides[path] for path in sides if path.startswith("esc50/audio/5-")} == {TEST}
    assert {sides[path] for path in sides if path.startswith("esc50/audio/3-")} == {VALIDATION}
    assert {sides[path] for path in sides if path.startswith(("esc50/audio/1-", "esc50/audio/2-"))} == {TRAIN}
    assert {sides[path] for path in sides if path.startswith("urbansound8k/audio/fold3")} == {TEST}
    assert sides["ambience/audio/street.ogg"] == TEST
    assert sides["ambience/audio/avenue.ogg"] == TRAIN
    assert sides["speech/audio/test_c.ogg"] == TEST
    assert sides["speech/audio/b.ogg"] == VALIDATION


def test_files_that_the_recipe_drops_are_on_no_side(tiny_corpus, tiny_recipe):
    split = dataclasses.replace(tiny_recipe.split, dropped={"ambience": ("street.ogg",)})
    recordings = read_corpus(tiny_corpus, dataclasses.replace(tiny_recipe, split=split))
    sides = {path: item.split for path, item in by_path(recordings).items()}
    assert sides["ambience/audio/street.ogg"] == DROPPED
    assert sides["ambience/audio/avenue.ogg"] == TRAIN


def test_folders_that_are_not_used_are_on_no_side(tiny_corpus, tiny_recipe):
    split = dataclasses.replace(tiny_recipe.split, folders=("esc50", "music"))
    recordings = read_corpus(tiny_corpus, dataclasses.replace(tiny_recipe, split=split))
    assert {item.folder for item in recordings if item.split != DROPPED} == {"esc50", "music"}
    # what is used stays where it was
    sides = {path: item.split for path, item in by_path(read_corpus(tiny_corpus, tiny_recipe)).items()}
    assert all(item.split == sides[item.path] for item in recordings if item.folder in ("esc50", "music"))


def test_a_recording_that_tests_another_folder_is_dropped(tiny_corpus, tiny_recipe):
    recordings = read_corpus(tiny_corpus, tiny_recipe)
    [dropped] = [item for item in recordings if item.split == DROPPED]
    assert dropped.folder == "urbansound8k"
    assert dropped.source in {item.source for item in recordings if item.folder == "esc50" and item.split == TEST}


def test_a_folder_without_validation_does_not_train_on_the_validation_recordings_of_another(tmp_path, tiny_recipe):
    shared = freesound_id(1, validation=True)
    write_corpus(tmp_path, [("esc50", 1, shared), ("urbansound8k", 1, shared)])
    split = dataclasses.replace(tiny_recipe.split, validation_folders=("esc50",))
    sides = by_path(read_corpus(tmp_path, dataclasses.replace(tiny_recipe, split=split)))
    assert sides["esc50/audio/1-0.ogg"].split == VALIDATION
    assert sides["urbansound8k/audio/1-1.ogg"].split == DROPPED


@settings(max_examples=40)
@given(
    clips=st.lists(
        st.tuples(st.sampled_from(["esc50", "urbansound8k"]), st.integers(1, 5), st.integers(1, 12)), max_size=30
    ),
    validation_folders=st.sets(st.sampled_from(["esc50", "urbansound8k"])),
    test_share=st.sampled_from([0.0, 0.3, 0.9]),
    validation_share=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_no_source_recording_is_on_two_sides(tiny_recipe, clips, validation_folders, test_share, validation_share):
    split = SplitConfig(
        test_folds={"esc50": ("5",), "urbansound8k": ("3",)},
        test_share={"esc50": test_share},
        validation_share=validation_share,
        validation_folders=tuple(sorted(validation_folders)),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder), clips)
        recordings = read_corpus(Path(folder), dataclasses.replace(tiny_recipe, split=split))
    assert len(recordings) == len(clips) + 6
    sides: dict[str, set[str]] = {}
    for item in recordings:
        sides.setdefault(item.source, set()).add(item.split)
    assert all(len(found - {DROPPED}) == 1 for found in sides.values())
    for item in recordings:
        if item.file.startswith("5-") and item.folder == "esc50":
            assert item.split == TEST
        if item.split == VALIDATION:
            assert not validation_folders or item.folder in validation_folders


def test_test_shares_go_by_the_hash_of_the_source(tiny_corpus, tiny_recipe):
    split = dataclasses.replace(tiny_recipe.split, test_share={"music": 0.5})
    recordings = read_corpus(tiny_corpus, dataclasses.replace(tiny_recipe, split=split))
    music = [item for item in recordings if item.folder == "music"]
    assert len(music) == 3
    for item in music:
        assert (item.split == TEST) == (share_of(f"test music {item.source}") < 0.5)


def test_the_hash_is_the_same_on_every_machine():
    # sha256("test") begins with 9f86d081884c7d65
    assert share_of("test") == 0x9F86D081884C7D65 / 2**64


@pytest.mark.parametrize(
    ("file", "track"),
    [("song_16.ogg", "song"), ("song_mix_0.ogg", "song"), ("song_guitar_8.ogg", "song"), ("song.ogg", "song")],
)
def test_excerpts_of_one_track_share_their_source(file, track):
    assert music_track(file) == track


def test_labelled_times(tiny_corpus, tiny_recipe):
    found = by_path(read_corpus(tiny_corpus, tiny_recipe))
    spoken = found["speech/audio/a.ogg"]
    assert spoken.activity == ((0.0, 0.8), (1.0, 1.8))
    assert found["ambience/audio/street.ogg"].activity is None


def test_a_corpus_without_its_tables_is_refused(tmp_path, tiny_recipe):
    with pytest.raises(ManifestError, match=r"table '.*esc50.csv' cannot be read: .*No such file") as caught:
        read_corpus(tmp_path, tiny_recipe)
    assert caught.value.hint == "point --corpus at the corpus"


def test_a_table_without_its_columns_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("file,label\na,b\n", encoding="utf-8")
    assert read_table(tmp_path / "t.csv", ("label",)) == [{"file": "a", "label": "b"}]
    with pytest.raises(ManifestError, match=r"table '.*t.csv' lacks the columns \['fold', 'take'\]"):
        read_table(tmp_path / "t.csv", ("take", "file", "fold"))
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"empty.csv' lacks the columns \['file'\]"):
        read_table(tmp_path / "empty.csv", ("file",))
    (tmp_path / "binary.csv").write_bytes(b"file\n\xff\n")
    with pytest.raises(ManifestError, match=r"binary.csv' cannot be read: 'utf-8' codec"):
        read_table(tmp_path / "binary.csv", ("file",))


def test_without_names_all_folders_validate(tiny_corpus, tiny_recipe):
    split = dataclasses.replace(tiny_recipe.split, validation_folders=(), validation_share=0.9)
    recordings = read_corpus(tiny_corpus, dataclasses.replace(tiny_recipe, split=split))
    assert {item.folder for item in recordings if item.split == VALIDATION} > {"esc50", "ambience"}


def test_tables_that_are_not_used_need_not_be_there(tiny_corpus, tiny_recipe, tmp_path):
    (tmp_path / "music").mkdir()
    shutil.copy(tiny_corpus / "music/music.csv", tmp_path / "music")
    alone = dataclasses.replace(tiny_recipe, split=SplitConfig(folders=("music",)))
    assert [item.folder for item in read_corpus(tmp_path, alone)] == ["music"] * 3
    with pytest.raises(ManifestError, match=r"table '.*esc50.csv' cannot be read"):
        read_corpus(tmp_path, dataclasses.replace(tiny_recipe, split=SplitConfig(folders=("music", "esc50"))))


def test_a_table_of_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "table.csv").write_text("file,label\r\na.wav,dog\r\n", encoding="utf-8-sig")
    assert read_table(tmp_path / "table.csv", ("file", "label")) == [{"file": "a.wav", "label": "dog"}]


@pytest.mark.parametrize("times", ["0.5,half", "1.5,0.5", "-1,2", "nan,1", "0.5,inf", "0.5"])
def test_times_that_are_none_are_refused(tiny_corpus, tiny_recipe, tmp_path, times):
    shutil.copytree(tiny_corpus, tmp_path / "own", ignore=shutil.ignore_patterns("*.wav"))
    (tmp_path / "own/speech/segments.csv").write_text(f"file,onset_s,offset_s\na.wav,{times}\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"segments.csv' says that 'a.wav' sounds from .* to .*, expected seconds"):
        read_corpus(tmp_path / "own", tiny_recipe)


def test_what_may_be_misspelled_is_found(tiny_corpus, tiny_recipe):
    assert doubts(tiny_recipe, read_corpus(tiny_corpus, tiny_recipe)) == []
    wrong = dataclasses.replace(
        tiny_recipe,
        events=dataclasses.replace(tiny_recipe.events, classes=(*tiny_recipe.events.classes, "unicorn")),
        scenes={**tiny_recipe.scenes, "sea": SceneConfig(recordings={"esc50": ("waves",)})},
        split=dataclasses.replace(tiny_recipe.split, test_folds={"esc50": ("5",), "urbansound8k": ("9",)}),
    )
    assert doubts(wrong, read_corpus(tiny_corpus, wrong)) == [
        "no recording trains the events unicorn",
        "no recording trains the scenes sea",
        "scene 'sea' names 'esc50/waves', which the corpus does not have",
        "nothing of urbansound8k is held out for testing, though [split] names it",
    ]
