import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compactcli.inference import classify_recording

FAKE_COMPACT = Path(__file__).parent / "fake_compact.py"
ROOT = Path(__file__).parents[1]
JOURNAL = ".out.jsonl.compact-journal"


@pytest.fixture(scope="module")
def fake_compact():
    """Run a command in a process of its own, which may be killed: its exit code, as ``subprocess`` gives it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, FAKE_COMPACT, "--serve"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as server:

        def run(cwd, *words, kill_at=0):
            server.stdin.write(json.dumps([kill_at, str(cwd), [str(word) for word in words]]) + "\n")
            return int(server.stdout.readline())

        yield run
        server.stdin.close()


def contents(path):
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return {str(item.relative_to(path)): item.read_bytes() for item in files}


@pytest.fixture
def recordings(tmp_path, write_recording, tone):
    """Six recordings of different lengths, one cut, and one file that is none."""
    levels = (0.0, 0.1, 0.5, 0.1, 0.5, 0.0)
    for number, level in enumerate(levels):
        write_recording(f"in/{number}.wav", tone(0.3 + 0.1 * number, level=level))
    cut = write_recording("in/sub/cut.flac", tone(8.0))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (tmp_path / "in/notes.txt").write_text("notes\n" * 99)
    return tmp_path / "in"


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "place",
    [("--output", "out.csv"), ("--output", "out.json"), ("--output-dir", "out", "--format", "json", "--format", "csv")],
    ids=["csv", "json", "folder"],
)
def test_killed_runs_lose_and_double_nothing(seed, place, fake_compact, recordings, tmp_path):
    words = ["detect", "in", *place, "--quiet"]
    assert fake_compact(tmp_path, *words) == 1
    out = tmp_path / place[1]
    expected = contents(out)
    remove(out)
    numbers = random.Random(seed)
    for n_killed in range(20):
        # ever later, as what is done already takes its steps too
        kill_at = numbers.randrange(2, 24) + 10 * n_killed
        code = fake_compact(tmp_path, *words, *(["--resume"] if n_killed else []), kill_at=kill_at)
        if code != -signal.SIGKILL:
            break
    assert n_killed >= 1
    # 2: the run that was killed last had finished already
    assert code in (1, 2)
    assert contents(out) == expected
    assert {item.name for item in tmp_path.iterdir()} == {"in", place[1]}


def test_workers_die_with_the_command_and_the_next_run_goes_on(fake_compact, recordings, tmp_path):
    words = ["detect", "in", "--output", "out.csv", "--quiet"]
    assert fake_compact(tmp_path, *words) == 1
    expected = contents(tmp_path / "out.csv")
    (tmp_path / "out.csv").unlink()
    assert fake_compact(tmp_path, *words, "--jobs", 2, kill_at=11) == -signal.SIGKILL
    assert not (tmp_path / "out.csv").exists()
    assert fake_compact(tmp_path, *words, "--jobs", 2, "--resume") == 1
    assert contents(tmp_path / "out.csv") == expected


@pytest.mark.parametrize("place", [("--output", "out.jsonl"), ("--output-dir", "out")], ids=["file", "folder"])
def test_every_point_at_which_a_short_run_may_be_killed(place, fake_compact, tmp_path, write_recording, tone):
    for name in ("a.wav", "b.wav"):
        write_recording(f"in/{name}", tone(0.2))
    words = ["classify", "in", *place, "--quiet"]
    out = tmp_path / place[1]
    assert fake_compact(tmp_path, *words) == 0
    expected = contents(out)
    remove(out)
    n_points = 0
    while fake_compact(tmp_path, *words, kill_at=n_points + 1) == -signal.SIGKILL:
        n_points += 1
        assert fake_compact(tmp_path, *words, "--resume") in (0, 2)
        assert contents(out) == expected
        assert {item.name for item in tmp_path.iterdir()} == {"in", place[1]}
        remove(out)
    # two for each of: header, two records, two texts, a new name, the end of the journal
    assert n_points >= 14


@pytest.mark.parametrize("options", [[], ["--every", 2]])
def test_an_interrupted_run_goes_on(options, run_compact, recordings, tmp_path, stop_at, monkeypatch):
    words = ["classify", recordings, *options, "--output", tmp_path / "out.jsonl"]
    _, expected, _ = run_compact("classify", recordings, *options)
    stop_at("4.wav")
    assert run_compact(*words)[0] == 130
    assert sorted(item.name for item in tmp_path.iterdir()) == [JOURNAL, "in"]

    seen = []

    def classify(path, *arguments, **options):
        seen.append(path.name)
        return classify_recording(path, *arguments, **options)

    monkeypatch.setattr("compactcli.inference.classify_recording", classify)
    code, out, err = run_compact(*words, "--resume")
    assert (code, out) == (1, "")
    assert seen == ["4.wav", "5.wav", "notes.txt", "cut.flac"]
    assert "going on with an interrupted run: 4 of 8 recordings are done" in err
    assert "8 files: 6 ok, 1 partial, 1 failed, 0 skipped" in err
    assert (tmp_path / "out.jsonl").read_text() == expected
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in", "out.jsonl"]


def test_what_changed_or_failed_is_done_again(run_compact, recordings, tmp_path, stop_at, write_recording, tone):
    (recordings / "0-bad.wav").write_bytes(b"RIFF")
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl", "--quiet"]
    stop_at("3.wav")
    run_compact(*words)
    write_recording("in/1.wav", tone(0.9))
    write_recording("in/0-bad.wav", tone(0.9))
    stop_at(None)
    assert run_compact(*words, "--resume")[0] == 1
    assert (tmp_path / "out.jsonl").read_text() == run_compact("classify", recordings, "--quiet")[1]


def test_the_format_may_change_between(run_compact, recordings, tmp_path, stop_at, monkeypatch):
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl", "--quiet"]
    stop_at("3.wav")
    run_compact(*words)
    stop_at(None)
    monkeypatch.chdir(tmp_path)
    assert run_compact("classify", "in", "--output", "out.jsonl", "--format", "csv", "--quiet", "--resume")[0] == 1
    expected = run_compact("classify", "in", "--format", "csv", "--quiet")[1]
    assert (tmp_path / "out.jsonl").read_text() == expected


def test_other_settings_are_refused(run_compact, recordings, tmp_path, stop_at):
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl", "--quiet"]
    stop_at("3.wav")
    run_compact(*words)
    before = (tmp_path / JOURNAL).read_bytes()
    code, out, err = run_compact(*words[:-1], "--resume", "--top-k", 1)
    assert (code, out) == (2, "")
    assert "going on" not in err
    assert "--resume found a run that differs in settings in" in err
    code, _, err = run_compact("detect", *words[1:], "--resume")
    assert code == 2
    assert "differs in command and settings" in err
    assert "differs in settings" in run_compact(*words, "--resume", "--every", 60)[2]
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_an_unfinished_run_is_not_thrown_away(run_compact, recordings, tmp_path, stop_at):
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl"]
    stop_at("3.wav")
    run_compact(*words)
    code, out, err = run_compact(*words)
    assert (code, out) == (2, "")
    assert "an interrupted run left 3 results in" in err
    assert "add --resume to go on with it, or --overwrite to begin again" in err
    assert (tmp_path / JOURNAL).exists()
    stop_at(None)
    assert run_compact(*words, "--overwrite")[0] == 1
    assert not (tmp_path / JOURNAL).exists()


def test_a_run_that_did_nothing_leaves_no_journal(run_compact, recordings, tmp_path, stop_at, monkeypatch):
    from compactcli.errors import ModelError

    stop_at("0.wav")
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl"]
    assert run_compact(*words)[0] == 130
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in"]

    def fail(*_arguments, **_options):
        raise ModelError("it is wrong")

    stop_at("3.wav")
    run_compact(*words)
    before = (tmp_path / JOURNAL).read_bytes()
    monkeypatch.setattr("compactcli.inference.load_model", fail)
    assert run_compact(*words, "--overwrite")[0] == 2
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_one_run_at_a_time(run_compact, recordings, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / JOURNAL).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, out, err = run_compact("classify", recordings, "--output", tmp_path / "out.jsonl")
    assert (code, out) == (2, "")
    assert "another run is at work with" in err


def test_finished_runs_are_not_done_again(run_compact, recordings, tmp_path):
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl", "--quiet"]
    assert run_compact(*words, "--resume")[0] == 1
    code, _, err = run_compact(*words, "--resume")
    assert code == 2
    assert "the run that --resume asks for seems to be complete" in err


def test_a_folder_of_results_goes_on_and_keeps_what_is_not_its_own(run_compact, recordings, tmp_path, stop_at):
    words = ["classify", recordings, "--output-dir", tmp_path / "out", "--format", "json", "--quiet"]
    stop_at("4.wav")
    run_compact(*words)
    (tmp_path / "out/5.wav.json").write_text("mine")
    stop_at(None)
    code, _, err = run_compact(*words, "--resume")
    assert code == 2
    assert "5.wav.json is there already" in err
    (tmp_path / "out/5.wav.json").unlink()
    (tmp_path / "out/0.wav.json").write_text("damaged")
    assert run_compact(*words, "--resume")[0] == 1
    assert json.loads((tmp_path / "out/0.wav.json").read_text())[0]["status"] == "ok"
    assert len(contents(tmp_path / "out")) == 8


def test_what_an_interrupted_run_lacks_is_done_by_skipping_what_is_there(run_compact, recordings, tmp_path, stop_at):
    words = ["classify", recordings, "--output-dir", tmp_path / "out", "--format", "json", "--quiet"]
    assert run_compact(*words)[0] == 1
    expected = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    stop_at("4.wav")
    assert run_compact(*words)[0] == 130
    assert (tmp_path / "out/.compact-journal").exists()
    stop_at(None)
    assert run_compact(*words, "--skip-existing") == (1, "", "")
    assert contents(tmp_path / "out") == expected


def test_the_last_recording_leaves_no_journal_either(run_compact, recordings, tmp_path, stop_at):
    for name in ("notes.txt", "sub/cut.flac"):
        (recordings / name).unlink()
    words = ["classify", recordings, "--output-dir", tmp_path / "out", "--quiet"]
    stop_at("5.wav")
    run_compact(*words)
    stop_at(None)
    assert run_compact(*words, "--skip-existing", "--resume") == (0, "", "")
    assert not (tmp_path / "out/.compact-journal").exists()


def test_the_list_of_failures_may_be_there_when_a_run_goes_on(run_compact, recordings, tmp_path, monkeypatch):
    words = ["classify", recordings, "--output", tmp_path / "out.csv", "--failures", tmp_path / "bad.txt", "--quiet"]
    assert run_compact(*words)[0] == 1
    expected = contents(tmp_path)
    (tmp_path / "out.csv").unlink()
    (tmp_path / "bad.txt").unlink()
    # killed when all is written and the journal is still there
    with monkeypatch.context() as patch:
        patch.setattr("compactcli.cli.journal.Journal.close", lambda journal, **_options: journal._file.close())
        assert run_compact(*words)[0] == 1
    assert (tmp_path / ".out.csv.compact-journal").exists()
    assert run_compact(*words, "--resume")[0] == 1
    assert contents(tmp_path) == expected


def test_a_journal_is_removed_before_another_run_may_begin(run_compact, recordings, tmp_path, monkeypatch):
    from compactcli.cli.journal import open_journal
    from compactcli.errors import ConfigError

    pytest.importorskip("fcntl")
    path, real, refused = tmp_path / JOURNAL, Path.unlink, []

    def unlink(self, **options):
        if self == path:
            with (
                pytest.raises(ConfigError, match="another run is at work") as caught,
                open_journal(path, resume=False, overwrite=False),
            ):
                pass
            refused.append(caught.value.code)
        real(self, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    run_compact("classify", recordings, "--output", tmp_path / "out.jsonl")
    assert refused == ["busy"]
    assert not path.exists()


def test_a_name_too_long_to_be_part_of_another(run_compact, recordings, tmp_path, stop_at):
    output = tmp_path / f"{'n' * 249}.jsonl"
    words = ["classify", recordings, "--output", output, "--quiet"]
    stop_at("3.wav")
    run_compact(*words)
    (journal,) = tmp_path.glob(".compact-*.compact-journal")
    stop_at(None)
    assert run_compact(*words, "--resume")[0] == 1
    assert not journal.exists()
    assert output.exists()


def test_frame_scores_cannot_go_on(run_compact, recordings, tmp_path):
    code, _, err = run_compact("detect", recordings, "--output-dir", tmp_path, "--format", "scores-tsv", "--resume")
    assert code == 2
    assert "frames are not kept" in err


def test_numbers_keep_every_digit(run_compact, recordings, tmp_path):
    from compactcli.cli.inputs import Input
    from compactcli.cli.journal import open_journal
    from compactcli.events import Event
    from compactcli.records import Record, Stretch

    third = 1 / 3
    record = Record(
        path="caf\udce9\n.wav",
        status="partial",
        error_code="damaged",
        error_message="cut",
        duration=np.float64(third),
        sample_rate=44100,
        model="m",
        scenes=(("rain", np.float32(third)),),
        stretches=(Stretch(start=0.0, stop=np.float64(third), scenes=(("rain", np.float32(third)),)),),
        events=(Event(onset=third, offset=2 * third, label="dog"), Event(onset=0.5, offset=1.0, label="a", score=0.7)),
    )
    item = Input(path=Path("caf\udce9\n.wav"), n_bytes=7, mtime_ns=8)
    failed = Record(path="b", status="error", error_code="missing", error_message="gone")
    path = tmp_path / "journal"
    with pytest.raises(RuntimeError, match="stop"), open_journal(path, resume=False, overwrite=False) as journal:
        journal.begin({"classes": ("a",)})
        journal.add(item, record)
        journal.add(Input(path=Path("b")), failed)
        journal.add(Input(path=Path("-")), failed)
        raise RuntimeError("stop")
    with open_journal(path, resume=True, overwrite=False) as journal:
        journal.begin({"classes": ["a"]})
        assert journal.n_records == 2
        assert journal.find(item) == record
        assert journal.find(Input(path=item.path, n_bytes=7, mtime_ns=9)) is None
        assert journal.knows(Input(path=Path("b")))
        assert journal.find(Input(path=Path("b"))) is None
    assert not path.exists()


def test_lines_after_a_damaged_one_do_not_count(run_compact, recordings, tmp_path, stop_at):
    words = ["classify", recordings, "--output", tmp_path / "out.jsonl", "--quiet"]
    stop_at("5.wav")
    run_compact(*words)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:3], lines[3].replace(b"ok", b"ko"), *lines[4:]]))
    stop_at(None)
    code, _, err = run_compact(*words[:-1], "--resume")
    assert code == 1
    assert "2 of 8 recordings are done" in err
    assert (tmp_path / "out.jsonl").read_text() == run_compact("classify", recordings, "--quiet")[1]


def test_a_journal_that_cannot_be_written(run_compact, recordings, tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("compactcli.cli.journal.os.open", refuse)
    code, out, err = run_compact("classify", recordings, "--output", tmp_path / "out.jsonl")
    assert (code, out) == (2, "")
    assert "compact-journal cannot be written (Permission denied)" in err


def test_what_is_done_reaches_the_disk(run_compact, recordings, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("compactcli.cli.journal.SYNC_EVERY_S", 0.0)
    monkeypatch.setattr("compactcli.cli.journal.os.fsync", synced.append)
    run_compact("classify", recordings, "--output", tmp_path / "out.jsonl")
    assert len(synced) == 1 + 8 + 1  # the first line, one for each recording, and the results before the journal goes


def test_file_systems_without_locks_are_no_obstacle(run_compact, recordings, tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert run_compact("classify", recordings, "--output", tmp_path / "out.jsonl")[0] == 1
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 8
