import dataclasses

import numpy as np
import pytest
import torch

from compactcli.bank import ACTIVE, INACTIVE, UNKNOWN, LogMelBank
from compactcli.datasets import TRAIN, Recording
from compactcli.mixing import Mixer
from compactcli.plans import Part, Plan, Planner
from compactcli.teacher import TeacherOutputs
from compactcli.training import build_network

N_MELS, FLOOR = 16, 1e-10
LENGTHS = (100, 60, 10, 600)
EVENTS = ("dog", "rain", None, "speech")
EVENT_CLASSES = ("dog", "rain", "siren", "speech", "music")
SCENES = (None, "rain", None, "talk")
LEVELS = (-20.0, -35.0, -50.0, -10.0)


@pytest.fixture(scope="module")
def bank():
    """Four recordings: two seconds of a dog, rain, something short without a class, 12 s of speech."""
    rng = np.random.default_rng(1)
    recordings = tuple(
        Recording(folder="esc50", file=str(i), label=str(i), source=str(i), split=TRAIN, event=event, scene=scene)
        for i, (event, scene) in enumerate(zip(EVENTS, SCENES, strict=True))
    )
    length = np.array(LENGTHS, np.int64)
    start = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64)
    state = np.full(length.sum(), INACTIVE, np.uint8)
    state[20:30], state[30:34] = ACTIVE, UNKNOWN  # of the dog
    state[100:160] = ACTIVE  # of the rain
    state[170:] = UNKNOWN  # of the speech
    unsure = np.zeros((4, 5), np.bool_)
    unsure[1, 3] = True  # speech may be heard beneath the rain
    return LogMelBank(
        recordings=recordings,
        frames=rng.uniform(-80, -10, size=(length.sum(), N_MELS)).astype(np.float16),
        start=start,
        length=length,
        level_db=np.array(LEVELS),
        state=state,
        cuts=(((20, 34),), ((0, 60),), (), ()),
        unsure=unsure,
        teacher=TeacherOutputs(
            classes=("a", "b", "c", "d"),
            tags=np.eye(5, dtype=np.float32)[[3, 1, 1, 1, 1]],
            scenes=np.eye(3, dtype=np.float32)[[2, 1, 1, 1, 1]],
            probabilities=np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 4),
            embeddings=np.arange(10, dtype=np.float32).reshape(5, 2),
            first=np.array([0, 1, -1, 2], np.int64),
            count=np.array([1, 1, 0, 3], np.int64),
            middle_s=np.array([2.5, 2.5, 2.5, 7.5, 12.5], np.float32),
        ),
    )


@pytest.fixture(scope="module")
def make_mixer(bank, tiny_recipe):
    def make(*, curves=None, clip_s=1.0, **mix):
        recipe = dataclasses.replace(tiny_recipe, mix=dataclasses.replace(tiny_recipe.mix, **mix))
        planner = Planner(bank, recipe, split=TRAIN, clip_s=clip_s)
        return Mixer(planner, curves=curves, device=torch.device("cpu"))

    return make


@pytest.fixture(scope="module")
def render(make_mixer):
    """The batch of one plan, without augmentation."""
    mixer = make_mixer()

    def render_one(*parts, kind="clip", scene=None):
        return mixer.render([Plan(parts=parts, kind=kind, scene=scene)], np.random.default_rng(0))

    return render_one


def part(recording, *, source_start=0, start=0, length=50, level_db=0.0, **settings):
    return Part(
        recording=recording, source_start=source_start, start=start, length=length, level_db=level_db, **settings
    )


def power(bank, recording, rows):
    """Mel powers of some frames of a recording, ``(n_frames, n_mels)``."""
    return 10 ** (bank.frames[bank.start[recording] + np.asarray(rows)].astype(np.float64) / 10)


def decibels(powers):
    return 10 * np.log10(powers + FLOOR).T


def test_a_recording_by_itself_keeps_its_level(bank, render):
    batch = render(part(0, source_start=30))
    assert batch.log_mel.shape == (1, N_MELS, 50)
    np.testing.assert_allclose(batch.log_mel[0], decibels(power(bank, 0, range(30, 80))), atol=1e-3)


def test_mixing_adds_mel_powers(bank, render):
    batch = render(part(0, source_start=10), part(1, source_start=5, start=20, length=30, level_db=-6.0))
    # the second recording is brought to 6 dB below the level of the first
    gain_db = LEVELS[0] - 6.0 - LEVELS[1]
    expected = power(bank, 0, range(10, 60))
    expected[20:] += power(bank, 1, range(5, 35)) * 10 ** (gain_db / 10)
    np.testing.assert_allclose(batch.log_mel[0], decibels(expected), atol=1e-3)


def test_clips_of_a_batch_do_not_touch_each_other(make_mixer, render):
    one, other = (part(0),), (part(1, length=30), part(3, level_db=-3.0))
    plans = [Plan(parts=parts, kind="clip") for parts in (one, other)]
    both = make_mixer().render(plans, np.random.default_rng(0))
    for clip, parts in enumerate((one, other)):
        alone = render(*parts)
        for field in dataclasses.fields(both):
            torch.testing.assert_close(getattr(both, field.name)[clip], getattr(alone, field.name)[0])


def test_silence_is_the_floor(render):
    batch = render(part(0, start=10, length=20))
    torch.testing.assert_close(batch.log_mel[0, :, :10], torch.full((N_MELS, 10), -100.0))
    torch.testing.assert_close(batch.log_mel[0, :, 30:], torch.full((N_MELS, 20), -100.0))
    assert (batch.log_mel[0, :, 10:30] > -90).all()


def test_without_a_background_events_are_set_relative_to_a_fixed_level(bank, render):
    batch = render(part(0, level_db=7.0, length=40), kind="soundscape")
    gain_db = -30.0 + 7.0 - LEVELS[0]
    np.testing.assert_allclose(
        batch.log_mel[0, :, :40], decibels(power(bank, 0, range(40)) * 10 ** (gain_db / 10)), atol=1e-3
    )


def test_stretched_and_looped_parts(bank, render):
    fast = render(part(0, stretch=1.15))
    rows = [int(1.15 * frame) for frame in range(50)]
    np.testing.assert_allclose(fast.log_mel[0], decibels(power(bank, 0, rows)), atol=1e-3)
    looped = render(part(2, source_start=4, loop=True))
    rows = [(4 + frame) % LENGTHS[2] for frame in range(50)]
    np.testing.assert_allclose(looped.log_mel[0], decibels(power(bank, 2, rows)), atol=1e-3)
    # what is not looped holds its last frame instead of running into the next recording
    held = render(part(2, source_start=5, length=10))
    np.testing.assert_allclose(held.log_mel[0, :, :10], decibels(power(bank, 2, [5, 6, 7, 8] + [9] * 6)), atol=1e-3)


def test_an_event_is_in_the_targets_at_its_own_output_frames(render):
    batch = render(part(1, length=50, loop=True), part(0, source_start=20, start=7, length=10), kind="soundscape")
    assert batch.frames.shape == (1, 25, 5)
    # log-mel frames 7 to 16 touch output frames 3 to 8
    assert np.flatnonzero(batch.frames[0, :, 0]).tolist() == [3, 4, 5, 6, 7, 8]
    assert batch.known[0, :, 0].all()
    assert batch.frames[0, :, 1].all()
    assert batch.frames[0, :, [2, 3, 4]].sum() == 0
    assert batch.present[0].tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("start", range(0, 40, 3))
def test_every_start_is_met(render, start):
    batch = render(part(0, source_start=20, start=start, length=9), kind="soundscape")
    expected = sorted({frame // 2 for frame in range(start, start + 9)})
    assert np.flatnonzero(batch.frames[0, :, 0]).tolist() == expected


def test_frames_between_sound_and_silence_are_unknown(render):
    batch = render(part(0))
    # frames 20 to 29 are active, 30 to 33 unknown
    assert np.flatnonzero(batch.frames[0, :, 0]).tolist() == [10, 11, 12, 13, 14]
    assert np.flatnonzero(batch.known[0, :, 0] == 0).tolist() == [15, 16]


def test_a_clip_of_which_nothing_is_known_still_has_its_class(render):
    batch = render(part(3))
    assert batch.frames[0, :, 3].sum() == 0
    assert batch.known[0, :, 3].sum() == 0
    assert (batch.present[0, 3], batch.present_known[0, 3]) == (1, 1)


def test_the_louder_claim_wins_where_two_recordings_have_one_class(render):
    batch = render(part(0, source_start=20, length=10), part(0, source_start=30, start=4, length=16, level_db=-1.0))
    # active 0 to 9; unknown 4 to 7; inactive 8 to 19
    assert np.flatnonzero(batch.frames[0, :, 0]).tolist() == [0, 1, 2, 3, 4]
    assert batch.known[0, :, 0].all()


def test_unsure_classes_are_unknown_where_they_are_not_heard(render):
    batch = render(part(1))
    assert batch.known[0, :, 3].sum() == 0
    assert batch.known[0, :, [0, 1, 2, 4]].all()
    assert batch.present_known[0].tolist() == [1, 1, 1, 0, 1]
    # beneath a recording of the class itself, the label counts
    both = render(part(1), part(3, level_db=0.0))
    assert (both.present[0, 3], both.present_known[0, 3]) == (1, 1)


def test_what_is_more_than_20_db_below_the_loudest_is_left_open(render):
    for level_db, heard in ((-20.0, True), (-20.5, False)):
        batch = render(part(1, length=50), part(0, source_start=20, length=10, level_db=level_db), kind="soundscape")
        assert batch.frames[0, :, 0].sum() == (5 if heard else 0)
        assert batch.known[0, :, 0].sum() == (25 if heard else 0)
        assert (batch.present[0, 0], batch.present_known[0, 0]) == (heard, heard)


def test_shares_go_by_amplitude(bank, render):
    batch = render(part(0), part(1, level_db=-6.0))
    share = 1 / (1 + 10 ** (-6 / 20))
    np.testing.assert_allclose(batch.tags[0], [share, 1 - share, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(batch.scenes[0], [1 - share, 0, 0], rtol=1e-6)  # the dog has no scene
    teacher = bank.teacher
    expected = share * teacher.probabilities[0] + (1 - share) * teacher.probabilities[1]
    np.testing.assert_allclose(batch.teacher[0], expected, rtol=1e-6)
    expected = share * teacher.embeddings[0] + (1 - share) * teacher.embeddings[1]
    np.testing.assert_allclose(batch.embedding[0], expected, rtol=1e-6)
    assert batch.taught[0] == pytest.approx(1)


def test_the_teacher_has_its_share_of_the_tags(bank, tiny_recipe):
    events = dataclasses.replace(tiny_recipe.events, teacher=dict.fromkeys(EVENT_CLASSES, ("a",)))
    options = dataclasses.replace(tiny_recipe.optimisation, teacher_share=0.25)
    recipe = dataclasses.replace(tiny_recipe, events=events, optimisation=options)
    mixer = Mixer(Planner(bank, recipe, split=TRAIN, clip_s=1.0), curves=None, device=torch.device("cpu"))

    def tags(*parts):
        return mixer.render([Plan(parts=parts, kind="clip")], np.random.default_rng(0)).tags[0].tolist()

    assert tags(part(0)) == pytest.approx([0.75, 0, 0, 0.25, 0])  # the teacher hears speech in the dog
    assert tags(part(1)) == pytest.approx([0, 1, 0, 0, 0])  # and rain in the rain
    assert tags(part(0), part(1)) == pytest.approx([0.375, 0.5, 0, 0.125, 0])


def test_the_teacher_has_its_share_of_the_scenes(bank, tiny_recipe):
    options = dataclasses.replace(tiny_recipe.optimisation, scene_teacher_share=0.25)
    recipe = dataclasses.replace(tiny_recipe, optimisation=options)
    mixer = Mixer(Planner(bank, recipe, split=TRAIN, clip_s=1.0), curves=None, device=torch.device("cpu"))

    def scenes(*parts):
        return mixer.render([Plan(parts=parts, kind="clip")], np.random.default_rng(0)).scenes[0].tolist()

    assert scenes(part(0)) == [0, 0, 0]  # the dog has no scene, whatever the teacher hears
    assert scenes(part(1)) == pytest.approx([0.75, 0.25, 0])
    assert scenes(part(0), part(1)) == pytest.approx([0.375, 0.125, 0])
    plan = Plan(parts=(part(1),), kind="scene", scene="rain")
    assert mixer.render([plan], np.random.default_rng(0)).scenes[0].tolist() == [1, 0, 0]


def test_a_clip_that_the_teacher_heard_only_in_part_is_not_taught(render):
    assert render(part(0), part(2, length=10)).taught.tolist() == [0]
    assert render(part(2, length=10)).taught.tolist() == [0]


@pytest.mark.parametrize(("source_start", "window"), [(0, 2), (220, 2), (230, 3), (470, 3), (480, 4), (550, 4)])
def test_the_teacher_window_is_the_nearest(bank, render, source_start, window):
    # 50 frames from source_start have their middle 0.5 s later; the windows' middles are 2.5, 7.5 and 12.5 s
    batch = render(part(3, source_start=source_start))
    np.testing.assert_allclose(batch.teacher[0], bank.teacher.probabilities[window])


def test_the_teacher_window_of_a_fast_piece_is_where_its_recording_is(bank, render):
    # 50 frames at double speed are 2 s of the recording: their middle is 1 s after 4.4 s
    batch = render(part(3, source_start=220, stretch=2.0))
    np.testing.assert_allclose(batch.teacher[0], bank.teacher.probabilities[3])


def test_the_last_teacher_window_ends_with_its_recording(bank):
    # a recording of 12 s: windows from 0, 5 and 7 s
    teacher = dataclasses.replace(bank.teacher, middle_s=np.array([2.5, 2.5, 2.5, 7.5, 9.5], np.float32))
    assert [teacher.window_at(3, time_s) for time_s in (0.0, 4.9, 5.1, 8.4, 8.6, 12.0)] == [2, 2, 3, 3, 4, 4]
    assert teacher.window_at(2, 1.0) is None


@pytest.mark.parametrize("kind", ["soundscape", "scene"])
def test_mixed_clips_have_the_scene_of_their_plan_and_no_tags(render, kind):
    batch = render(part(1), part(0, level_db=3.0), kind=kind, scene="street")
    assert batch.scenes[0].tolist() == [0, 1, 0]
    assert batch.tags.sum() == 0
    assert batch.taught.sum() == 0
    assert render(part(1), kind=kind).scenes.sum() == 0


def test_a_clip_of_an_odd_number_of_frames_has_targets_for_every_output_frame(make_mixer, tiny_recipe):
    mixer = make_mixer(clip_s=0.5)
    batch = mixer.render([Plan(parts=(part(1, length=25),), kind="clip")] * 2, np.random.default_rng(0))
    with torch.inference_mode():
        scenes, events = build_network(tiny_recipe).eval()(batch.log_mel)
    assert batch.log_mel.shape[2] == 25
    assert batch.frames.shape == batch.known.shape == events.shape == (2, 13, 5)
    assert scenes.shape[1] == 13
    assert batch.frames[0, :, 1].all()


def test_augmentation_changes_the_sound_and_not_the_targets(make_mixer, render):
    mixer = make_mixer(curves=np.zeros((2, N_MELS), np.float32), noise_probability=1.0)
    plan = Plan(parts=(part(0), part(1, level_db=-3.0)), kind="clip")
    augmented = mixer.render([plan], np.random.default_rng(0))
    plain = render(*plan.parts)
    assert torch.isfinite(augmented.log_mel).all()
    assert augmented.log_mel.min() >= -100.001
    assert (augmented.log_mel - plain.log_mel).abs().mean() > 1
    for field in dataclasses.fields(plain):
        if field.name != "log_mel":
            torch.testing.assert_close(getattr(augmented, field.name), getattr(plain, field.name))


def test_noise_beneath_raises_every_frame(make_mixer, render):
    quiet = {"gain_db": (0.0, 0.0), "filter_db": 0.0, "response_probability": 0.0, "lowpass_probability": 0.0}
    still = {"shift_bands": 0, "time_mask_s": 0.0, "band_mask": 0}
    mixer = make_mixer(curves=np.zeros((0, N_MELS), np.float32), noise_probability=1.0, **quiet, **still)
    noisy = mixer.render([Plan(parts=(part(0, length=20),), kind="clip")], np.random.default_rng(0)).log_mel
    plain = render(part(0, length=20)).log_mel
    assert (noisy >= plain - 1e-3).all()
    loudest = 10 * np.log10((10 ** (plain[0].double().numpy() / 10)).sum(axis=0).max())
    added = noisy[0, :, 20:].double().numpy()  # where nothing else sounds
    mean_db = 10 * np.log10((10 ** (added / 10)).mean())
    assert loudest - 50 - 15 < mean_db < loudest - 25 + 5


def test_noise_by_itself_is_no_event_and_any_scene(make_mixer):
    quiet = {"gain_db": (0.0, 0.0), "filter_db": 0.0, "response_probability": 0.0, "lowpass_probability": 0.0}
    still = {"shift_bands": 0, "time_mask_s": 0.0, "band_mask": 0}
    mixer = make_mixer(curves=np.zeros((0, N_MELS), np.float32), noise_probability=0.0, **quiet, **still)
    plans = [Plan(parts=(part(0),), kind="clip"), *[Plan(parts=(), kind="noise")] * 30]
    batch = mixer.render(plans, np.random.default_rng(0))
    alone = batch.log_mel[1:].double().numpy()  # (30, n_mels, n_frames)
    mean_db = 10 * np.log10((10 ** (alone / 10)).mean(axis=2)).mean(axis=1)
    assert -100 < mean_db.min() < -75
    assert -40 < mean_db.max() < -25
    assert (alone.std(axis=2) < 8).all()  # steady, not silence with something in it
    assert not batch.frames[1:].any()
    assert batch.known[1:].all()
    assert not batch.present[1:].any()
    assert batch.present_known[1:].all()
    assert not batch.tags[1:].any()
    assert not batch.taught[1:].any()
    torch.testing.assert_close(batch.scenes[1:], torch.full((30, len(mixer.scene_index)), 1 / len(mixer.scene_index)))


def test_bands_shift_as_a_whole(make_mixer, render):
    quiet = {"gain_db": (0.0, 0.0), "filter_db": 0.0, "response_probability": 0.0, "lowpass_probability": 0.0}
    still = {"noise_probability": 0.0, "time_mask_s": 0.0, "band_mask": 0}
    mixer = make_mixer(curves=np.zeros((0, N_MELS), np.float32), shift_bands=2, **quiet, **still)
    plain = render(part(0)).log_mel[0]
    found = set()
    rng = np.random.default_rng(0)
    for _ in range(40):
        shifted = mixer.render([Plan(parts=(part(0),), kind="clip")], rng).log_mel[0]
        shifts = [
            shift
            for shift in range(-2, 3)
            if torch.allclose(shifted, plain[np.clip(np.arange(N_MELS) + shift, 0, N_MELS - 1)], atol=1e-2)
        ]
        assert len(shifts) == 1
        found.update(shifts)
    assert found == {-2, -1, 0, 1, 2}


def test_batches_are_drawn_and_repeat_with_their_seed(tiny_bank, tiny_recipe):
    planner = Planner(tiny_bank, tiny_recipe, split=TRAIN, clip_s=1.0, stretch=1.1)
    mixer = Mixer(planner, curves=np.zeros((1, N_MELS), np.float32), device=torch.device("cpu"))
    one, two, other = (mixer.batch(np.random.default_rng(seed), 12) for seed in (1, 1, 2))
    for field in dataclasses.fields(one):
        tensor = getattr(one, field.name)
        assert len(tensor) == 12
        assert torch.isfinite(tensor).all()
        assert torch.equal(tensor, getattr(two, field.name))
    assert not torch.equal(one.log_mel, other.log_mel)
    for shares in (one.tags, one.scenes):
        assert (shares.sum(dim=1) <= 1 + 1e-5).all()
    assert one.tags.sum(dim=1).max() == pytest.approx(1)
