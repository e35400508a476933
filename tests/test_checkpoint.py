import dataclasses
import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import CONFIG, make_network

from compactcli import checkpoint
from compactcli.checkpoint import (
    DEFAULT_MODEL,
    GRAPH,
    WEIGHTS,
    copy_model,
    find_model,
    list_models,
    load_network,
    read_config,
    save_model,
    verify,
)
from compactcli.config import DetectionConfig
from compactcli.errors import ModelError
from compactcli.plainjson import to_json

SETTINGS = checkpoint.CONFIG


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "tiny", CONFIG, make_network())
    return tmp_path / "tiny"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Two places where models may be installed."""
    places = (tmp_path / "package", tmp_path / "checkout")
    monkeypatch.setattr(checkpoint, "model_folders", lambda: places)
    return places


def change_settings(folder, change):
    path = folder / SETTINGS
    settings = json.loads(path.read_text(encoding="utf-8"))
    change(settings)
    path.write_text(json.dumps(settings), encoding="utf-8")


def put_weights(folder, data):
    """Replace the weights by others whose checksum is right."""
    (folder / WEIGHTS).write_bytes(data)
    change_settings(folder, lambda settings: settings["sha256"].update({WEIGHTS: hashlib.sha256(data).hexdigest()}))


def change_tensors(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    put_weights(folder, (folder / WEIGHTS).read_bytes())


# ---------------------------------------------------------------- writing and reading


def test_a_model_survives_its_folder(tmp_path):
    network = make_network(seed=3)
    written = save_model(tmp_path / "new" / "model", CONFIG, network)
    config, loaded = load_network(tmp_path / "new" / "model")
    assert config == written
    assert dataclasses.replace(config, sha256={}) == CONFIG
    assert not loaded.training
    expected, found = network.state_dict(), loaded.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_the_folder_holds_settings_weights_graph_and_nothing_else(folder):
    assert sorted(path.name for path in folder.iterdir()) == [SETTINGS, GRAPH, WEIGHTS]
    checksums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, GRAPH)}
    assert read_config(folder).sha256 == checksums


def test_the_graph_is_small_and_the_same_every_time(folder, tmp_path):
    save_model(tmp_path / "again", CONFIG, make_network())
    for name in (SETTINGS, GRAPH, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert (folder / GRAPH).stat().st_size < 20_000


def test_without_onnx_a_folder_keeps_no_graph_of_other_weights(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "is_installed", lambda package: package != "onnx")
    save_model(folder, CONFIG, make_network(seed=5))
    assert sorted(path.name for path in folder.iterdir()) == [SETTINGS, WEIGHTS]
    assert sorted(read_config(folder).sha256) == [WEIGHTS]
    assert load_network(folder)[0].name == "tiny"


def test_saving_again_replaces_the_weights_and_keeps_the_card(folder):
    (folder / "README.md").write_text("card", encoding="utf-8")
    save_model(folder, CONFIG, make_network(seed=5))
    _, loaded = load_network(folder)
    assert torch.equal(loaded.scene_head.weight, make_network(seed=5).scene_head.weight)
    assert (folder / "README.md").read_text(encoding="utf-8") == "card"


# ---------------------------------------------------------------- settings


def test_missing_settings_are_an_error(tmp_path):
    with pytest.raises(ModelError, match=r"model settings '.*config.json' cannot be read: .*No such file"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"{'name': 1}", b"[" * 100_000, b'{"name": ' + b"9" * 5000 + b"}"]
)
def test_settings_have_to_be_json(folder, content):
    (folder / SETTINGS).write_bytes(content)
    with pytest.raises(ModelError, match=r"model settings '.*config.json' cannot be read: "):
        load_network(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda settings: settings.update(colour="red"), r"config.json has unknown settings \['colour'\]"),
        (lambda settings: settings["network"].update(depth=3), r"config.json.network has unknown settings \['depth'\]"),
        (lambda settings: settings.pop("features"), r"config.json lacks the settings \['features'\]"),
        (lambda settings: settings["detection"].pop("median_s"), r"config.json.detection lacks the settings"),
        (lambda settings: settings.update(format_version=99), "model format version is 99, this compact reads version"),
        (lambda settings: settings.update(scenes="rain"), "config.json.scenes is str, expected a list"),
        (lambda settings: settings["features"].update(hop_length=0), "hop_length is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder, change, message):
    change_settings(folder, change)
    with pytest.raises(ModelError, match=message) as caught:
        load_network(folder)
    assert caught.value.hint == "use a model made for this version of compact"


def test_settings_are_one_table(folder):
    (folder / SETTINGS).write_text("[]", encoding="utf-8")
    with pytest.raises(ModelError, match=r"config.json is list, expected a table of settings"):
        read_config(folder)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("position", [0, 100, -1])
def test_an_altered_byte_is_noticed(folder, position):
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[position] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    expected, found = read_config(folder).sha256[WEIGHTS][:12], hashlib.sha256(data).hexdigest()[:12]
    message = rf"model file '.*model.safetensors' has sha256 {found}…, expected {expected}…"
    with pytest.raises(ModelError, match=message):
        verify(folder, read_config(folder))
    with pytest.raises(ModelError, match=message):
        load_network(folder)


def test_an_untouched_folder_is_verified(folder):
    verify(folder, read_config(folder))


def test_every_file_with_a_checksum_has_to_be_there(folder):
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"model file '.*model.safetensors' cannot be read: .*No such file"):
        load_network(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop("scene_head.bias"), 'Missing key.*"scene_head.bias"'),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), 'Unexpected key.*"extra"'),
        (lambda tensors: tensors.update({"scene_head.bias": torch.zeros(7)}), "size mismatch for scene_head.bias"),
    ],
    ids=["missing", "extra", "misshapen"],
)
def test_tensors_have_to_fit_the_settings(folder, change, reason):
    change_tensors(folder, change)
    with pytest.raises(ModelError, match=rf"weights '.*' do not fit the model's settings: .*{reason}"):
        load_network(folder)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (torch.zeros(2, dtype=torch.float64), "'scene_head.bias' is stored as torch.float64, expected torch.float32"),
        (torch.zeros(2, dtype=torch.int8), "'scene_head.bias' is stored as torch.int8, expected torch.float32"),
        (torch.tensor([0.0, torch.nan]), "'scene_head.bias' holds values that are not finite"),
        (torch.tensor([0.0, -torch.inf]), "'scene_head.bias' holds values that are not finite"),
    ],
    ids=["double", "integer", "nan", "infinite"],
)
def test_tensors_have_to_hold_numbers_of_their_kind(folder, values, reason):
    change_tensors(folder, lambda tensors: tensors.update({"scene_head.bias": values}))
    with pytest.raises(ModelError, match=f"do not fit the model's settings: {reason}"):
        load_network(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda network: network.update(stem_channels=4_000_000), " values are set, expected about the 780"),
        (lambda network: network.update(stem_channels=10**12), " values are set, expected about the 780 of the file"),
        (lambda network: network["context"][0].update(kernel_size=[1, 10**9 + 1]), " values are set, expected about"),
        (
            lambda network: network["stages"][0].update(n_blocks=10**9),
            " blocks are set, expected fewer than",
        ),
        (
            lambda network: network["context"][0].update(n_blocks=10**9),
            " blocks are set, expected fewer than the 50 ten",
        ),
    ],
    ids=["channels", "more channels", "kernel", "blocks", "context blocks"],
)
def test_settings_cannot_ask_for_more_memory_than_the_weights_need(folder, change, reason):
    change_settings(folder, lambda settings: change(settings["network"]))
    with pytest.raises(ModelError, match=rf"do not fit the model's settings: \d*{reason}"):
        load_network(folder)


def test_classes_have_to_fit_the_weights(folder):
    change_settings(folder, lambda settings: settings["scenes"].append("office"))
    with pytest.raises(ModelError, match="do not fit the model's settings: .*size mismatch for scene_head"):
        load_network(folder)


def test_a_message_stays_short_however_much_is_wrong(folder):
    change_tensors(folder, dict.clear)
    with pytest.raises(ModelError, match="Missing key") as caught:
        load_network(folder)
    assert len(caught.value.message) < 300 + len(str(folder))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda settings: settings["network"].update(operation="mode"), "interchannel operation 'mode' is unknown"),
        (lambda settings: settings["network"].update(group_size=3), "not divisible by group_size 3"),
        (lambda settings: settings["features"].update(n_mels=18), "n_mels is 18, not divisible by 8"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(folder, change, reason):
    change_settings(folder, change)
    with pytest.raises(ModelError, match=f"do not fit the model's settings: .*{reason}"):
        load_network(folder)


def with_header(header, data=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a tensor",
        b"\x08\0\0\0\0\0\0\0{broken}",
        (2**63).to_bytes(8, "little") + b"{}",
        (10**6).to_bytes(8, "little") + b"{}",
        (10**8).to_bytes(8, "little") + b"{}",
        with_header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        with_header({"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}),
        with_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}),
        with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        with_header({"a": {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    ],
)
def test_weights_have_to_be_safetensors(folder, data):
    put_weights(folder, data)
    with pytest.raises(ModelError, match="do not fit the model's settings: Error while deserializing"):
        load_network(folder)


@pytest.mark.parametrize("change", [lambda data: data[:-100], lambda data: data + b"more", lambda data: data[:100]])
def test_weights_that_end_early_or_late_are_refused(folder, change):
    put_weights(folder, change((folder / WEIGHTS).read_bytes()))
    with pytest.raises(ModelError, match="do not fit the model's settings: Error while deserializing"):
        load_network(folder)


@pytest.mark.parametrize(
    "name", ["../other/model.safetensors", "/dev/zero", "..", ".", "", "inner/file", "inner\\file", "a\0b", "C:file"]
)
def test_checksums_name_files_of_the_folder(folder, name):
    change_settings(folder, lambda settings: settings["sha256"].update({name: "0" * 64}))
    message = f"config.json' hold a sha256 of {name!r}, expected names of files in the folder"
    with pytest.raises(ModelError, match=re.escape(message)):
        load_network(folder)


@pytest.mark.parametrize("name", [SETTINGS, WEIGHTS])
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")],
    ids=["pipe", "folder", "device"],
)
def test_what_is_no_regular_file_is_not_waited_for(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(ModelError, match=rf"{name}' cannot be read: it is not a regular file"):
        load_network(folder)


def test_a_link_to_the_weights_is_followed(folder):
    (folder / WEIGHTS).rename(folder.parent / "shared")
    (folder / WEIGHTS).symlink_to("../shared")
    assert load_network(folder)[0].name == "tiny"


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("dump", [pickle.dump, torch.save], ids=["pickle", "torch"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the bomb leaves the file that it makes open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_pickles_are_refused_and_never_run(folder, tmp_path, dump):
    trace = tmp_path / "trace"
    with (tmp_path / "bomb").open("wb") as file:
        dump({"scene_head.bias": Bomb(trace)}, file)
    put_weights(folder, (tmp_path / "bomb").read_bytes())
    with pytest.raises(ModelError, match="do not fit the model's settings: "):
        load_network(folder)
    assert not trace.exists()
    with (tmp_path / "bomb").open("rb") as file:
        torch.load(file, weights_only=False) if dump is torch.save else pickle.load(file)
    assert trace.exists(), "the bomb is a dud and shows nothing"


@pytest.mark.parametrize("name", ["weights.pt", "model.pkl"])
def test_settings_cannot_lead_to_a_pickle(folder, tmp_path, name):
    trace = tmp_path / "trace"
    (folder / name).write_bytes(pickle.dumps(Bomb(trace)))
    (folder / WEIGHTS).unlink()
    checksum = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change_settings(folder, lambda settings: settings.update(sha256={name: checksum}))
    with pytest.raises(ModelError, match=r"hold no sha256 of model.safetensors"):
        load_network(folder)
    change_settings(folder, lambda settings: settings.update(weights=name))
    with pytest.raises(ModelError, match=r"unknown settings \['weights'\]"):
        load_network(folder)
    assert not trace.exists()


# ---------------------------------------------------------------- finding


def test_models_are_found_by_name_and_by_folder(installed, folder):
    package, checkout = installed
    for place, name in ((package, "b"), (checkout, "c"), (checkout, "a")):
        save_model(place / name, dataclasses.replace(CONFIG, name=name), make_network())
    assert list_models() == [checkout / "a", package / "b", checkout / "c"]
    assert find_model("b") == package / "b"
    assert find_model(str(folder)) == folder


def test_the_package_goes_before_the_checkout(installed):
    for place in installed:
        save_model(place / "same", CONFIG, make_network())
    assert list_models() == [installed[0] / "same"]


def test_an_installed_model_goes_before_a_folder_of_that_name(installed, folder, monkeypatch):
    save_model(installed[0] / "tiny", CONFIG, make_network())
    monkeypatch.chdir(folder.parent)
    assert find_model("tiny") == installed[0] / "tiny"
    assert find_model("./tiny").resolve() == folder


def test_a_name_too_long_or_in_a_folder_that_may_not_be_entered_is_no_model(monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ModelError, match=r"model 'n+' was not found, expected an installed model"):
        find_model("n" * 5000)
    monkeypatch.setattr("compactcli.checkpoint.list_models", list)
    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(ModelError, match=r"model 'closed/model' was not found, expected an installed model"):
        find_model("closed/model")


def test_folders_without_settings_are_no_models(installed):
    (installed[0] / "empty").mkdir(parents=True)
    (installed[0] / "file").write_text("", encoding="utf-8")
    assert list_models() == []
    with pytest.raises(ModelError, match=r"model 'empty' was not found, expected an installed model \(none is\)"):
        find_model("empty")


def test_unknown_models_are_answered_with_the_known_ones(installed, tmp_path):
    save_model(installed[0] / "tiny", CONFIG, make_network())
    message = r"model 'big' was not found, expected an installed model \(tiny\) or a folder with config.json"
    with pytest.raises(ModelError, match=message) as caught:
        find_model("big")
    assert caught.value.hint == "list the installed models with: compact models"
    with pytest.raises(ModelError, match=re.escape(f"model '{tmp_path}' was not found")):
        find_model(str(tmp_path))


def test_the_default_model_is_installed():
    assert find_model(DEFAULT_MODEL) in list_models()


def test_settings_are_written_in_full(folder):
    text = (folder / SETTINGS).read_text(encoding="utf-8")
    assert json.loads(text) == to_json(read_config(folder))
    assert text.endswith("}\n")


def test_weights_without_a_checksum_are_refused(folder):
    change_settings(folder, lambda settings: settings.update(sha256={}))
    with pytest.raises(ModelError, match=r"config.json' hold no sha256 of model.safetensors"):
        load_network(folder)


def test_a_copy_runs_as_the_model_does(folder, tmp_path):
    config = dataclasses.replace(read_config(folder), name="copy", detection=DetectionConfig(threshold=0.7))
    copy_model(folder, tmp_path / "copy", config)
    found, network = load_network(tmp_path / "copy")
    assert found == config
    _, original = load_network(folder)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, original.state_dict()[name], rtol=0, atol=0)


def test_an_altered_model_is_not_copied(folder, tmp_path):
    (folder / GRAPH).write_bytes(b"altered")
    with pytest.raises(ModelError, match="model.onnx' has sha256 .*, expected"):
        copy_model(folder, tmp_path / "copy", read_config(folder))
    assert not (tmp_path / "copy").exists()
