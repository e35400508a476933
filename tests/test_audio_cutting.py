"""Pieces of recordings against the samples that libsndfile reads."""

import resource
import signal

import numpy as np
import pytest
import soundfile

from compactcli.audio import Piece, cut_audio, measure_duration
from compactcli.errors import AudioError, CompactError

RATE = 16000


def cut(path, *pieces):
    """What was written, by name, and the damage."""
    written = []
    found = cut_audio(path, pieces, on_written=written.append)
    return {piece.path.name: piece for piece in written}, found.damage


def piece(folder, name, start_s, stop_s, *, onset_s=None):
    onset_s = start_s if onset_s is None else onset_s
    return Piece(start_s=start_s, stop_s=stop_s, onset_s=onset_s, path=folder / name)


@pytest.fixture
def noisy(write_recording):
    """Four seconds of noise in two channels at 22.05 kHz, in a format and depth of one's choice."""

    def write(name, subtype=None):
        waveform = np.random.default_rng(0).uniform(-0.5, 0.5, (4 * 22050, 2)).astype(np.float32)
        return write_recording(name, waveform, sample_rate=22050, subtype=subtype)

    return write


@pytest.mark.parametrize(
    ("name", "subtype", "expected"),
    [
        ("a.wav", "PCM_16", "PCM_16"),
        ("a.wav", "PCM_24", "PCM_24"),
        ("a.wav", "PCM_U8", "PCM_16"),
        ("a.wav", "FLOAT", "FLOAT"),
        ("a.flac", None, "PCM_16"),
    ],
)
def test_pieces_have_the_samples_the_rate_the_channels_and_the_depth_of_the_recording(
    name, subtype, expected, noisy, tmp_path
):
    path = noisy(name, subtype)
    whole, _ = soundfile.read(path, dtype="float32")
    pieces = [piece(tmp_path, "late.wav", 2.5, 3.25), piece(tmp_path / "deep/er", "early.wav", 0.2, 2.75)]
    written, damage = cut(path, *pieces)
    assert damage is None
    assert written == {item.path.name: item for item in pieces}
    for item in pieces:
        info = soundfile.info(item.path)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (22050, 2, expected, "WAV")
        samples, _ = soundfile.read(item.path, dtype="float32")
        start, stop = round(item.start_s * 22050), round(item.stop_s * 22050)
        np.testing.assert_array_equal(samples, whole[start:stop])
    assert len([item for item in tmp_path.rglob("*") if item.is_file()]) == 3


@pytest.mark.parametrize(("subtype", "expected"), [("PCM_32", "PCM_24"), ("DOUBLE", "FLOAT")])
def test_what_float32_does_not_hold_is_rounded(subtype, expected, noisy, tmp_path):
    path = noisy("a.wav", subtype)
    cut(path, piece(tmp_path, "b.wav", 1.0, 2.0))
    samples, _ = soundfile.read(tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").subtype == expected
    np.testing.assert_allclose(samples, soundfile.read(path)[0][22050:44100], atol=2**-24)


def test_a_piece_ends_with_the_recording_and_one_behind_its_end_is_left_out(write_recording, tone, tmp_path):
    path = write_recording("a.wav", tone(2.0))
    written, damage = cut(
        path, piece(tmp_path, "b.wav", 1.5, 9.0), piece(tmp_path, "c.wav", 2.0, 3.0), piece(tmp_path, "d.wav", 0.0, 2.0)
    )
    assert damage is None
    assert {name: item.stop_s for name, item in written.items()} == {"d.wav": 2.0, "b.wav": 2.0}
    assert soundfile.info(tmp_path / "b.wav").frames == RATE // 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.wav", "b.wav", "d.wav"]


def test_a_piece_whose_event_begins_behind_the_end_is_left_out(write_recording, tone, tmp_path):
    path = write_recording("a.wav", tone(2.0))
    pieces = [
        piece(tmp_path, "b.wav", 1.0, 4.0, onset_s=2.0),
        piece(tmp_path, "c.wav", 1.0, 4.0, onset_s=1.9),
        piece(tmp_path, "d.wav", 3.0, 4.0),
    ]
    written = []
    found = cut_audio(path, pieces, on_written=written.append)
    assert [(item.path.name, item.stop_s) for item in written] == [("c.wav", 2.0)]
    assert (found.decoded_s, found.damage) == (2.0, None)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.wav", "c.wav"]
    assert cut_audio(path, [], on_written=written.append).decoded_s == 0.0


@pytest.mark.parametrize("most_open", [1, 3, 64])
def test_any_number_of_pieces_may_overlap(most_open, write_recording, tone, tmp_path, monkeypatch):
    monkeypatch.setattr("compactcli.audio.cutting._MOST_OPEN", most_open)
    path = write_recording("a.wav", tone(4.0))
    whole, _ = soundfile.read(path, dtype="int16")
    pieces = [piece(tmp_path, f"{index}.wav", 0.1 * index, 0.1 * index + 1.05) for index in range(20)]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limit[1]))
    try:
        written, _ = cut(path, *pieces)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert sorted(written) == sorted(item.path.name for item in pieces)
    for item in pieces:
        samples, _ = soundfile.read(item.path, dtype="int16")
        np.testing.assert_array_equal(samples, whole[round(item.start_s * RATE) : round(item.stop_s * RATE)])


def test_a_piece_shorter_than_a_sample_has_one(write_recording, tone, tmp_path):
    cut(write_recording("a.wav", tone(1.0)), piece(tmp_path, "b.wav", 0.5, 0.50001))
    assert soundfile.info(tmp_path / "b.wav").frames == 1


def test_what_is_not_asked_for_is_not_decoded(write_recording, tone, tmp_path):
    path = write_recording("a.flac", tone(30.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    written, damage = cut(path, piece(tmp_path, "b.wav", 1.0, 2.0))
    assert (list(written), damage) == (["b.wav"], None)
    written, damage = cut(path, piece(tmp_path, "c.wav", 1.0, 29.0), piece(tmp_path, "d.wav", 28.0, 29.0))
    assert list(written) == ["c.wav"]
    assert 5.0 < written["c.wav"].stop_s < 16.0
    assert "decoder gave up" in damage
    assert soundfile.info(tmp_path / "c.wav").duration == pytest.approx(written["c.wav"].stop_s - 1.0)


def test_a_piece_takes_the_place_of_what_was_there(write_recording, tone, tmp_path):
    (tmp_path / "b.wav").write_text("old")
    cut(write_recording("a.wav", tone(1.0)), piece(tmp_path, "b.wav", 0.0, 0.5))
    assert soundfile.info(tmp_path / "b.wav").duration == 0.5


def test_pieces_before_a_sample_that_is_no_number_are_kept_whole(write_recording, tmp_path):
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[4 * RATE] = np.nan
    path = write_recording("a.wav", waveform, subtype="FLOAT")
    written = []
    pieces = [piece(tmp_path, "b.wav", 0.0, 1.0), piece(tmp_path, "c.wav", 2.0, 5.0)]
    with pytest.raises(AudioError, match="has a sample of nan at 4.000 s"):
        cut_audio(path, pieces, on_written=written.append)
    assert written == pieces[:1]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.parametrize("when", ["write", "close", "replace"])
def test_ctrl_c_leaves_no_half_piece(when, write_recording, tone, tmp_path, monkeypatch):
    path = write_recording("a.wav", tone(3.0))

    def interrupt(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    target = {
        "write": "soundfile.SoundFile.write",
        "close": "soundfile.SoundFile.close",
        "replace": "pathlib.Path.replace",
    }
    monkeypatch.setattr(target[when], interrupt)
    with pytest.raises(KeyboardInterrupt):
        cut(path, piece(tmp_path, "b.wav", 0.0, 2.0), piece(tmp_path, "c.wav", 0.5, 9.0))
    assert [item.name for item in tmp_path.iterdir()] == ["a.wav"]


def test_a_name_that_is_taken_by_a_folder_leaves_no_half_piece(write_recording, tone, tmp_path):
    path = write_recording("a.wav", tone(3.0))
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(CompactError, match=r"b\.wav cannot be written \(Is a directory\)"):
        cut(path, piece(tmp_path, "b.wav", 0.0, 2.0))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_folders_whose_names_are_not_utf8(write_recording, tone, tmp_path):
    folder = tmp_path / "caf\udce9"
    cut(write_recording("a.wav", tone(1.0)), piece(folder, "b\udce9.wav", 0.0, 0.5))
    assert (folder / "b\udce9.wav").stat().st_size == 44 + RATE


def test_a_recording_without_a_frame_is_refused(write_recording, tmp_path):
    path = write_recording("a.wav", np.zeros(0, np.float32))
    with pytest.raises(AudioError, match="holds 0 frames at 16000 Hz, expected at least one sample"):
        cut(path, piece(tmp_path, "b.wav", 0.0, 0.5))
    with pytest.raises(AudioError, match="holds 0 frames"):
        measure_duration(path)


def test_a_recording_that_is_none_writes_nothing(tmp_path):
    with pytest.raises(AudioError, match="does not exist"):
        cut(tmp_path / "a.wav", piece(tmp_path / "new", "b.wav", 0.0, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_files_is_named(write_recording, tone, tmp_path):
    path = write_recording("a.wav", tone(1.0))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CompactError, match=r"file.b\.wav cannot be written \(.*\), expected room"):
        cut(path, piece(tmp_path / "file", "b.wav", 0.0, 1.0))


@pytest.mark.parametrize("limit", [0, 10_000])
def test_a_full_disk_leaves_no_half_piece(limit, write_recording, tone, tmp_path):
    path = write_recording("a.wav", tone(3.0))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(
            CompactError, match=r"b\.wav cannot be written \(.*\), expected room and the right to write"
        ):
            cut(path, piece(tmp_path, "b.wav", 0.0, 3.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [item.name for item in tmp_path.iterdir()] == ["a.wav"]


def test_more_than_a_plain_wav_holds_goes_into_rf64(write_recording, tone, tmp_path, monkeypatch):
    monkeypatch.setattr("compactcli.audio.cutting._MAX_WAV_BYTES", RATE)
    path = write_recording("a.wav", tone(2.0))
    cut(path, piece(tmp_path, "b.wav", 0.0, 2.0), piece(tmp_path, "c.wav", 0.0, 0.5))
    assert [soundfile.info(tmp_path / name).format for name in ("b.wav", "c.wav")] == ["RF64", "WAV"]
    # a recording that is short makes no long piece
    short = write_recording("short.wav", tone(0.3))
    cut(short, piece(tmp_path, "d.wav", 0.0, 2.0))
    assert soundfile.info(tmp_path / "d.wav").format == "WAV"
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav")[0], soundfile.read(path)[0])


def test_compressed_recordings_give_what_decodes(noisy, tmp_path):
    path = noisy("a.mp3")
    cut(path, piece(tmp_path, "b.wav", 1.0, 2.0))
    expected, _ = soundfile.read(path)
    samples, _ = soundfile.read(tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").subtype == "PCM_16"
    # what was louder than full scale before it was compressed may be so again
    difference = samples - expected[22050:44100].clip(-1, 1 - 2**-15)
    # rounded, not cut off, which would shift all samples by half a step
    assert np.abs(difference).max() <= 2**-16 * 1.01
    assert abs(difference.mean()) < 2**-15 / 50
