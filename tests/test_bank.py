import dataclasses
import os
import shutil

import numpy as np
import pytest
import soundfile
import torch
from tiny_corpus import write_table, write_wav

from compactcli.audio import read_audio
from compactcli.bank import ACTIVE, INACTIVE, UNKNOWN, frame_power_db, frame_states, load_bank, sounding_level_db
from compactcli.datasets import TRAIN, Recording, read_corpus
from compactcli.errors import AudioError, CompactError, ManifestError
from compactcli.features import LogMel


def recording(**settings):
    return Recording(**{"folder": "esc50", "file": "a", "label": "dog", "source": "a", "split": TRAIN, **settings})


def of_folder(corpus, recipe, folder):
    return [item for item in read_corpus(corpus, recipe) if item.folder == folder]


@pytest.fixture
def own_corpus(tiny_corpus, tmp_path):
    """Only the speech of the tiny corpus, to be damaged."""
    for folder in ("speech", "teacher"):
        shutil.copytree(tiny_corpus / folder, tmp_path / "corpus" / folder)
    return tmp_path / "corpus"


def test_log_mels_stand_end_to_end(tiny_corpus, tiny_recipe, tiny_bank):
    log_mel = LogMel(tiny_recipe.features)
    assert len(tiny_bank.frames) == tiny_bank.length.sum() == len(tiny_bank.state)
    for index in (0, 5, len(tiny_bank.recordings) - 1):
        waveform = read_audio(tiny_corpus / tiny_bank.recordings[index].path, sample_rate=16000)
        expected = log_mel(torch.from_numpy(waveform)[None])[0].T.numpy()
        first, length = tiny_bank.start[index], tiny_bank.length[index]
        assert length == -(-len(waveform) // 320)
        np.testing.assert_allclose(tiny_bank.frames[first : first + length], expected, atol=0.05)  # float16


def test_power_of_frames():
    assert frame_power_db(np.array([[-10, -10], [-20, -100]], np.float16)) == pytest.approx([-6.9897, -20.0], abs=1e-3)


def test_the_level_is_that_of_the_sounding_frames():
    # the frame 40 dB below the loudest does not count
    assert sounding_level_db(np.array([0.0, -10.0, -40.0])) == pytest.approx(10 * np.log10((1 + 0.1) / 2))
    assert sounding_level_db(np.array([-50.0])) == pytest.approx(-50.0)


def test_energy_decides_where_no_times_are_labelled(tiny_recipe):
    power = np.concatenate(
        [np.full(n, level) for n, level in ((20, -40.0), (20, 0.0), (5, -15.0), (5, -16.0), (5, -28.0), (45, -50.0))]
    )
    state, cuts = frame_states(recording(event="dog"), power, tiny_recipe)
    # active down to 15 dB below the peak, unknown down to 30; a cut reaches down to 25
    expected = [INACTIVE] * 20 + [ACTIVE] * 25 + [UNKNOWN] * 10 + [INACTIVE] * 45
    assert state.tolist() == expected
    assert cuts == ((20, 50),)


def test_cuts_close_short_gaps_and_drop_short_runs(tiny_recipe):
    power = np.full(200, -60.0)
    for first, last in ((20, 40), (55, 70), (86, 100), (150, 154)):  # gaps of 15, 16 and 50 frames; one of 4 frames
        power[first:last] = 0.0
    _, cuts = frame_states(recording(event="dog"), power, tiny_recipe)
    assert cuts == ((20, 70), (86, 100))


def test_nothing_is_known_where_the_level_hardly_changes(tiny_recipe):
    state, cuts = frame_states(recording(event="dog"), np.linspace(-19, 0, 100), tiny_recipe)
    assert set(state.tolist()) == {UNKNOWN}
    assert cuts == ()


@pytest.mark.parametrize(
    "settings", [{"event": "rain"}, {"folder": "effects", "event": "dog"}, {"folder": "music", "event": "music"}]
)
def test_continuous_and_trimmed_recordings_sound_throughout(tiny_recipe, settings):
    power = np.array([0.0, -44.0, -46.0, -10.0])
    state, cuts = frame_states(recording(**settings), power, tiny_recipe)
    assert state.tolist() == [ACTIVE, ACTIVE, UNKNOWN, ACTIVE]
    assert cuts == ((0, 4),)


def test_labelled_times_are_taken_as_they_are(tiny_recipe):
    labelled = recording(event="speech", activity=((0.1, 0.2), (0.3, 9.0), (9.5, 9.9)))
    state, cuts = frame_states(labelled, np.zeros(20), tiny_recipe)  # 50 frames a second
    assert state.tolist() == [INACTIVE] * 5 + [ACTIVE] * 5 + [INACTIVE] * 5 + [ACTIVE] * 5
    assert cuts == ((5, 10), (15, 20))  # what lies beyond the end is left out


def test_a_recording_without_an_event_says_nothing(tiny_recipe):
    state, cuts = frame_states(recording(label="thud"), np.zeros(5), tiny_recipe)
    assert (state.tolist(), cuts) == ([INACTIVE] * 5, ())


def test_barks_are_found_in_the_corpus(tiny_bank):
    index = next(i for i, item in enumerate(tiny_bank.recordings) if item.event == "dog" and item.folder == "esc50")
    # two barks from 0.2 to 0.5 s and from 1.2 to 1.5 s; a frame looks 11 ms beyond its own 20 ms on both sides
    assert len(tiny_bank.cuts[index]) == 2
    for (first, last), (onset, offset) in zip(tiny_bank.cuts[index], ((10, 25), (60, 75)), strict=True):
        assert abs(first - onset) <= 2
        assert abs(last - offset) <= 2


def test_windows_of_the_teacher(tiny_corpus, tiny_bank):
    teacher = tiny_bank.teacher
    windows = {item.file: teacher.count[index] for index, item in enumerate(tiny_bank.recordings)}
    assert (windows["downpour.ogg"], windows["street.ogg"], windows["a.ogg"]) == (3, 5, 1)
    trains = [index for index, item in enumerate(tiny_bank.recordings) if item.split == TRAIN]
    rows = np.concatenate([np.arange(teacher.first[i], teacher.first[i] + teacher.count[i]) for i in trains])
    assert len(rows) < len(teacher.embeddings)
    assert teacher.embeddings[rows].mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-4)
    assert teacher.embeddings[rows].std(axis=0) == pytest.approx(np.ones(6), abs=1e-3)
    index = next(i for i, item in enumerate(tiny_bank.recordings) if item.label == "rain")
    assert teacher.probabilities[teacher.first[index], 0] == pytest.approx(0.6, abs=1e-3)


def test_a_recording_that_the_teacher_never_heard(own_corpus, tiny_recipe, tiny_corpus, tmp_path):
    spoken = of_folder(tiny_corpus, tiny_recipe, "speech")
    shutil.copy(own_corpus / "speech/audio/a.ogg", own_corpus / "speech/audio/new.ogg")
    new = dataclasses.replace(spoken[0], file="new.ogg", event=None)
    bank = load_bank(own_corpus, [*spoken, new], tiny_recipe, cache=tmp_path / "cache")
    assert bank.teacher.first.tolist() == [0, 1, 2, -1]
    assert bank.teacher.count.tolist() == [1, 1, 1, 0]
    assert not bank.unsure[-1].any()


def test_what_the_teacher_hears_beneath_a_label_is_left_open(tiny_recipe, tiny_bank):
    column = tiny_recipe.events.classes.index("speech")
    rain = [index for index, item in enumerate(tiny_bank.recordings) if item.label == "rain"]
    assert tiny_bank.unsure[rain, column].tolist() == [True, False, False, False]
    assert not np.delete(tiny_bank.unsure, column, axis=1).any()


def test_a_label_is_never_left_open_by_itself(tiny_corpus, tiny_recipe, tmp_path):
    spoken = of_folder(tiny_corpus, tiny_recipe, "speech")
    low = dataclasses.replace(tiny_recipe.events, unsure_probability=0.001)
    bank = load_bank(tiny_corpus, spoken, dataclasses.replace(tiny_recipe, events=low), cache=tmp_path)
    assert not bank.unsure.any()


def test_log_mels_are_decoded_once(tiny_corpus, tiny_recipe, tmp_path):
    spoken = of_folder(tiny_corpus, tiny_recipe, "speech")
    calls = []

    def load(recipe):
        calls.clear()
        return load_bank(
            tiny_corpus,
            spoken,
            recipe,
            cache=tmp_path / "new",
            progress=lambda done, total: calls.append((done, total)),
        )

    first = load(tiny_recipe)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    again = load(tiny_recipe)
    assert calls == []
    np.testing.assert_array_equal(again.frames, first.frames)
    np.testing.assert_array_equal(again.length, first.length)
    other = dataclasses.replace(tiny_recipe, features=dataclasses.replace(tiny_recipe.features, n_mels=8))
    assert load(other).frames.shape[1] == 8
    assert len(calls) == 3


def test_a_missing_recording_is_refused(own_corpus, tiny_recipe, tiny_corpus, tmp_path):
    spoken = of_folder(tiny_corpus, tiny_recipe, "speech")
    (own_corpus / "speech/audio/a.ogg").unlink()
    with pytest.raises(ManifestError, match=r"a recording that the corpus' tables name cannot be read: .*a.ogg"):
        load_bank(own_corpus, spoken, tiny_recipe, cache=tmp_path / "cache")


def test_a_damaged_recording_is_refused(own_corpus, tiny_recipe, tiny_corpus, tmp_path):
    (own_corpus / "speech/audio/a.ogg").write_bytes(b"nothing to hear")
    with pytest.raises(AudioError, match="a.ogg"):
        load_bank(own_corpus, of_folder(tiny_corpus, tiny_recipe, "speech"), tiny_recipe, cache=tmp_path / "cache")


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "other arrays"])
def test_teacher_outputs_that_cannot_be_read_are_refused(own_corpus, tiny_recipe, tiny_corpus, tmp_path, damage):
    path = own_corpus / "teacher/speech.npz"
    content = path.read_bytes()
    path.unlink()
    if damage == "other arrays":
        np.savez(path, embedding=np.zeros(3))
    elif damage != "missing":
        path.write_bytes({"empty": b"", "text": b"nothing", "cut": content[: len(content) // 2]}[damage])
    with pytest.raises(ManifestError, match=r"teacher outputs of 'speech' cannot be read: ."):
        load_bank(own_corpus, of_folder(tiny_corpus, tiny_recipe, "speech"), tiny_recipe, cache=tmp_path / "cache")


def test_a_class_that_the_teacher_does_not_have_is_refused(own_corpus, tiny_recipe, tiny_corpus, tmp_path):
    write_table(own_corpus / "teacher/audioset_classes.csv", [{"index": 0, "display_name": "Music"}])
    with pytest.raises(ManifestError, match=r"event 'speech' maps to \['Speech'\], which the teacher does not have"):
        load_bank(own_corpus, of_folder(tiny_corpus, tiny_recipe, "speech"), tiny_recipe, cache=tmp_path / "cache")


# ---------------------------------------------------------------- the cache


@pytest.fixture
def speech(own_corpus, tiny_corpus, tiny_recipe, tmp_path):
    """Load the speech of a corpus with a cache of its own."""
    spoken = of_folder(tiny_corpus, tiny_recipe, "speech")

    def load(corpus=own_corpus):
        return load_bank(corpus, spoken, tiny_recipe, cache=tmp_path / "cache")

    return load


def test_recordings_that_were_made_anew_are_heard_anew(own_corpus, speech):
    before = speech()
    for path in (own_corpus / "speech/audio").iterdir():
        status = path.stat()
        write_wav(path, np.zeros(len(soundfile.read(path)[0])))
        assert path.stat().st_size == status.st_size
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert before.frames.max() > -90
    assert speech().frames.max() == -100


def test_two_corpora_do_not_share_what_is_kept(own_corpus, speech, tmp_path):
    speech()
    shutil.copytree(own_corpus, tmp_path / "other")  # with the times of the files
    speech(tmp_path / "other")
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 99])
def test_a_damaged_cache_is_made_again(speech, tmp_path, damage):
    before = speech()
    [stored] = (tmp_path / "cache").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(damage(whole))
    np.testing.assert_array_equal(speech().frames, before.frames)
    assert stored.read_bytes()[:2] == b"PK"
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cache_without_room_is_said_and_leaves_nothing(speech, tmp_path, monkeypatch):
    def fail(*_arguments, **_arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(CompactError, match=r"kept in '.*cache' \(No space left on device\), expected room") as caught:
        speech()
    assert "--cache" in caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_is_a_file_is_refused(speech, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(CompactError, match=r"log-mels cannot be kept in '.*cache' \(File exists\)"):
        speech()
