import tempfile

import pytest

from compactcli.errors import ConfigError
from compactcli.temporary import temporary_folder


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
