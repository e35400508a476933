import numpy as np
import pytest

from compactcli.errors import AudioError
from compactcli.heads import load_embedder
from compactcli.learning import frames_each, hear_example, hear_noise


@pytest.fixture(scope="module")
def embedder(folder):
    return load_embedder(folder, device="cpu")


def test_an_example_is_the_mean_and_some_frames(embedder, write_recording, noise):
    waveform = noise(3.0)
    path = write_recording("a.wav", waveform, subtype="FLOAT")
    example = hear_example(path, embedder, label="wren", n_frames=20)
    frames = np.concatenate(list(embedder.stream([waveform])))
    assert (example.label, example.duration_s, example.damage) == ("wren", 3.0, None)
    np.testing.assert_allclose(example.mean, frames.mean(axis=0), atol=1e-4)
    # 75 frames: every second and every fourth would still be more than 20
    np.testing.assert_allclose(example.frames, frames[::4], atol=1e-4)
    assert example.sounds.all()


def test_frames_are_spread_evenly_over_chunks(embedder, write_recording, noise):
    # three chunks of 30 s
    waveform = noise(70.0, level=0.01)
    path = write_recording("long.wav", waveform, subtype="FLOAT")
    example = hear_example(path, embedder, label="wren", n_frames=100)
    np.testing.assert_allclose(example.frames, np.concatenate(list(embedder.stream([waveform])))[::32], atol=1e-4)


def test_what_is_much_quieter_than_the_rest_does_not_sound(embedder, write_recording, tone):
    waveform = np.concatenate([tone(1.0, level=0.001), tone(1.0), np.zeros(16000, np.float32)])
    example = hear_example(write_recording("a.wav", waveform), embedder, label="wren", n_frames=100)
    assert example.sounds.tolist() == [False] * 25 + [True] * 25 + [False] * 25
    silent = hear_example(write_recording("b.wav", np.zeros(16000, np.float32)), embedder, label="x", n_frames=100)
    assert not silent.sounds.any()


def test_an_offset_is_not_heard(embedder, write_recording, tone):
    waveform = np.concatenate([tone(1.0, level=0.05), np.zeros(16000, np.float32)])
    plain, moved = (
        hear_example(write_recording(name, waveform + offset), embedder, label="wren", n_frames=100)
        for name, offset in (("a.wav", 0.0), ("b.wav", 0.01))
    )
    assert plain.sounds.tolist() == moved.sounds.tolist() == [True] * 25 + [False] * 25


def test_the_last_frame_may_be_short(embedder, write_recording, tone):
    path = write_recording("a.wav", tone(0.05))
    example = hear_example(path, embedder, label="wren", n_frames=100)
    assert (example.frames.shape, example.sounds.tolist()) == ((2, 8), [True, True])


def test_damage_is_told_and_what_is_no_audio_refused(embedder, write_recording, tone, tmp_path):
    cut = write_recording("cut.flac", tone(10.0))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    example = hear_example(cut, embedder, label="wren", n_frames=10)
    assert "the decoder gave up" in example.damage
    assert 0 < example.duration_s < 10
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(AudioError, match="is not audio"):
        hear_example(tmp_path / "notes.txt", embedder, label="wren", n_frames=10)


def test_noise_has_no_label(embedder):
    examples = hear_noise(embedder, n_frames=10)
    assert len(examples) == 13
    assert {item.label for item in examples} == {None}
    assert all(len(item.frames) <= 10 for item in examples)


def test_many_recordings_give_few_frames_each():
    assert [frames_each(count) for count in (1, 100, 200, 100_000)] == [100, 100, 50, 4]
