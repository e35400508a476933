"""Graphs that somebody made to do harm: they can neither reach out of the model folder nor take the process down."""

import hashlib
import json

import pytest
from tiny_model import CONFIG, make_network

from compactcli import checkpoint
from compactcli.checkpoint import GRAPH, save_model
from compactcli.config import WEIGHTS
from compactcli.errors import ModelError

onnx = pytest.importorskip("onnx")
engine_onnx = pytest.importorskip("compactcli.engine.onnx")


@pytest.fixture
def folder(tmp_path):
    """A model folder beside a file that is none of its business."""
    save_model(tmp_path / "tiny", CONFIG, make_network())
    (tmp_path / "secret").write_bytes((tmp_path / "tiny" / WEIGHTS).read_bytes())
    (tmp_path / "tiny" / "way-out").symlink_to("../secret")
    return tmp_path / "tiny"


def put_graph(folder, data):
    """Replace the graph by another whose checksum is right."""
    (folder / GRAPH).write_bytes(data)
    path = folder / checkpoint.CONFIG
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["sha256"][GRAPH] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(settings), encoding="utf-8")


def change_external(folder, key, value):
    """Change where the graph says that its weights are."""
    graph = onnx.load_from_string((folder / GRAPH).read_bytes())
    entries = [entry for tensor in graph.graph.initializer for entry in tensor.external_data if entry.key == key]
    assert entries
    for entry in entries:
        entry.value = value
    put_graph(folder, graph.SerializeToString())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("location", "../secret"),
        ("location", "../tiny/../secret"),
        ("location", "way-out"),
        ("location", "/dev/zero"),
        ("location", "nowhere"),
        ("offset", str(2**62)),
        ("offset", "-5"),
        ("offset", "five"),
        ("length", str(2**40)),
    ],
)
def test_a_graph_reads_its_own_weights_and_nothing_else(folder, key, value):
    change_external(folder, key, value)
    with pytest.raises(ModelError, match=rf"graph '.*{GRAPH}' cannot be loaded: "):
        engine_onnx.OnnxEngine(folder, threads=1)


@pytest.mark.parametrize("data", [b"", b"junk" * 100, b"\x80\x04\x95pickle"])
def test_a_graph_has_to_be_one(folder, data):
    put_graph(folder, data)
    with pytest.raises(ModelError, match=rf"graph '.*{GRAPH}' cannot be loaded: "):
        engine_onnx.OnnxEngine(folder, threads=1)
