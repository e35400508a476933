import numpy as np
from fake_engine import CONFIG, FakeEngine

from compactcli.calibration import event_probabilities
from compactcli.cli.hearing import cut_events, hear_labelled
from compactcli.cli.inputs import collect_inputs
from compactcli.events import Event


def test_scores_are_those_of_the_whole_recording(write_recording, noise, tone):
    path = write_recording("a.wav", np.concatenate([tone(3.0), noise(2.51, level=0.01)]))
    events = {path: (Event(onset=0.0, offset=3.0, label="loud"), Event(onset=3.0, offset=9.0, label="any"))}
    shown = []
    heard = hear_labelled(
        collect_inputs([path], recursive=True), events, FakeEngine(), show=lambda *done: shown.append(done)
    )
    [item] = heard.recordings
    # "faint" is in no reference
    assert item.scores.classes == ("loud", "any")
    np.testing.assert_array_equal(item.scores.edges_s, CONFIG.clock.edges_s(round(5.51 * 16000)))
    sure, unsure = event_probabilities(np.array([[4.0], [-4.0]], np.float32), CONFIG.calibration)[:, 0]
    np.testing.assert_array_equal(item.scores.probabilities[:, 0], np.where(np.arange(138) < 75, sure, unsure))
    # what the label says of the time after the end is cut
    assert item.reference == (events[path][0], Event(onset=3.0, offset=5.51, label="any"))
    assert (heard.n_late, dict(heard.failures), dict(heard.damages)) == (0, {}, {})
    assert heard.duration_s == 5.51
    assert shown == [(0, 1), (1, 1)]


def test_what_cannot_be_heard_does_not_stop_the_others(write_tone, tmp_path):
    good, cut, bad, gone = write_tone("a.wav"), write_tone("b.wav", 2.0), tmp_path / "c.wav", tmp_path / "d.wav"
    bad.write_text("no audio")
    cut.write_bytes(cut.read_bytes()[: 44 + 2 * 16000])
    (tmp_path / "empty").mkdir()
    times = ((0.0, 0.5), (1.5, 1.8))
    events = {
        path: tuple(Event(onset=onset, offset=offset, label="loud") for onset, offset in times)
        for path in (good, cut, bad, gone)
    }
    inputs = collect_inputs([good, cut, bad, gone, tmp_path / "empty"], recursive=True)
    heard = hear_labelled(inputs, events, FakeEngine(), show=lambda done, total: None)
    assert [item.reference for item in heard.recordings] == [events[good][:1]] * 2
    assert heard.n_late == 2
    assert {path: error.code for path, error in heard.failures.items()} == {
        bad: "not-audio",
        gone: "missing",
        tmp_path / "empty": "no-audio",
    }
    assert list(heard.damages) == [cut]
    assert "before its audio does" in heard.damages[cut]


def test_labels_at_the_end():
    event = Event(onset=1.0, offset=2.0, label="dog")
    assert cut_events([event], 2.0) == (event,)
    assert cut_events([event], 1.0) == ()
