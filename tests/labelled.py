"""Frame scores and true events made in code, for tests of fitting."""

import numpy as np

from compactcli.events import Event, events_to_roll
from compactcli.judging import LabelledScores
from compactcli.scores import FrameScores
from compactcli.timing import FrameClock

CLOCK = FrameClock(sample_rate=16000, frame_length=640)


def label(name, *times):
    return tuple(Event(onset=onset, offset=offset, label=name) for onset, offset in times)


def heard(reference, levels, *, duration_s=20.0, noise=0.0, seed=0):
    """A recording whose scores follow its events.

    Args:
        reference: True events.
        levels: Score of each class inside and outside its events.
        duration_s: Length.
        noise: Standard deviation of what is added to the scores.
        seed: Of the noise.
    """
    edges_s = CLOCK.edges_s(round(duration_s * CLOCK.sample_rate))
    classes = tuple(levels)
    roll = events_to_roll(reference, edges_s=edges_s, classes=classes)
    inside, outside = np.array(list(levels.values())).T
    added = noise * np.random.default_rng(seed).standard_normal(roll.shape)
    scores = np.clip(np.where(roll, inside, outside) + added, 0, 1).astype(np.float32)
    return LabelledScores(
        scores=FrameScores(probabilities=scores, edges_s=edges_s, classes=classes), reference=tuple(reference)
    )


def random_events(generator, classes, *, n_events=3, duration_s=20.0):
    """Events of every class that do not touch others of theirs."""
    events = []
    for name in classes:
        times = np.sort(generator.choice(int(duration_s), 2 * n_events, replace=False)).reshape(n_events, 2)
        events += [Event(onset=float(onset), offset=float(offset), label=name) for onset, offset in times]
    return tuple(events)


def noisy(n_recordings, classes=("dog", "cat"), *, informed, seed=0):
    """Recordings whose scores know something of the events, or nothing."""
    generator = np.random.default_rng(seed)
    recordings = []
    for index in range(n_recordings):
        events = random_events(generator, classes)
        levels = dict.fromkeys(classes, (0.45, 0.3) if informed else (0.35, 0.35))
        recordings.append(heard(events, levels, noise=0.15, seed=1000 * seed + index))
    return recordings
