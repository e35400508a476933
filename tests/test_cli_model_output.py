import dataclasses
from functools import partial
from pathlib import Path

import pytest
from tiny_model import CONFIG

from compactcli.checkpoint import copy_model, read_config, verify
from compactcli.cli.model_output import check_model_output, write_model
from compactcli.config import DetectionConfig
from compactcli.errors import CompactError, ConfigError

NEW = DetectionConfig(threshold=0.7, class_thresholds={"dog": 0.3})


@pytest.fixture
def config(folder):
    return dataclasses.replace(read_config(folder), name="mine", detection=NEW)


def check(path, folder, *, overwrite=False, inputs=()):
    check_model_output(path, overwrite=overwrite, model=folder, inputs=inputs)


def test_a_model_is_written_whole_and_replaced(folder, config, tmp_path):
    output = tmp_path / "mine"
    check(output, folder)
    write_model(output, partial(copy_model, folder, config=config))
    assert read_config(output) == config
    verify(output, config)
    (output / "README.md").write_text("card of another model")
    (output / "reliability.png").write_bytes(b"its picture")
    with pytest.raises(ConfigError, match="mine is there already, expected a new name") as caught:
        check(output, folder)
    assert caught.value.code == "output-exists"
    check(output, folder, overwrite=True)
    newer = dataclasses.replace(config, detection=DetectionConfig())
    write_model(output, partial(copy_model, folder, config=newer))
    assert read_config(output) == newer
    assert sorted(path.name for path in output.iterdir()) == ["config.json", "model.onnx", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_must_not_be_replaced(folder, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "diary.txt").write_text("dear")
    with pytest.raises(ConfigError, match=r"notes holds diary.txt, which is no part of a model and would be lost"):
        check(notes, folder, overwrite=True)
    with pytest.raises(ConfigError, match=r"diary.txt is not a folder, expected the name of one"):
        check(notes / "diary.txt", folder, overwrite=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="link is not a folder"):
        check(link, folder, overwrite=True)
    with pytest.raises(ConfigError, match="link is there already"):
        check(link, folder)
    with pytest.raises(ConfigError, match="is the model that this one is made from, expected another folder"):
        check(folder, folder, overwrite=True)
    with pytest.raises(ConfigError, match="has no name, expected one for the model"):
        check(Path("/"), folder)
    with pytest.raises(ConfigError, match="--output - would be standard output, expected the name of a folder"):
        check(Path("-"), folder)
    with pytest.raises(ConfigError, match="is not UTF-8, expected a name that the model's settings can hold"):
        check(tmp_path / "caf\udce9", folder)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="loop is not a folder, expected the name of one"):
        check(tmp_path / "loop", folder, overwrite=True)
    with pytest.raises(ConfigError, match=r"cannot be written \(File name too long\)"):
        check(tmp_path / ("a" * 300), folder)
    (tmp_path / "empty").mkdir()
    check(tmp_path / "empty", folder, overwrite=True)


def test_recordings_are_not_replaced(folder, tmp_path, write_tone):
    # named as a file of a model is, and of another folder by a link
    path = write_tone("in/model.wav").rename(tmp_path / "in/model.onnx")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/a.wav").symlink_to(path)
    for recording in (path, tmp_path / "link/a.wav"):
        with pytest.raises(ConfigError, match="in holds recordings, expected another folder"):
            check(tmp_path / "in", folder, overwrite=True, inputs=[recording])


def test_places_that_take_nothing(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="is in a folder that does not exist, expected one that does"):
        check(tmp_path / "no/mine", folder)

    def refuse(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=r"mine cannot be written \(Read-only file system\)"):
        check(tmp_path / "mine", folder)


def test_a_folder_that_cannot_be_read(folder, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(ConfigError, match="mine cannot be read: .*Permission denied"):
        check(tmp_path / "mine", folder, overwrite=True)


@pytest.mark.parametrize("moment", ["writing a file", "moving the old folder", "moving the new folder"])
def test_a_full_disk_leaves_what_was_there(folder, config, tmp_path, monkeypatch, moment):
    output = tmp_path / "mine"
    write_model(output, partial(copy_model, folder, config=config))
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    rename = Path.replace

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    def move(path, target):
        fails = path == output if moment == "moving the old folder" else path.suffix == ".part"
        return fail() if fails else rename(path, target)

    if moment == "writing a file":
        monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    else:
        monkeypatch.setattr("pathlib.Path.replace", move)
    with pytest.raises(CompactError, match=r"mine cannot be written \(No space left on device\)"):
        write_model(
            output, partial(copy_model, folder, config=dataclasses.replace(config, detection=DetectionConfig()))
        )
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_interrupt_between_two_moves_leaves_what_was_there(folder, config, tmp_path, monkeypatch):
    output = tmp_path / "mine"
    write_model(output, partial(copy_model, folder, config=config))
    rename = Path.replace

    def move(path, target):
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr("pathlib.Path.replace", move)
    with pytest.raises(KeyboardInterrupt):
        write_model(
            output, partial(copy_model, folder, config=dataclasses.replace(config, detection=DetectionConfig()))
        )
    assert read_config(output) == config
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_copy_has_the_recipe_and_not_the_card(folder, config, tmp_path):
    source = tmp_path / "source"
    copy_model(folder, source, dataclasses.replace(read_config(folder), name=CONFIG.name))
    (source / "recipe.toml").write_text("# how\n")
    (source / "README.md").write_text("figures at other settings")
    copy_model(source, tmp_path / "copy", config)
    found = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    assert sorted(found) == ["config.json", "model.onnx", "model.safetensors", "recipe.toml"]
    for name in set(found) - {"config.json"}:
        assert found[name] == (source / name).read_bytes()
