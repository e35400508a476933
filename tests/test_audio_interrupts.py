import signal
import sys
import threading

import pytest
from damaged import good

from compactcli.audio import open_audio
from compactcli.audio.decoding import _NamelessBytes
from compactcli.audio.interrupts import interrupts_kept
from compactcli.process import OWN_PROCESS

RATE = 16000


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
@pytest.mark.parametrize("method", ["readinto", "seek", "tell"])
def test_ctrl_c_inside_a_callback_ends_the_reading(suffix, method, tmp_path, monkeypatch, capfd):
    """At every call that the decoder makes, one after the other, until one that it does not come to."""
    path = tmp_path / f"a{suffix}"
    good(suffix)(path)
    real = getattr(_NamelessBytes, method)
    n_calls = 0

    def interrupted(self, *arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == at_call:
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments)

    monkeypatch.setattr(_NamelessBytes, method, interrupted)
    monkeypatch.setattr(OWN_PROCESS, "is_set", lambda: True)
    for at_call in (1, 2, 5, 12):
        n_calls = 0
        try:
            with open_audio(path, sample_rate=RATE) as reader:
                n_samples = sum(len(block) for block in reader)
        except KeyboardInterrupt:
            assert n_calls >= at_call
        else:
            assert n_calls < at_call
            assert (n_samples, reader.damage) == (5 * RATE, None)
    assert capfd.readouterr() == ("", "")


def test_other_errors_go_where_they_went():
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_value))
        before = sys.unraisablehook
        with interrupts_kept():
            assert sys.unraisablehook is not before
            lose(ValueError("lost"))
        assert sys.unraisablehook is before
        assert [str(error) for error in told] == ["lost"]
        with pytest.raises(SystemExit, match="7"), interrupts_kept():
            lose(SystemExit(7))
        assert sys.unraisablehook is before
        assert len(told) == 1


def lose(error):
    """Raise an error where nobody can catch it."""

    class Last:
        def __del__(self):
            raise error

    Last()


def test_other_threads_change_nothing():
    seen = []

    def look():
        before = sys.unraisablehook
        with interrupts_kept():
            seen.append(sys.unraisablehook is before)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [True]
