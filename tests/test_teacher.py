import dataclasses

import numpy as np
import pytest

from compactcli.datasets import DROPPED, TEST, TRAIN, VALIDATION, Recording, read_corpus
from compactcli.errors import ManifestError
from compactcli.teacher import embedding_shares, event_tags, load_teacher, teacher_columns

CLASSES = ("Speech", "Music", "Rain", "Dog", "Siren", "Bark")
MAPPING = {"dog": ("Dog", "Bark"), "rain": ("Rain",), "siren": ("Siren",), "speech": ("Speech",), "music": ("Music",)}


def mapped(recipe, mapping):
    return dataclasses.replace(recipe, events=dataclasses.replace(recipe.events, teacher=mapping))


def recordings_of(events, *, split=TRAIN, n_takes=1):
    return [
        Recording(folder="esc50", file=f"{n}{take}", label="x", source=str(n), split=split, event=event)
        for n, event in enumerate(events)
        for take in range(n_takes)
    ]


def test_shares_are_those_of_the_events_that_the_teacher_hears(tiny_recipe):
    recipe = mapped(tiny_recipe, MAPPING)
    events = recipe.events.classes
    recordings = [*recordings_of(events), *recordings_of(["dog"], split=TEST)]
    probabilities = np.full((6, 6), 0.01, np.float32)
    for row, event in enumerate([*events, "dog"]):
        probabilities[row, CLASSES.index(MAPPING[event][-1])] = 0.9
    tags = event_tags(probabilities, CLASSES, recordings, np.arange(6), recipe)
    np.testing.assert_allclose(tags.sum(axis=1), np.ones(6), rtol=1e-5)
    assert [events[index] for index in tags.argmax(axis=1)] == [*events, "dog"]
    # the second of the two names was heard, in a recording that the fit never saw
    assert tags[5].max() > 0.8


def test_an_event_that_the_teacher_plays_down_is_lifted(tiny_recipe):
    recipe = mapped(tiny_recipe, MAPPING)
    recordings = recordings_of(["rain", "music", "rain", "music"])
    probabilities = np.full((4, 6), 0.001, np.float32)
    # rain is never more than a tenth where it is the label, music a half even there
    probabilities[:, 1] = [0.3, 0.9, 0.3, 0.9]
    probabilities[:, 2] = [0.1, 0.01, 0.1, 0.01]
    tags = event_tags(probabilities, CLASSES, recordings, np.arange(4), recipe)
    assert [recipe.events.classes[index] for index in tags.argmax(axis=1)] == ["rain", "music", "rain", "music"]


def test_takes_of_one_recording_count_once(tiny_recipe):
    recipe = mapped(tiny_recipe, MAPPING)
    one = recordings_of(["rain", "music", "siren"])
    # the same but for twenty more takes of the rain
    many = [*one, *[dataclasses.replace(one[0], file=f"again{take}") for take in range(20)]]
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0.05, 0.6, (3, 6)).astype(np.float32)
    more = np.concatenate([probabilities, np.repeat(probabilities[:1], 20, axis=0)])
    np.testing.assert_allclose(
        event_tags(more, CLASSES, many, np.arange(23), recipe)[:3],
        event_tags(probabilities, CLASSES, one, np.arange(3), recipe),
        atol=1e-4,
    )


@pytest.mark.parametrize("why", ["an event is not mapped", "nothing to fit to"])
def test_no_shares_without_a_whole_mapping_and_labels(tiny_recipe, why):
    mapping = {"speech": ("Speech",)} if why == "an event is not mapped" else MAPPING
    first = np.array([0] if why == "an event is not mapped" else [-1])
    probabilities = np.full((1, 6), 0.5, np.float32)
    assert not event_tags(probabilities, CLASSES, recordings_of(["dog"]), first, mapped(tiny_recipe, mapping)).any()


def embedded(recordings, recipe, *, size=24, seed=0):
    """An embedding per recording: the direction of its event, and the recording's own."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(recipe.events.classes), size)).astype(np.float32)
    of_event = np.stack([directions[recipe.events.classes.index(item.event)] for item in recordings])
    return of_event + 0.3 * rng.normal(size=of_event.shape).astype(np.float32)


def event_shares(embeddings, recordings, recipe, *, first=None, count=None):
    n = len(recordings)
    first = np.arange(n) if first is None else first
    count = np.ones(n, np.int64) if count is None else count
    return embedding_shares(
        embeddings, recordings, first, count, [item.event for item in recordings], recipe.events.classes
    )


def test_classifiers_on_the_embedding_tell_its_events_apart(tiny_recipe):
    events = tiny_recipe.events.classes
    recordings = [*recordings_of(events * 4), *recordings_of(events, split=TEST)]
    embeddings, n = embedded(recordings, tiny_recipe), len(recordings)
    tags = event_shares(embeddings, recordings, tiny_recipe)
    np.testing.assert_allclose(tags.sum(axis=1), np.ones(n), rtol=1e-5)
    assert [events[index] for index in tags.argmax(axis=1)] == [item.event for item in recordings]
    assert tags.max(axis=1).min() > 0.5


@pytest.mark.parametrize("n_takes", [1, 3])
def test_no_classifier_speaks_of_what_it_was_fitted_to(tiny_recipe, monkeypatch, n_takes):
    monkeypatch.setattr("compactcli.teacher.WEIGHT_PENALTIES", (3e-4,))
    # a mislabelled source: whoever was fitted to it or to its other takes would repeat the label
    recordings = recordings_of(tiny_recipe.events.classes * 6, n_takes=n_takes)
    embeddings = embedded(recordings, tiny_recipe)
    wrong = [dataclasses.replace(item, event="rain") if item.source == "0" else item for item in recordings]
    tags = event_shares(embeddings, wrong, tiny_recipe)
    assert {tiny_recipe.events.classes[index] for index in tags[:n_takes].argmax(axis=1)} == {recordings[0].event}
    # and with its true label the answer there is the same to the last digit
    np.testing.assert_array_equal(tags[:n_takes], event_shares(embeddings, recordings, tiny_recipe)[:n_takes])


@pytest.mark.parametrize("penalties", [(3e-4, 10.0), (10.0, 3e-4)])
def test_the_penalty_is_chosen_by_what_trains_alone(tiny_recipe, monkeypatch, penalties):
    trains = recordings_of(tiny_recipe.events.classes * 4)
    # the other sides' labels are wrong, and would have the classifiers say as little as they can
    wrong = recordings_of([*tiny_recipe.events.classes[1:], tiny_recipe.events.classes[0]] * 4)
    others = [dataclasses.replace(item, split=split) for split in (TEST, VALIDATION) for item in wrong]
    recordings = [*trains, *others]
    embeddings = embedded(trains * 3, tiny_recipe)
    monkeypatch.setattr("compactcli.teacher.WEIGHT_PENALTIES", penalties)
    chosen = event_shares(embeddings, recordings, tiny_recipe)
    monkeypatch.setattr("compactcli.teacher.WEIGHT_PENALTIES", (3e-4,))
    np.testing.assert_array_equal(chosen, event_shares(embeddings, recordings, tiny_recipe))


def test_clips_of_one_source_in_two_folders_are_left_out_together(tiny_recipe):
    recordings = recordings_of(tiny_recipe.events.classes * 6, n_takes=2)
    embeddings = embedded(recordings, tiny_recipe)
    # the second clip of every source stands in another folder
    moved = [dataclasses.replace(item, folder=("esc50", "urbansound8k")[n % 2]) for n, item in enumerate(recordings)]
    np.testing.assert_array_equal(
        event_shares(embeddings, moved, tiny_recipe), event_shares(embeddings, recordings, tiny_recipe)
    )


def test_all_windows_of_a_source_count_once_together(tiny_recipe):
    recordings = recordings_of(tiny_recipe.events.classes * 3)
    embeddings, n = embedded(recordings, tiny_recipe), len(recordings)
    once = event_shares(embeddings, recordings, tiny_recipe)
    # the last recording is longer: the same again and again
    count = np.ones(n, np.int64)
    count[-1] = 30
    longer = np.concatenate([embeddings, np.repeat(embeddings[-1:], 29, axis=0)])
    more = event_shares(longer, recordings, tiny_recipe, count=count)
    np.testing.assert_allclose(more[:n], once, atol=1e-3)
    np.testing.assert_allclose(more[n:], np.repeat(more[n - 1 : n], 29, axis=0), atol=1e-6)


def test_an_event_that_nothing_trains_has_no_share(tiny_recipe):
    recordings = recordings_of(["rain", "music", "siren"] * 3)
    n = len(recordings)
    tags = event_shares(embedded(recordings, tiny_recipe), recordings, tiny_recipe)
    silent = [tiny_recipe.events.classes.index(name) for name in ("dog", "speech")]
    assert not tags[:, silent].any()
    np.testing.assert_allclose(tags.sum(axis=1), np.ones(n), rtol=1e-5)


def test_too_few_sources_to_leave_some_out_give_no_shares(tiny_recipe):
    recordings = recordings_of(["rain", "music", "siren", "dog"])
    embeddings = embedded(recordings, tiny_recipe)
    assert not event_shares(embeddings, recordings, tiny_recipe).any()


def test_the_recipe_says_by_what_the_teacher_is_heard(tiny_corpus, tiny_recipe):
    recordings = [item for item in read_corpus(tiny_corpus, tiny_recipe) if item.split != DROPPED]
    mapping = dict.fromkeys(tiny_recipe.events.classes, ("Speech",))

    def teacher(hears):
        options = dataclasses.replace(tiny_recipe.optimisation, teacher_hears=hears)
        return load_teacher(
            tiny_corpus, recordings, dataclasses.replace(mapped(tiny_recipe, mapping), optimisation=options)
        )

    names, embedding = teacher("names"), teacher("embedding")
    expected = event_tags(names.probabilities, names.classes, recordings, names.first, mapped(tiny_recipe, mapping))
    np.testing.assert_array_equal(names.tags, expected)
    expected = event_shares(names.embeddings, recordings, tiny_recipe, first=names.first, count=names.count)
    np.testing.assert_array_equal(embedding.tags, expected)
    assert np.abs(embedding.tags - names.tags).max() > 0.1


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_recipe_says_whether_the_teacher_is_heard_in_scenes(tiny_corpus, tiny_recipe, share):
    recordings = [item for item in read_corpus(tiny_corpus, tiny_recipe) if item.split != DROPPED]
    options = dataclasses.replace(tiny_recipe.optimisation, scene_teacher_share=share)
    teacher = load_teacher(tiny_corpus, recordings, dataclasses.replace(tiny_recipe, optimisation=options))
    classes, labels = tuple(tiny_recipe.scenes), [item.scene for item in recordings]
    expected = embedding_shares(teacher.embeddings, recordings, teacher.first, teacher.count, labels, classes)
    assert expected.any()
    np.testing.assert_array_equal(teacher.scenes, expected if share else np.zeros_like(expected))


def test_columns_are_those_of_the_names(tiny_recipe):
    assert teacher_columns(mapped(tiny_recipe, MAPPING), CLASSES)["dog"] == [3, 5]


def test_an_unsure_event_needs_a_class_of_the_teacher(tiny_recipe):
    with pytest.raises(ManifestError, match=r"event 'speech' is listed as unsure but maps to no class of the teacher"):
        teacher_columns(mapped(tiny_recipe, {}), CLASSES)


def test_a_class_that_the_teacher_lacks_is_refused(tiny_recipe):
    recipe = mapped(tiny_recipe, {"speech": ("Speech", "Murmur")})
    with pytest.raises(ManifestError, match=r"event 'speech' maps to \['Murmur'\], which the teacher does not have"):
        teacher_columns(recipe, CLASSES)
