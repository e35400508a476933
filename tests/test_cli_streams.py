import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compactcli.cli.streams import fill_closed_streams

TESTS = Path(__file__).parent
UNWRITABLE = (
    "error: standard output cannot be written (Bad file descriptor), expected room and the right to write\n"
    "hint: make room, or choose another place\n"
)


@pytest.fixture
def run_closed(tmp_path):
    """Run ``compact`` with the fake engine and standard streams closed, as ``<&- >&-`` does: exit code and output."""

    def run(closed, *words):
        code = f"""if True:
            import os, sys
            for descriptor in {closed}:
                os.close(descriptor)
            os.execv(sys.executable, [sys.executable, "-W", "error", *sys.argv[1:]])
        """
        result = subprocess.run(
            [sys.executable, "-c", code, str(TESTS / "fake_compact.py"), *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return result.returncode, result.stdout, result.stderr

    return run


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_do_not_depend_on_closed_streams(jobs, run_closed, write_tone, tmp_path):
    for name in ("a.wav", "b.mp3"):
        write_tone(f"in/{name}")
    words = ["classify", "in", "--jobs", jobs, "--quiet"]
    code, out, err = run_closed([0, 2], *words)
    assert (code, err) == (0, "")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["ok", "ok"]
    assert run_closed([0, 1, 2], *words, "--output", "out.jsonl") == (0, "", "")
    assert (tmp_path / "out.jsonl").read_text() == out


def test_a_closed_output_is_no_success(run_closed, write_tone):
    assert run_closed([1], "classify", write_tone()) == (1, "", UNWRITABLE)


def test_a_closed_input_is_a_wrong_request(run_closed):
    code, out, err = run_closed([0], "detect", "-")
    assert (code, out) == (2, "")
    assert err.startswith("error: standard input is closed, expected a recording, which - stands for\n")


@pytest.mark.parametrize("stdin", [sys.stdin, None])
def test_nothing_is_opened_where_nothing_is_closed(stdin, monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin)
    before = lowest_free()
    fill_closed_streams()
    assert lowest_free() == before


def lowest_free():
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor
