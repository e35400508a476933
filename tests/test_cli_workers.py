import contextlib
import errno
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compactcli.cli import workers

TESTS = Path(__file__).parent


@pytest.fixture
def start(tmp_path):
    """Start ``compact`` with the fake engine in a process of its own, with its results in pipes."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "TMPDIR": str(tmp_path)}
    environment.pop("OMP_NUM_THREADS", None)
    started = []

    def run(*words, before=(), stdin=subprocess.DEVNULL):
        command = [*before, sys.executable, "-W", "error", TESTS / "fake_compact.py", *map(str, words)]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        # what it started holds its pipes as well
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def run(start):
    def finish(*words):
        process = start(*words)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return finish


def codes(out):
    records = [json.loads(line) for line in out.splitlines()]
    return [(record["path"].rpartition("/")[2], record["error"] and record["error"]["code"]) for record in records]


def test_the_batch_size_reaches_the_workers(run, write_tone):
    words = ["--device", "batch", "--batch-size", 4, write_tone("a.wav"), write_tone("b.wav")]
    _, _, err = run("classify", "-v", *words, "--jobs", 2)
    assert err.startswith("model fake, version 1, on 4 with fake\n")


def test_two_workers_write_the_same_bytes_as_none(run, run_compact, write_tone, tmp_path, monkeypatch):
    for number in range(9):
        write_tone(f"in/{number}.wav", 0.1 + 0.3 * (number % 3), level=(0.0, 0.1, 0.5)[number % 3])
    (tmp_path / "in/5-notes.txt").write_text("notes\n" * 99)
    monkeypatch.chdir(tmp_path)
    expected = run_compact("detect", "in", "--quiet")
    for _ in range(2):
        assert run("detect", "in", "--quiet", "--jobs", 2) == expected


def test_a_recording_that_kills_or_holds_up_its_process_stops_no_other(run, write_tone):
    for name in ("a", "exit", "hang", "kill", "z"):
        write_tone(f"in/{name}.wav")
    code, out, err = run("classify", "in", "--jobs", 2, "--timeout", 5, "--failures", "failed.txt")
    assert code == 1
    assert codes(out) == [
        ("a.wav", None),
        ("exit.wav", "crashed"),
        ("hang.wav", "timeout"),
        ("kill.wav", "crashed"),
        ("z.wav", None),
    ]
    assert "in/kill.wav ended the process that analysed it (signal SIGKILL), expected a result" in err
    assert "in/exit.wav ended the process that analysed it (exit code 3), expected a result" in err
    assert "in/hang.wav took longer than 5 s, expected at most that" in err
    assert "5 files: 2 ok, 0 partial, 3 failed, 0 skipped" in err


def test_a_timeout_may_be_longer_than_any_system_waits(run, write_tone):
    code, out, err = run("classify", write_tone("a.wav"), "--timeout", 1e300)
    assert (code, codes(out), err) == (0, [("a.wav", None)], "")


def test_the_last_recording_may_kill_the_only_worker(run, write_tone):
    code, out, err = run("classify", write_tone("kill.wav"), "--timeout", 60)
    assert (code, codes(out)) == (1, [("kill.wav", "crashed")])
    assert "hint: convert it to FLAC or WAV; if memory ran out, use fewer --jobs" in err


def test_a_bug_in_a_worker_is_a_bug(run, write_tone):
    code, out, err = run("classify", "--jobs", 2, write_tone("bug.wav"), write_tone("b.wav"))
    assert (code, out) == (70, "")
    assert err.startswith("error: this is a bug in compact: WorkerBugError: TypeError: no such thing (in a worker")
    code, _, err = run("classify", "--jobs", 2, "--verbose", write_tone("bug.wav"), write_tone("b.wav"))
    assert code == 70
    assert 'raise TypeError("no such thing")' in err


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        (["--model", "missing"], "error: model 'missing' was not found\nhint: look for it\n", 2),
        (["--classes", "hiss"], "error: 'hiss' is not an event class of the model fake", 2),
        (["--model", "deadly"], "error: a worker process ended while it loaded the model (signal SIGKILL)", 1),
    ],
)
def test_what_is_wrong_before_the_work_ends_the_run(words, message, expected, run, write_tone):
    code, out, err = run("detect", "--jobs", 2, write_tone("a.wav"), write_tone("b.wav"), *words)
    assert (code, out) == (expected, "")
    assert err.startswith(message)


def test_the_system_may_allow_no_more_processes(run_compact, write_tone, monkeypatch):
    def refuse(_process):
        raise BlockingIOError(errno.EAGAIN, "not now")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    code, out, err = run_compact("classify", write_tone(), "--timeout", 20)
    assert (code, out) == (1, "")
    assert err == (
        "error: a worker process cannot be started (Resource temporarily unavailable), expected the system to allow "
        "one more\nhint: use fewer --jobs\n"
    )


@pytest.mark.parametrize("may_enter", [True, False])
def test_processes_need_a_folder_to_start_in(may_enter, run_compact, write_tone, tmp_path, monkeypatch):
    path = write_tone()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("os.access", lambda place, mode: may_enter)
    if may_enter:
        (tmp_path / "here").rmdir()
    for word in ("--jobs", "--timeout"):
        code, out, err = run_compact("classify", path, word, 20)
        assert (code, out) == (2, "")
        assert "error: the current folder was removed or may not be entered, expected one that processes can" in err


INTERRUPTED = "interrupted after 1 of 3 recordings; --resume goes on with them\n"
STOPPED = "stopped by SIGTERM after 1 of 3 recordings; --resume goes on with them\n"
HUNG_UP = STOPPED.replace("SIGTERM", "SIGHUP")


@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize(
    ("number", "message"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, STOPPED), (signal.SIGHUP, HUNG_UP)]
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_signals_end_all_processes_and_what_is_done_stays(
    jobs, number, message, send, start, run, write_tone, tmp_path
):
    for name in ("a", "hang1", "hang2"):
        write_tone(f"in/{name}.wav")
    process = start("classify", "in", "--jobs", jobs, "--output", "out.jsonl")
    journal = tmp_path / ".out.jsonl.compact-journal"
    # two lines: the first recording is done, the command or its workers are at the others
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 2)
    assert len(living(process.pid)) >= jobs
    send(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (-number, "", message)
    assert sorted(path.name for path in tmp_path.iterdir()) == [journal.name, "in"]
    wait_until(lambda: not living(process.pid))
    for name in ("hang1", "hang2"):
        (tmp_path / f"in/{name}.wav").unlink()
    code, _, err = run("classify", "in", "--output", "out.jsonl", "--resume", "--quiet")
    assert (code, err) == (0, "")
    assert codes((tmp_path / "out.jsonl").read_text()) == [("a.wav", None)]


@pytest.mark.parametrize("words", [["--output-dir", "out"], ["--jobs", 2], []])
def test_sigterm_leaves_what_is_written(words, start, write_tone, tmp_path):
    for name in ("a", "hang1", "hang2"):
        write_tone(f"in/{name}.wav")
    process = start("classify", "in", *words)
    result = tmp_path / "out/a.wav.jsonl"
    if "--output-dir" in words:
        wait_until(result.exists)
        written = result.read_text()
    else:
        written = process.stdout.readline()
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert err == (STOPPED if "--output-dir" in words else "stopped by SIGTERM after 1 of 3 recordings\n")
    assert codes(written) == [("a.wav", None)]
    wait_until(lambda: not living(process.pid))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_an_interrupt_ends_the_loop_of_a_shell_too(start, write_tone, tmp_path):
    for name in ("hang1", "hang2"):
        write_tone(f"in/{name}.wav")
    loop = 'for file in in/*.wav; do "$@" "$file" --output "$file.csv"; echo "went on after $?"; done'
    process = start("classify", before=["bash", "-c", loop, "bash"])
    wait_until(lambda: any(tmp_path.glob("in/.compact-*.part")))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert "Traceback" not in err


def test_a_terminal_goes_away(write_tone, tmp_path):
    """With the bar on it that shows how far the run is."""
    for name in ("a", "hang1", "hang2"):
        write_tone(f"in/{name}.wav")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, TESTS / "fake_compact.py", "classify", "in", "--output", "out.jsonl"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent), "TERM": "xterm"},
        preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509  # no other thread runs here
    )
    try:
        os.close(slave)
        journal = tmp_path / ".out.jsonl.compact-journal"
        wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 2)
        assert b"files" in os.read(master, 4096)
        os.close(master)
        assert process.wait(timeout=60) == -signal.SIGHUP
    finally:
        process.kill()
        process.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == [journal.name, "in"]


def test_sigterm_may_come_while_nothing_is_done(start, tmp_path):
    """A recording on standard input that never ends."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w"):
        process = start("classify", "-", stdin=reading)
        wait_until(lambda: any(tmp_path.glob("compact-*/recording")))
        # Python does not see what comes between its last look and the system call that waits
        time.sleep(0.3)
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (-signal.SIGTERM, "", "stopped by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def living(group):
    """Processes of a group, without those that have ended and wait for somebody to ask."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and line.split()[1][0] != "Z"]


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def test_workers_share_the_processors(run, write_tone):
    n_cores = len(os.sched_getaffinity(0))
    code, _, err = run("classify", "--jobs", 2, "-v", "--device", "threads", write_tone("a.wav"), write_tone("b.wav"))
    assert code == 0
    assert err.startswith(f"model fake, version 1, on cpu '{max(1, n_cores // 2)}' with fake\n")
    code, _, err = run("classify", "-v", "--device", "threads", write_tone("a.wav"))
    assert err.startswith("model fake, version 1, on cpu '' with fake\n")


def test_only_so_many_results_wait_for_a_slow_recording(run_compact, write_tone, monkeypatch):
    """With one worker, which is handed one recording at a time, the window shows in what is handed out."""
    from fake_engine import FakeTask

    from compactcli.cli.inputs import Input

    monkeypatch.setattr(workers, "LOOK_AHEAD", 2)
    path = write_tone()
    inputs = [Input(path=path, n_bytes=number) for number in range(5)]
    done = []
    with workers.WorkerPool(FakeTask(), n_workers=2, timeout_s=None, n_threads=1) as pool:
        for n_out, _ in enumerate(
            pool.outcomes(inputs, on_done=lambda item, _: done.append(item.n_bytes), on_progress=lambda *_: None)
        ):
            assert len(done) <= n_out + 2
    assert sorted(done) == list(range(5))


def test_asking_too_early():
    pool = workers.WorkerPool(None, n_workers=1, timeout_s=None, n_threads=1)
    with pytest.raises(workers.WorkerBugError, match="no worker process has been started"):
        pool.facts.name  # noqa: B018 - the property is what is tested
