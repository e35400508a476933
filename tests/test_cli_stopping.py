import signal
import subprocess
import sys
import threading

import pytest

from compactcli.cli.stopping import StoppedError, signals_stop


@pytest.fixture(autouse=True)
def default_handling():
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGHUP, 129, "stopped by SIGHUP")],
)
def test_signals_raise_once(number, code, message):
    with pytest.raises(StoppedError) as caught, signals_stop():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # as ``timeout`` does, while the first is being dealt with
            assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert (caught.value.code, caught.value.message) == (code, message)
    assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_who_handles_sigterm_already_goes_on_doing_so():
    came = []
    signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    with signals_stop():
        signal.raise_signal(signal.SIGTERM)
    assert came == [1]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with signals_stop():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_nohup_keeps_its_promise_and_sigterm_still_stops():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with pytest.raises(StoppedError, match="143"), signals_stop():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_threads_change_nothing():
    seen = []

    def look():
        with signals_stop():
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


def run_code(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("code", "ended"),
    [(0, 0), (1, 1), (70, 70), (141, 141), (130, -signal.SIGINT), (143, -signal.SIGTERM), (129, -signal.SIGHUP)],
)
def test_what_a_signal_stopped_ends_by_that_signal(code, ended):
    words = "import sys; sys.stdout.write('kept'); sys.stderr = None"
    result = run_code(f"{words}; from compactcli.cli.stopping import end_process; end_process({code})")
    assert (result.returncode, result.stdout, result.stderr) == (ended, "kept", "")


def test_what_no_signal_can_end_has_the_exit_code_of_one():
    result = run_code(
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
        "from compactcli.cli.stopping import end_process; end_process(143)"
    )
    assert (result.returncode, result.stderr) == (143, "")


def test_interrupts_may_come_while_modules_are_loaded():
    result = run_code(
        """if True:
        import builtins
        from compactcli.__main__ import run
        load = builtins.__import__
        def interrupted(name, *arguments):
            if name == "compactcli.cli.app":
                raise KeyboardInterrupt
            return load(name, *arguments)
        builtins.__import__ = interrupted
        run()
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")
