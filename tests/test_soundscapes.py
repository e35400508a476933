import dataclasses

import numpy as np
import pytest

from compactcli.audio import read_audio
from compactcli.datasets import TRAIN
from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.plans import Part, Plan, Planner
from compactcli.soundscapes import WaveformMixer

HOP, FADE = 320, 80  # samples


@pytest.fixture(scope="module")
def mixer(tiny_bank, tiny_recipe, tiny_corpus):
    return WaveformMixer(Planner(tiny_bank, tiny_recipe, split=TRAIN, clip_s=2.0), tiny_corpus)


@pytest.fixture
def index_of(tiny_bank):
    def find(key, *, unsure=False):
        return next(
            index
            for index, item in enumerate(tiny_bank.recordings)
            if item.key == key and item.split == TRAIN and tiny_bank.unsure[index].any() == unsure
        )

    return find


def part(recording, *, source_start=0, start=0, length=100, level_db=0.0, **settings):
    return Part(
        recording=recording, source_start=source_start, start=start, length=length, level_db=level_db, **settings
    )


def faded(piece):
    ramp = np.linspace(0, 1, FADE)
    return piece * np.concatenate([ramp, np.ones(len(piece) - 2 * FADE), ramp[::-1]])


def samples(corpus, bank, recording):
    return read_audio(corpus / bank.recordings[recording].path, sample_rate=16000).astype(np.float64)


def test_a_soundscape_is_the_sum_of_its_pieces(mixer, tiny_bank, tiny_corpus, index_of):
    rain, dog = index_of("esc50/rain"), index_of("esc50/dog")
    # the rain stands 12 dB beneath the floor of the scale, so nothing clips
    plan = Plan(
        parts=(
            part(rain, level_db=-20.0),
            part(dog, source_start=10, start=37, length=15, level_db=-6.0),
        ),
        kind="soundscape",
        scene="rain",
    )
    made = mixer.render(plan)
    expected = faded(samples(tiny_corpus, tiny_bank, rain)) * 10 ** ((-30 - 20 - tiny_bank.level_db[rain]) / 20)
    bark = faded(samples(tiny_corpus, tiny_bank, dog)[10 * HOP : 25 * HOP])
    expected[37 * HOP : 52 * HOP] += bark * 10 ** ((-30 - 6 - tiny_bank.level_db[dog]) / 20)
    np.testing.assert_allclose(made.waveform, expected, atol=1e-6)
    assert made.waveform.dtype == np.float32
    assert made.scene == "rain"
    assert made.unsure == frozenset()
    assert made.events == (
        Event(onset=0.0, offset=2.0, label="rain"),
        Event(onset=0.74, offset=1.04, label="dog"),
    )


def test_a_background_keeps_its_level(mixer, tiny_bank, tiny_corpus, index_of):
    bed = index_of("ambience/avenue")
    made = mixer.render(Plan(parts=(part(bed, source_start=20),), kind="soundscape"))
    np.testing.assert_allclose(
        made.waveform, faded(samples(tiny_corpus, tiny_bank, bed)[20 * HOP : 120 * HOP]), atol=1e-6
    )
    assert made.events == ()


def test_a_short_background_is_looped(mixer, tiny_bank, tiny_corpus, index_of):
    thud = index_of("effects/thud")
    made = mixer.render(Plan(parts=(part(thud, source_start=3, loop=True),), kind="soundscape"))
    piece = np.tile(samples(tiny_corpus, tiny_bank, thud), 5)[3 * HOP : 103 * HOP]
    np.testing.assert_allclose(made.waveform, faded(piece), atol=1e-6)


def test_a_loud_sum_is_scaled_down_as_a_whole(mixer, index_of):
    dog = index_of("esc50/dog")
    quiet, loud = (
        mixer.render(Plan(parts=(part(dog, level_db=level_db),), kind="soundscape")).waveform
        for level_db in (0.1, 40.0)
    )
    assert np.abs(loud).max() == pytest.approx(0.99, abs=1e-6)
    assert np.corrcoef(quiet, loud)[0, 1] == pytest.approx(1)


def test_an_event_at_the_end_of_a_recording_ends_with_its_samples(mixer, tiny_bank, tiny_corpus, index_of):
    woof = index_of("effects/woof")  # 0.6 s
    made = mixer.render(
        Plan(parts=(part(woof, source_start=20, start=50, length=20, level_db=1.0),), kind="soundscape")
    )
    assert made.events == (Event(onset=1.0, offset=1.2, label="dog"),)
    assert not made.waveform[round(1.2 * 16000) :].any()


def test_classes_that_may_sound_unlisted_are_named(mixer, index_of):
    made = mixer.render(Plan(parts=(part(index_of("esc50/rain", unsure=True)),), kind="soundscape"))
    assert made.unsure == {"speech"}


def test_random_soundscapes_tell_all_that_sounds(mixer, tiny_bank):
    made = list(mixer.soundscapes(np.random.default_rng(0), 40))
    assert len(made) == 40
    labels = {event.label for soundscape in made for event in soundscape.events}
    assert labels == {"dog", "rain", "siren", "speech", "music"}
    for soundscape in made:
        assert soundscape.unsure == frozenset()
        assert soundscape.waveform.shape == (32000,)
        assert np.abs(soundscape.waveform).max() <= 0.99 + 1e-6
        assert all(0 <= event.onset < event.offset <= 2.0 for event in soundscape.events)


def test_the_same_seed_makes_the_same_soundscapes(mixer):
    one, two = (list(mixer.soundscapes(np.random.default_rng(7), 5)) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.waveform, second.waveform)
        assert first.events == second.events


def test_soundscapes_without_clean_recordings_are_refused(mixer, tiny_bank, tiny_recipe, tiny_corpus):
    dirty = dataclasses.replace(tiny_bank, unsure=np.ones_like(tiny_bank.unsure))
    hopeless = WaveformMixer(Planner(dirty, tiny_recipe, split=TRAIN, clip_s=2.0), tiny_corpus)
    with pytest.raises(ManifestError, match=r"2000 soundscapes in a row held sounds without a label, expected clean"):
        next(hopeless.soundscapes(np.random.default_rng(0), 1))


def test_a_background_with_bounded_events_is_not_clean(mixer, index_of):
    assert mixer._is_clean(Plan(parts=(part(index_of("esc50/rain"), loop=True),), kind="soundscape"))
    assert mixer._is_clean(Plan(parts=(part(index_of("esc50/dog")),), kind="soundscape"))
    # nobody says when the dog of a background barks
    assert not mixer._is_clean(Plan(parts=(part(index_of("esc50/dog"), loop=True),), kind="soundscape"))
    assert not mixer._is_clean(Plan(parts=(part(index_of("esc50/rain", unsure=True)),), kind="soundscape"))


def test_layered_scenes(mixer):
    made = list(mixer.scenes(np.random.default_rng(0), "street", 10))
    assert len(made) == 10
    assert {clip.scene for clip in made} == {"street"}
    assert all(np.abs(clip.waveform).max() > 0.001 for clip in made)
    assert list(mixer.scenes(np.random.default_rng(0), "rain", 3)) == []  # it has no layers
