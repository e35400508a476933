import signal
import threading

import pytest

from compactcli.cli.stopping import StoppedError, sigterm_stops


@pytest.fixture(autouse=True)
def default_handling():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_sigterm_raises_once():
    with pytest.raises(StoppedError) as caught, sigterm_stops():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)  # as ``timeout`` does, while the first is being dealt with
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    assert (caught.value.code, caught.value.message) == (143, "stopped by SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_who_handles_sigterm_already_goes_on_doing_so():
    came = []
    signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    with sigterm_stops():
        signal.raise_signal(signal.SIGTERM)
    assert came == [1]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with sigterm_stops():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_other_threads_change_nothing():
    seen = []

    def look():
        with sigterm_stops():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_commands_end_with_their_own_exit_code(run_compact, write_tone, monkeypatch):
    def stop(*_arguments, **_options):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("compactcli.inference.load_model", stop)
    assert run_compact("classify", write_tone()) == (143, "", "stopped by SIGTERM\n")
