"""PSDS against values of sed_scores_eval 0.0.4, hand-computed cases, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compactcli.errors import ConfigError, ManifestError
from compactcli.events import Event
from compactcli.metrics.intersections import RecordingScores
from compactcli.metrics.psds import PSDS1, PSDS2, PsdsConfig, psds
from compactcli.scores import FrameScores

LENIENT = PsdsConfig(dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=1.0, alpha_st=0.0, max_efpr=2000.0)


def wavy_case(n_recordings, n_classes):
    """Recordings whose scores follow their events loosely, from sines and no random numbers."""
    classes = tuple("abcdefgh"[:n_classes])
    recordings = []
    for recording in range(n_recordings):
        n_frames = 100 + 37 * recording % 150
        frames = np.arange(n_frames)
        logits = np.empty((n_frames, n_classes))
        events = []
        for column in range(n_classes):
            logits[:, column] = (
                0.7 * np.sin(0.31 * frames + 2.1 * column + recording)
                + 0.6 * np.sin(0.05 * frames * (column + 1) + recording**2)
                - 2.0
            )
        for column, name in enumerate(classes):
            onset = 0.3137 + 1.7 * ((recording + column) % 3)
            while onset + 0.5 < n_frames * 0.04:
                duration = 0.4219 + 0.61 * ((recording * 3 + len(events)) % 4)
                offset = min(onset + duration, n_frames * 0.04)
                events.append(Event(onset=onset, offset=offset, label=name))
                sounds = (frames * 0.04 >= onset) & (frames * 0.04 < offset)
                logits[sounds, column] += 1.7 * ((recording + len(events)) % 4)
                logits[sounds, (column + 1) % n_classes] += 0.8 * (len(events) % 3)
                onset = offset + 0.9173 + 1.1 * ((recording + len(events)) % 5)
        scores = np.round(1 / (1 + np.exp(-logits)), 3).astype(np.float32)
        frame_scores = FrameScores(probabilities=scores, edges_s=np.arange(n_frames + 1) * 0.04, classes=classes)
        recordings.append(RecordingScores(scores=frame_scores, reference=events))
    return recordings


def scored(columns, events, *, frame_s=1.0):
    """One recording from the scores of each class."""
    probabilities = np.array(list(columns.values()), dtype=np.float32).T
    edges_s = np.arange(len(probabilities) + 1) * frame_s
    return RecordingScores(
        scores=FrameScores(probabilities=probabilities, edges_s=edges_s, classes=tuple(columns)), reference=events
    )


def event(onset, offset, label="dog"):
    return Event(onset=onset, offset=offset, label=label)


def blips(peaks, n_frames=360):
    """Scores of 0.01 with single frames that are higher."""
    scores = np.full(n_frames, 0.01)
    for frame, value in peaks.items():
        scores[frame] = value
    return scores


# (recordings, classes), settings, score, score per class
GOLDEN = [
    ((6, 1), PSDS1, 0.9000000000, [0.9]),
    ((8, 3), PSDS1, 0.2495547919, [0.2857142857, 0.6363636364, 0.3076923077]),
    ((8, 3), PSDS2, 0.5263819167, [1.0, 0.6363636364, 0.5384615385]),
    ((8, 3), LENIENT, 0.6113328285, [0.6130853153, 0.6363636364, 0.5845495338]),
    ((12, 5), PSDS1, 0.3667328243, [0.35, 0.5555555556, 0.3579831933, 0.5, 0.4761904762]),
    ((12, 5), PSDS2, 0.4952038880, [0.6869584808, 0.5555555556, 0.5352161946, 1.0, 0.619047619]),
    ((12, 5), LENIENT, 0.5969613757, [0.65026953, 0.5555555556, 0.587851346, 0.5396029354, 0.6515275117]),
]


@pytest.mark.parametrize(("shape", "config", "value", "per_class"), GOLDEN)
def test_as_sed_scores_eval(shape, config, value, per_class):
    found = psds(wavy_case(*shape), config)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert list(found.per_class.values()) == pytest.approx(per_class, abs=1e-9)


def test_who_knows_everything_gets_1():
    sounds = [0.0] * 5 + [0.9] * 3 + [0.0] * 2
    recording = scored({"dog": sounds, "cat": sounds[::-1]}, [event(5, 8), event(2, 5, "cat")])
    for config in (PSDS1, PSDS2):
        found = psds([recording, recording], config)
        assert (found.value, found.per_class) == (1.0, {"dog": 1.0, "cat": 1.0})


def test_silence_gets_0():
    assert psds([scored({"dog": [0.0] * 10}, [event(5, 8)])], PSDS1).value == 0.0


def test_false_alarms_before_the_event_cost_their_rate():
    # four false alarms in a tenth of an hour come before the event: the curve rises at 40 of 100 an hour
    scores = blips({10: 0.9, 30: 0.9, 50: 0.8, 70: 0.7, 200: 0.5, 300: 0.4})
    assert psds([scored({"dog": scores}, [event(200, 201)])], PSDS1).value == pytest.approx(0.6)
    assert psds([scored({"dog": scores}, [event(300, 301)])], PSDS1).value == pytest.approx(0.5)


def test_recordings_pass_a_threshold_together():
    right = scored({"dog": blips({200: 0.5}, 180 + 180)}, [event(200, 201)])
    wrong = scored({"dog": blips({10: 0.5, 20: 0.5}, 360)}, [])
    # both false alarms, in a fifth of an hour, come with the event: 10 of 100
    assert psds([right, wrong], PSDS1).value == pytest.approx(0.9)
    assert psds([wrong, right], PSDS1).value == pytest.approx(0.9)


def test_beyond_the_largest_rate_nothing_counts():
    scores = blips({**{2 * blip: 0.9 for blip in range(11)}, 200: 0.5})
    assert psds([scored({"dog": scores}, [event(200, 201)])], PSDS1).value == 0.0


def test_spread_between_classes_is_taken_off():
    recording = scored({"dog": blips({5: 0.9}), "cat": blips({5: 0.9})}, [event(5, 6), event(40, 41, "cat")])
    assert psds([recording], PSDS1).value == 0.0  # mean 0.5, standard deviation 0.5
    unpunished = PsdsConfig(dtc=0.7, gtc=0.7, alpha_st=0.0)
    found = psds([recording], unpunished)
    assert (found.value, found.per_class) == (pytest.approx(0.5), {"dog": 1.0, "cat": 0.0})


def test_the_mean_over_classes_is_the_score_without_spread():
    recordings = wavy_case(8, 3)
    for config in (PSDS1, PSDS2):
        unpunished = PsdsConfig(dtc=config.dtc, gtc=config.gtc, cttc=0.3, alpha_ct=config.alpha_ct, alpha_st=0.0)
        assert psds(recordings, config).class_mean == pytest.approx(psds(recordings, unpunished).value, abs=1e-12)


def test_a_false_alarm_inside_another_class_costs_more():
    columns = {"dog": blips({100: 0.9, 200: 0.5}), "cat": blips(dict.fromkeys(range(90, 126), 0.9))}
    recording = scored(columns, [event(200, 201), event(90, 126, "cat")])
    # 1 false alarm in 0.1 h, and half of 1 cross trigger in the 0.01 h of the other class: 10 + 50 an hour
    config = PsdsConfig(dtc=0.7, gtc=0.7, cttc=0.3, alpha_ct=0.5)
    assert psds([recording], config).per_class == {"dog": pytest.approx(0.4), "cat": 1.0}
    assert psds([recording], PSDS1).per_class == {"dog": pytest.approx(0.9), "cat": 1.0}


def test_a_detection_at_the_edge_of_a_criterion_meets_it():
    # 0.7 * 0.3 s is not 0.21 s in float64
    scores = [0.0] + [0.9] * 30 + [0.0] * 9
    assert psds([scored({"dog": scores}, [event(0.1, 0.31)], frame_s=0.01)], PSDS1).value == pytest.approx(1.0)
    assert psds([scored({"dog": scores}, [event(0.1, 0.30)], frame_s=0.01)], PSDS1).value == 0.0


def test_found_by_pieces_together():
    columns = {"dog": [0.0, 0.9, 0.9, 0.1, 0.9, 0.9, 0.0, 0.0]}
    assert psds([scored(columns, [event(1, 6)])], PSDS1).value == pytest.approx(1.0)


def test_classes_without_events_have_no_say():
    recording = scored({"dog": blips({5: 0.9}), "cat": blips({7: 0.9})}, [event(5, 6)])
    found = psds([recording], PSDS2)
    assert (found.value, found.per_class) == (1.0, {"dog": 1.0})


def test_without_any_event_or_frame_the_score_is_0():
    found = psds([scored({"dog": [0.5, 0.6]}, [])], PSDS1)
    assert (found.value, found.class_mean, found.per_class) == (0.0, 0.0, {})
    empty = FrameScores(probabilities=np.zeros((0, 1), np.float32), edges_s=np.zeros(1), classes=("dog",))
    assert psds([RecordingScores(scores=empty, reference=[event(0, 1)])], PSDS1).value == 0.0


@given(st.floats(0.2, 5.0), st.permutations(range(4)))
def test_only_the_order_of_scores_matters(power, order):
    recordings = wavy_case(4, 2)
    bent = [
        RecordingScores(
            scores=FrameScores(
                probabilities=np.power(recordings[index].scores.probabilities.astype(np.float64), power),
                edges_s=recordings[index].scores.edges_s,
                classes=("a", "b"),
            ),
            reference=recordings[index].reference,
        )
        for index in order
    ]
    for config in (PSDS1, PSDS2):
        assert psds(bent, config).value == pytest.approx(psds(recordings, config).value, abs=1e-12)


@given(st.lists(st.integers(0, 9), min_size=20, max_size=20), st.lists(st.integers(0, 9), min_size=20, max_size=20))
def test_the_score_is_a_share(first, second):
    columns = {"dog": np.array(first) / 10, "cat": np.array(second) / 10}
    recording = scored(columns, [event(2, 5), event(7.5, 11), event(3, 8, "cat")])
    for config in (PSDS1, PSDS2, LENIENT):
        found = psds([recording], config)
        assert 0 <= found.value <= 1
        assert all(0 <= value <= 1 for value in found.per_class.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtc": 0.0}, r"dtc is 0.0, expected a share above 0 and at most 1"),
        ({"gtc": 1.5}, r"gtc is 1.5, expected a share"),
        ({"cttc": -1.0}, r"cttc is -1.0, expected a share"),
        ({"alpha_ct": -0.1}, r"alpha_ct is -0.1, expected a number, 0 or more"),
        ({"alpha_st": float("nan")}, r"alpha_st is nan, expected a number"),
        ({"max_efpr": 0.0}, r"max_efpr is 0.0, expected false alarms an hour, above 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        PsdsConfig(**{"dtc": 0.5, "gtc": 0.5, **wrong})


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ConfigError, match=r"there are no recordings to score, expected at least one"):
        psds([], PSDS1)
    with pytest.raises(ConfigError, match=r"a recording has scores of \['cat'\], expected \['dog'\] as the first"):
        psds([scored({"dog": [0.5]}, []), scored({"cat": [0.5]}, [])], PSDS1)
    with pytest.raises(ManifestError, match=r"event label 'cow' is not one of the 1 classes expected"):
        psds([scored({"dog": [0.5]}, [event(0, 1, "cow")])], PSDS1)
    with pytest.raises(ManifestError, match=r"two events 'dog' overlap at 0.500 s, expected one after the other"):
        psds([scored({"dog": [0.5] * 3}, [event(0, 1), event(0.5, 2)])], PSDS1)
