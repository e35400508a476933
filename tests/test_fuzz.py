"""Mutated recordings through the command line: no crash, no hang, no traceback, no record missing.

The cases run in groups, each in a process of its own with a limit, so that a crash inside a decoder fails a test too
and is told with the file that caused it, which stays in pytest's temporary folder. A larger run by hand, with its
figures printed, takes ten minutes::

    COMPACT_FUZZ_CASES=100000 COMPACT_FUZZ_SEED=7 python -m pytest tests/test_fuzz.py -s
"""

import collections
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzzing import MUTATIONS, SOURCES, change_number, make_case, make_sources, mend_ogg, ogg_pages
from hypothesis import given
from hypothesis import strategies as st
from own_process import run_python

from compactcli.audio import read_audio

RATE = 16000
N_CASES = int(os.environ.get("COMPACT_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("COMPACT_FUZZ_SEED", "1"))
N_GROUP = 200
# a group takes a few seconds; this is for a machine that does much else
GROUP_LIMIT_S = 300
KEYS = {"schema", "path", "status", "error", "duration", "sample_rate", "model", "model_version"}


def run_group(folder, first, last):
    """Analyse the cases of one group in a child; its exit code, its standard error and its records."""
    try:
        result = run_python("-m", "fuzzing", folder, SEED, first, last, limit_s=GROUP_LIMIT_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"seed {SEED} hangs at {at_work(folder)}")
    if result.returncode not in (0, 1):
        pytest.fail(f"seed {SEED} ends with {result.returncode} at {at_work(folder)}: {result.stderr[-2000:]!r}")
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return result.returncode, result.stderr.decode(), [json.loads(line) for line in lines]


def at_work(folder):
    now = folder / "now"
    return folder / "cases" / now.read_text(encoding="utf-8") if now.exists() else "its start"


def check_record(record):
    assert record.keys() >= KEYS
    assert record["status"] in ("ok", "partial", "error")
    assert (record["error"] is None) == (record["status"] == "ok")
    if record["error"] is not None:
        assert re.fullmatch("[a-z]+(-[a-z]+)*", record["error"]["code"])
        assert record["error"]["message"].isprintable()
    if record["status"] == "error":
        assert (record["duration"], record.get("events"), record.get("scenes")) == (None, None, None)
        return
    assert record["duration"] >= 0
    assert 1000 <= record["sample_rate"] <= 768_000
    assert len(record["scenes"]) == 3
    assert all(0 <= event["onset"] < event["offset"] <= record["duration"] for event in record["events"])


@pytest.mark.parametrize("first", range(0, N_CASES, N_GROUP))
def test_no_mutated_recording_does_more_than_fail(first, tmp_path, capfd):
    last = min(N_CASES, first + N_GROUP)
    code, err, records = run_group(tmp_path, first, last)

    expected = sorted(path.name for path in (tmp_path / "cases").iterdir())
    assert [Path(record["path"]).name for record in records] == expected
    assert len(expected) == last - first
    for record in records:
        check_record(record)
    outcomes = collections.Counter(record["status"] for record in records)
    assert code == (1 if outcomes["error"] else 0)
    assert err == ""
    if "COMPACT_FUZZ_CASES" in os.environ:
        with capfd.disabled():
            codes = collections.Counter((record["error"] or {}).get("code", "ok") for record in records)
            sys.stdout.write(f"cases {first} to {last - 1} of seed {SEED}: {dict(codes.most_common())}\n")
    if last - first == N_GROUP:
        # mutations that only ever leave whole files, or none that decode, would test nothing
        assert min(outcomes["ok"], outcomes["partial"], outcomes["error"]) >= N_GROUP // 20


@pytest.fixture(scope="module")
def sources():
    return make_sources()


@pytest.mark.parametrize(("name", "duration_s"), [source[:2] for source in SOURCES], ids=[row[0] for row in SOURCES])
def test_what_is_mutated_was_healthy(name, duration_s, sources, tmp_path):
    path = tmp_path / name
    path.write_bytes(sources[name])
    waveform = read_audio(path, sample_rate=RATE)
    # block codecs fill their last block
    assert 0 <= len(waveform) - duration_s * RATE < 1024
    assert 0.2 < np.abs(waveform).max() <= 1


def test_a_seed_says_every_byte(sources):
    again = make_sources()
    assert [make_case(sources, 3, number) for number in range(64)] == [
        make_case(again, 3, number) for number in range(64)
    ]
    assert make_case(sources, 3, 5) != make_case(sources, 4, 5)


@given(data=st.binary(max_size=3000), seed=st.integers(0, 2**32), mutation=st.sampled_from(MUTATIONS))
def test_mutations_take_any_bytes(data, seed, mutation):
    changed = mutation(data, np.random.default_rng(seed), [b"RIFF" * 100, data or b"x"])
    assert isinstance(changed, bytes)
    assert len(changed) <= 4 * len(data) + 5000
    if mutation is change_number and len(data) >= 136:
        assert len(changed) == len(data)
        assert sum(a != b for a, b in zip(changed, data, strict=True)) <= 8


@pytest.mark.parametrize("name", ["vorbis.ogg", "opus.opus"])
def test_checksums_of_ogg_pages_are_libogg_s(name, sources):
    data = bytearray(sources[name])
    assert mend_ogg(data) == data
    wrong = bytearray(data)
    for start in ogg_pages(data):
        wrong[start + 22] ^= 0xFF
    assert mend_ogg(wrong) == data
