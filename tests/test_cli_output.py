import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compactcli.cli.output import check_output, open_output
from compactcli.errors import CompactError, ConfigError


def test_file_appears_when_all_is_written(tmp_path):
    path = tmp_path / "out.txt"
    with open_output(path) as write:
        write("one\n")
        assert not path.exists()
        write("zw\u00f6lf caf\udce9\n")
    assert path.read_bytes() == b"one\nzw\xc3\xb6lf caf\xe9\n"
    assert [item.name for item in tmp_path.iterdir()] == ["out.txt"]


def test_permissions_are_those_of_other_new_files(tmp_path):
    (tmp_path / "other").touch()
    with open_output(tmp_path / "out.txt") as write:
        write("x")
    assert (tmp_path / "out.txt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_failed_run_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), open_output(path) as write:
        write("new")
        raise RuntimeError("halfway")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["out.txt"]


def test_full_disk(tmp_path, monkeypatch):
    class FullFile(io.FileIO):
        def write(self, data):
            if self.tell() >= 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:4])

    monkeypatch.setattr(Path, "open", lambda self, mode, buffering: FullFile(self, mode.replace("b", "")))
    with (
        pytest.raises(
            CompactError, match=r"out\.txt cannot be written \(No space left on device\), expected room"
        ) as caught,
        open_output(tmp_path / "out.txt") as write,
    ):
        write("more than four")
    assert (caught.value.exit_code, caught.value.code) == (1, "unwritable")
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_continued(tmp_path, monkeypatch):
    class SlowFile(io.FileIO):
        def write(self, data):
            return super().write(data[:3])

    monkeypatch.setattr(Path, "open", lambda self, mode, buffering: SlowFile(self, mode.replace("b", "")))
    with open_output(tmp_path / "out.txt") as write:
        write("more than three")
    monkeypatch.undo()
    assert (tmp_path / "out.txt").read_bytes() == b"more than three"


@pytest.mark.parametrize("word", ["--output", "--failures", "--output-dir"])
@pytest.mark.parametrize("n_recordings", [1, 2])
def test_a_place_that_takes_no_files_is_refused_before_the_work(
    word, n_recordings, run_compact, write_tone, tmp_path, monkeypatch
):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    recordings = [write_tone(f"{number}.wav") for number in range(n_recordings)]
    monkeypatch.setattr("compactcli.cli.output.tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("compactcli.inference.load_model", refuse)
    code, out, err = run_compact("classify", *recordings, word, tmp_path / "new")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}/new cannot be written (Permission denied), expected room and the right")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that takes no files, whatever the rights")
@pytest.mark.parametrize(("word", "name"), [("--output", "x.csv"), ("--output-dir", "x"), ("--failures", "x")])
@pytest.mark.parametrize("n_recordings", [1, 2])
def test_nothing_is_done_for_proc(word, name, n_recordings, run_compact, write_tone):
    recordings = [write_tone(f"{number}.wav") for number in range(n_recordings)]
    code, out, err = run_compact("classify", *recordings, word, f"/proc/{name}")
    assert (code, out) == (2, "")
    assert "cannot be written (No such file or directory)" in err


def test_folder_without_the_right_to_write(tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CompactError, match="cannot be written .Permission denied"), open_output(tmp_path / "out.txt"):
        pass


PLACES = [
    ("classify", "--output", "{}/x.csv"),
    ("classify", "--output-dir", "{}/out"),
    ("classify", "--output", "x.csv", "--failures", "{}/x.txt"),
    ("tune", "--reference", "{}/events.tsv"),
]


@pytest.mark.parametrize("words", PLACES, ids=" ".join)
@pytest.mark.parametrize("n_recordings", [1, 2])
def test_a_folder_that_may_not_be_entered(words, n_recordings, run_compact, write_tone, tmp_path, monkeypatch):
    recordings = [write_tone(f"{number}.wav") for number in range(n_recordings)]
    closed = tmp_path / "closed"
    closed.mkdir()

    def refuse(real):
        def call(path, *arguments, **options):
            if closed in Path(path).absolute().parents:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *arguments, **options)

        return call

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(Path, name, refuse(getattr(Path, name)))
    monkeypatch.setattr("os.open", refuse(os.open))
    monkeypatch.chdir(tmp_path)
    code, out, err = run_compact(words[0], *recordings, *[word.format(closed) for word in words[1:]])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "bug" not in err


@pytest.mark.parametrize("option", ["--output", "--output-dir", "--failures"])
def test_a_name_that_no_file_can_have(option, run_compact, write_tone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--output", "x.csv"] if option == "--failures" else []
    code, out, err = run_compact("classify", write_tone(), *more, option, f"{'n' * 300}.jsonl")
    assert (code, out) == (2, "")
    assert "cannot be written (File name too long)" in err
    assert "bug" not in err


def test_replacing_that_fails(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(CompactError, match="cannot be written .Device or resource busy"), open_output(tmp_path / "o"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_checks_before_any_work(tmp_path):
    recording, there = tmp_path / "a.wav", tmp_path / "there.json"
    recording.touch()
    there.touch()
    check_output(None, overwrite=False, inputs=[recording])
    check_output(tmp_path / "new.json", overwrite=False, inputs=[recording])
    check_output(Path("new.json"), overwrite=False, inputs=[recording])
    check_output(there, overwrite=True, inputs=[recording])
    with pytest.raises(ConfigError, match=r"there\.json is there already, expected a new name") as caught:
        check_output(there, overwrite=False, inputs=[recording])
    assert "--overwrite" in caught.value.hint
    with pytest.raises(ConfigError, match="is one of the recordings"):
        check_output(tmp_path / "." / "a.wav", overwrite=True, inputs=[recording])
    with pytest.raises(ConfigError, match="is not a regular file"):
        check_output(tmp_path, overwrite=True, inputs=[recording])
    with pytest.raises(ConfigError, match="in a folder that does not exist"):
        check_output(tmp_path / "none" / "a.json", overwrite=True, inputs=[recording])


def test_a_recording_is_no_place_for_results(write_tone, tmp_path):
    for recording in (write_tone(), write_tone("tone.flac")):
        for overwrite in (True, False):
            with pytest.raises(
                ConfigError, match=f"--failures .*{recording.name} is a recording, expected the name of a"
            ):
                check_output(recording, overwrite=overwrite, inputs=(), option="--failures")
    (tmp_path / "results.wav").write_text("{}")
    check_output(tmp_path / "results.wav", overwrite=True, inputs=())


@pytest.mark.parametrize("stream", [1, 2])
def test_where_the_shell_sends_results_is_no_file_of_ours(stream, tmp_path):
    path = tmp_path / "out.json"
    path.touch()
    (tmp_path / "link").symlink_to(path)
    kept = os.dup(stream)
    try:
        with path.open("ab") as results:
            os.dup2(results.fileno(), stream)
        for name in (path, tmp_path / "link"):
            with pytest.raises(
                ConfigError, match="is where standard output or standard error go, expected another"
            ) as caught:
                check_output(name, overwrite=True, inputs=())
            assert caught.value.hint == "use --output -, or name another file"
    finally:
        os.dup2(kept, stream)
        os.close(kept)


def test_a_link_stays_one_and_what_it_leads_to_gets_the_results(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/there.csv").touch()
    (tmp_path / "link.csv").symlink_to("real/there.csv")
    for text in ("new", "newer"):
        check_output(tmp_path / "link.csv", overwrite=True, inputs=())
        with open_output(tmp_path / "link.csv") as write:
            write(text)
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "real/there.csv").read_text() == text
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link.csv", "real", "there.csv"]


def test_results_go_to_standard_output_as_they_come(capfdbinary):
    with open_output(None) as write:
        write("caf\udce9\n")
        assert capfdbinary.readouterr().out == b"caf\xe9\n"


def test_standard_output_that_is_full(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Full()))
    with pytest.raises(CompactError, match="standard output cannot be written"), open_output(None) as write:
        write("x")


def test_reader_that_leaves_ends_the_run_quietly():
    code = """if True:
        import sys
        import typer
        from compactcli.cli.output import open_output
        app = typer.Typer()
        @app.command()
        def endless():
            with open_output(None) as write:
                while True:
                    write("x" * 9999)
        app()
    """
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", code], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.read(reading, 10)
    os.close(reading)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")
