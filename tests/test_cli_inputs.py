import os
from pathlib import Path

import pytest

from compactcli.cli.inputs import collect_inputs


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """a/{2.wav,10.wav,.hid,sub/{x.wav},.cache/y.wav}, b.wav; the tests stand above it."""
    for name in ("a/2.wav", "a/10.wav", "a/.hid", "a/sub/x.wav", "a/.cache/y.wav", "b.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(len(name)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(*names, recursive=True, leave_out=()):
    inputs = collect_inputs([Path(name) for name in names], recursive=recursive, leave_out=leave_out)
    return [str(item.path) for item in inputs]


def test_files_keep_their_order_and_folders_are_sorted(tree):
    assert listed("b.wav", "a") == ["b.wav", "a/10.wav", "a/2.wav", "a/sub/x.wav"]
    assert listed("a", "b.wav") == ["a/10.wav", "a/2.wav", "a/sub/x.wav", "b.wav"]


def test_sizes_are_known(tree):
    assert [item.n_bytes for item in collect_inputs([Path("a"), Path("none")], recursive=True)] == [8, 7, 11, 0]


def test_not_recursive(tree):
    assert listed("a", recursive=False) == ["a/10.wav", "a/2.wav"]


def test_names_in_folders_may_have_to_match(tree):
    (tree / "a/notes.txt").touch()
    (tree / "a/sub/X.FLAC").touch()
    include = ["1*.wav", "*.flac"]
    inputs = collect_inputs([Path("a"), Path("b.wav")], recursive=True, include=include)
    # what is named itself is meant
    assert [str(item.path) for item in inputs] == ["a/10.wav", "a/sub/X.FLAC", "b.wav"]
    [empty] = collect_inputs([Path("a")], recursive=True, include=["*.mp3"])
    assert empty.error.message == (
        "a is a folder without recordings, expected at least one file in it with a name like '*.mp3'"
    )


def test_each_input_once(tree):
    assert listed("a/2.wav", "a", "./a/../a", str(tree / "b.wav"), "b.wav") == [
        "a/2.wav",
        "a/10.wav",
        "a/sub/x.wav",
        str(tree / "b.wav"),
    ]


def test_what_is_hidden_is_read_when_it_is_named(tree):
    assert listed("a/.cache", "a/.hid") == ["a/.cache/y.wav", "a/.hid"]


def test_loops_of_links_end(tree):
    (tree / "a/sub/up").symlink_to(tree / "a")
    (tree / "a/again.wav").symlink_to(tree / "a/2.wav")
    (tree / "a/self").symlink_to(tree / "a/self")
    # again.wav comes first by name, and is the file that 2.wav is too; the link to itself is for opening to refuse
    assert listed("a") == ["a/10.wav", "a/2.wav", "a/self", "a/sub/x.wav"]


def test_links_to_folders_are_followed(tree):
    (tree / "c").mkdir()
    (tree / "c/link").symlink_to(tree / "a/sub")
    assert listed("c") == ["c/link/x.wav"]


def test_the_output_is_left_out_of_folders(tree):
    assert listed("a", leave_out=[Path("a/2.wav")]) == ["a/10.wav", "a/sub/x.wav"]
    assert listed("a/2.wav", leave_out=[Path("a/2.wav")]) == ["a/2.wav"]
    [item] = collect_inputs([Path("a/sub")], recursive=True, leave_out=[Path("a/sub/x.wav")])
    assert (str(item.path), item.error.code) == ("a/sub", "no-audio")


@pytest.mark.parametrize("stream", [1, 2])
def test_where_the_shell_sends_results_is_left_out_of_folders(stream, tree):
    kept = os.dup(stream)
    try:
        with (tree / "a/2.wav").open("ab") as results:
            os.dup2(results.fileno(), stream)
        assert listed("a") == ["a/10.wav", "a/sub/x.wav"]
        # who names it means it
        assert listed("a/2.wav") == ["a/2.wav"]
        os.close(stream)
        assert listed("a") == ["a/10.wav", "a/2.wav", "a/sub/x.wav"]
    finally:
        os.dup2(kept, stream)
        os.close(kept)


def test_a_folder_named_twice_is_read_once(tree):
    assert listed("a/sub", "a", "a/sub") == ["a/sub/x.wav", "a/10.wav", "a/2.wav"]


def test_a_folder_whose_recordings_were_read_before_is_not_empty(tree):
    (tree / "c/d").mkdir(parents=True)
    (tree / "c/d/link").symlink_to(tree / "a/sub")
    assert listed("a/sub", "c") == ["a/sub/x.wav"]
    # what leads to nothing but itself, or to where results go, has no recordings
    (tree / "e").mkdir()
    (tree / "e/self").symlink_to(tree / "e")
    (tree / "e/out").mkdir()
    found = collect_inputs([Path("a"), Path("e")], recursive=True, leave_out=[tree / "e/out"])
    assert [str(item.path) for item in found if item.error is not None] == ["e"]


def test_missing_files_are_inputs(tree):
    assert listed("nowhere.wav", "b.wav") == ["nowhere.wav", "b.wav"]


def test_folder_without_files(tree):
    (tree / "empty/inner").mkdir(parents=True)
    [item] = collect_inputs([Path("empty")], recursive=True)
    assert (str(item.path), item.error.code) == ("empty", "no-audio")
    assert item.error.hint is None
    (tree / "empty/inner/x.wav").touch()
    [item] = collect_inputs([Path("empty")], recursive=False)
    assert "leave --no-recursive out" in item.error.hint


def test_folder_that_cannot_be_read(tree, monkeypatch):
    real = Path.iterdir

    def refuse(self):
        if self.name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    inputs = collect_inputs([Path("a")], recursive=True)
    assert [str(item.path) for item in inputs] == ["a/10.wav", "a/2.wav", "a/sub"]
    assert inputs[-1].error.code == "unreadable"
    assert "a/sub cannot be read (Permission denied), expected a folder" in inputs[-1].error.message
    assert os.fspath(inputs[0].path) == "a/10.wav"
