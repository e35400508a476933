import tempfile

import pytest

from compactcli.errors import ConfigError
from compactcli.temporary import temporary_folder, whole_file


def test_a_folder_goes_with_what_is_in_it():
    with temporary_folder() as folder:
        (folder / "file").touch()
        assert folder.name.startswith("compact-")
    assert not folder.exists()


def test_a_system_without_a_place_for_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(
            ConfigError, match=r"no temporary folder can be made \(No such file or directory\), expected"
        ) as caught,
        temporary_folder(),
    ):
        pass
    assert caught.value.hint == "set TMPDIR to a folder with room"


def test_a_file_gets_its_new_content_at_the_end(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with whole_file(path) as part:
        part.write_text("new")
        assert (path.read_text(), part.parent) == ("old", tmp_path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_stays_as_it_was_when_the_writing_fails(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), whole_file(path) as part:
        part.write_text("ne")
        raise OSError("full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_cannot_take_the_name_of_a_folder(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match="directory"), whole_file(tmp_path / "a.json") as part:
        part.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
