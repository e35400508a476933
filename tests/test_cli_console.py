import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compactcli.cli.console import say, say_error, stdout_is_terminal
from compactcli.errors import CompactError

TESTS = Path(__file__).parent


@pytest.fixture
def run_with_stderr(tmp_path):
    """Run ``compact`` with the fake engine and its talk sent somewhere: exit code and results."""

    def run(stderr, *words):
        result = subprocess.run(
            [sys.executable, "-W", "error", TESTS / "fake_compact.py", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
            timeout=120,
        )
        return result.returncode, result.stdout

    return run


@pytest.fixture(params=["full disk", "nobody"])
def deaf(request):
    """Standard error that takes nothing: a file on a full disk, or a pipe whose reader has gone."""
    if request.param == "full disk":
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with Path("/dev/full").open("w") as file:
            yield file
        return
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as file:
        yield file


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_whole_where_talk_cannot(jobs, deaf, run_with_stderr, write_tone, tmp_path):
    for name in ("a.wav", "b.wav"):
        write_tone(f"in/{name}")
    # a summary at the end, and for the second run an error at the beginning
    code, out = run_with_stderr(deaf, "classify", "in", "--jobs", jobs)
    assert (code, [json.loads(line)["status"] for line in out.splitlines()]) == (0, ["ok", "ok"])
    code, out = run_with_stderr(deaf, "classify", "gone.wav", "in", "--jobs", jobs)
    assert (code, [json.loads(line)["status"] for line in out.splitlines()]) == (1, ["error", "ok", "ok"])


def test_talk_without_a_descriptor(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    say("hello")
    say_error(CompactError("it is wrong", hint="mend it"))


def test_there_may_be_no_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    say("hello")
    assert not stdout_is_terminal()


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["models"], ["detect", "--help"]])
def test_a_full_disk_is_no_bug(words):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-W", "error", "-m", "compactcli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.startswith("error: standard output cannot be written (No space left on device), expected room")
