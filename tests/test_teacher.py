import dataclasses

import numpy as np
import pytest

from compactcli.datasets import TEST, TRAIN, Recording
from compactcli.errors import ManifestError
from compactcli.teacher import event_tags, teacher_columns

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


def test_columns_are_those_of_the_names(tiny_recipe):
    assert teacher_columns(mapped(tiny_recipe, MAPPING), CLASSES)["dog"] == [3, 5]


def test_an_unsure_event_needs_a_class_of_the_teacher(tiny_recipe):
    with pytest.raises(ManifestError, match=r"event 'speech' is listed as unsure but maps to no class of the teacher"):
        teacher_columns(mapped(tiny_recipe, {}), CLASSES)


def test_a_class_that_the_teacher_lacks_is_refused(tiny_recipe):
    recipe = mapped(tiny_recipe, {"speech": ("Speech", "Murmur")})
    with pytest.raises(ManifestError, match=r"event 'speech' maps to \['Murmur'\], which the teacher does not have"):
        teacher_columns(recipe, CLASSES)
