"""A folder in which every tenth recording or so is bad, each in its own way: nothing is lost, and bytes repeat."""

import json
import shutil

import pytest
from damaged import CASES, good
from own_process import TESTS, run_python

# good recordings between the cases, so that workers overtake each other everywhere
GOOD = (".wav", ".flac", ".ogg", ".mp3")
N_GOOD = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every case of the table between good recordings; links and copies cost nothing to make."""
    folder = tmp_path_factory.mktemp("many") / "in"
    folder.mkdir()
    for suffix in GOOD:
        good(suffix)(folder / f"000{suffix}")
    for number in range(len(GOOD), N_GOOD):
        suffix = GOOD[number % len(GOOD)]
        shutil.copyfile(folder / f"000{suffix}", folder / f"{number:03d}{suffix}")
    for number, case in enumerate(CASES):
        (folder / f"{number:03d}-case").mkdir()
        case.make(folder / f"{number:03d}-case" / case.name)
    return folder


def expected(folder):
    """Status and error code of each recording by its path in the folder, in the order of the command line."""
    rows = {f"{number:03d}-case/{case.name}": (case.status, case.code) for number, case in enumerate(CASES)}
    rows |= {path.name: ("ok", None) for path in folder.iterdir() if path.is_file()}
    order = sorted(rows, key=lambda name: ("missing" in name, name.split("/")))
    return {name: rows[name] for name in order}


@pytest.fixture(scope="module")
def runs(folder):
    """The same command with one and with two jobs, twice each: exit code, output and what was said."""

    def run(jobs):
        listed = folder.parent / f"failed-{jobs}"
        [missing] = [path / "missing.wav" for path in folder.iterdir() if path.is_dir() and not any(path.iterdir())]
        words = ["detect", folder, missing, "--jobs", jobs, "--failures", listed, "--overwrite"]
        result = run_python(TESTS / "fake_compact.py", *words, limit_s=300)
        return result.returncode, result.stdout, result.stderr.decode(), listed.read_bytes()

    return {(jobs, turn): run(jobs) for turn in range(2) for jobs in (1, 2)}


def test_every_bad_recording_has_its_record_and_no_good_one_is_lost(runs, folder):
    code, out, err, failed = runs[1, 0]
    records = [json.loads(line) for line in out.splitlines()]
    found = {
        record["path"].removeprefix(f"{folder}/"): (record["status"], record["error"] and record["error"]["code"])
        for record in records
    }
    rows = expected(folder)
    assert found == rows
    assert [*found] == [*rows]
    statuses = [status for status, _ in rows.values()]
    counts = {status: statuses.count(status) for status in ("ok", "partial", "error")}
    assert min(counts.values()) >= 12
    assert code == 1
    summary = f"{len(rows)} files: {counts['ok']} ok, {counts['partial']} partial, {counts['error']} failed, 0 skipped"
    assert err.splitlines()[-1].startswith(summary)
    errors = [name for name in found if rows[name][0] == "error"]
    assert failed.decode().splitlines() == [f"{folder}/{name}" for name in errors]


def test_bytes_depend_neither_on_jobs_nor_on_luck(runs):
    code, out, _, failed = runs[1, 0]
    for run in runs.values():
        assert (run[0], run[3]) == (code, failed)
        assert run[1] == out
