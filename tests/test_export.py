import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny_model import CONFIG, make_network

import compactcli
from compactcli import export
from compactcli.checkpoint import DEFAULT_MODEL, find_model, save_model
from compactcli.config import WEIGHTS
from compactcli.errors import CompactError, ConfigError, ModelError
from compactcli.export import MAX_DIFFERENCE, compare_with_torch, export_model
from compactcli.graph import describe

ROOT = Path(__file__).parents[1]
# What the README shows: onnxruntime, numpy and the standard library.
EXAMPLE = """\
import json
import sys
import wave

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
facts = session.get_modelmeta().custom_metadata_map
scenes, events = json.loads(facts["scenes"]), json.loads(facts["events"])
frame_s, detection = json.loads(facts["frame_s"]), json.loads(facts["detection"])

with wave.open(sys.argv[2]) as file:  # 16-bit, mono, at the rate that the model takes
    if (file.getnchannels(), file.getsampwidth(), str(file.getframerate())) != (1, 2, facts["sample_rate"]):
        sys.exit(f"{sys.argv[2]} is not 16-bit, mono and {facts['sample_rate']} Hz")
    waveform = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768

scene_scores, event_scores = session.run(["scenes", "events"], {"waveform": waveform[None]})
best = scene_scores[0].argmax()
print(f"{scenes[best]} {scene_scores[0, best]:.2f}")
for label, scores in zip(events, event_scores[0].T):  # one row of frames for each class
    threshold = detection["class_thresholds"].get(label, detection["threshold"])
    active = np.pad(scores >= threshold, 1)
    edges = np.flatnonzero(active[1:] != active[:-1])
    for first, last in edges.reshape(-1, 2):
        print(f"{first * frame_s:.2f} {last * frame_s:.2f} {label} {scores[first:last].max():.2f}")
"""


@pytest.fixture
def recordings(noise, tone):
    return [noise(1.0), tone(0.71), np.zeros(4000, np.float32)]


@pytest.mark.parametrize("frontend", [True, False])
def test_a_file_holds_all_that_it_needs(folder, frontend, recordings):
    content, parity = export_model(folder, frontend=frontend, check=recordings)
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert not any(item.external_data for item in model.graph.initializer)
    session = onnxruntime.InferenceSession(content)
    assert session.get_modelmeta().custom_metadata_map == describe(CONFIG)
    assert [item.name for item in session.get_inputs()] == ["waveform" if frontend else "log_mel"]
    assert [item.name for item in session.get_outputs()] == (
        ["scenes", "events"] if frontend else ["scene_logits", "event_logits"]
    )
    assert 0 < parity.max_difference <= MAX_DIFFERENCE
    assert parity.mean_difference <= parity.max_difference
    assert (parity.same_decisions, parity.n_recordings) == (1.0, 3)
    assert parity.duration_s == pytest.approx(1.96)


def test_the_same_model_gives_the_same_bytes(folder, recordings):
    assert export_model(folder, check=recordings)[0] == export_model(folder, check=recordings[:1])[0]


@pytest.mark.parametrize("frontend", [True, False])
def test_eight_bits_are_smaller_and_told_apart(folder, frontend, recordings, noise):
    whole, exact = export_model(folder, frontend=frontend, check=recordings)
    content, parity = export_model(
        folder, precision="int8", frontend=frontend, check=recordings, ranges=[noise(3.0, level=0.5)]
    )
    model = onnx.load_model_from_string(content)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    producers = {output: node.op_type for node in model.graph.node for output in node.output}
    # the kernel of an eight-bit one is no initializer any more
    shapes = {item.name: item.dims for item in model.graph.initializer}
    wide = [node for node in convolutions if node.input[1] in shapes]
    assert len(wide) == 6  # the stem, and a depth-wise one in each block
    assert all(max(shapes[node.input[1]][2:]) > 1 for node in wide)
    narrow = [node for node in convolutions if node not in wide]
    assert len(narrow) == 7  # a pointwise one in each block, and the heads
    assert {producers[name] for node in narrow for name in node.input[:2]} == {"DequantizeLinear"}
    assert {node.domain for node in model.graph.node} == {""}
    assert {item.key: item.value for item in model.metadata_props} == describe(CONFIG)
    kinds = [item.data_type for item in onnx.load_model_from_string(whole).graph.initializer]
    assert onnx.TensorProto.INT8 not in kinds
    assert onnx.TensorProto.INT8 in [item.data_type for item in model.graph.initializer]
    assert exact.max_difference < parity.max_difference < 0.5
    assert 0.9 < parity.same_decisions <= 1


def test_logging_is_left_as_it_was(folder, recordings):
    import logging

    logging.disable(logging.DEBUG)
    try:
        export_model(folder, precision="int8", check=recordings, ranges=recordings)
        assert logging.root.manager.disable == logging.DEBUG
    finally:
        logging.disable(logging.NOTSET)


def test_a_file_that_differs_from_torch_is_refused(folder, recordings, monkeypatch):
    monkeypatch.setattr(export, "MAX_DIFFERENCE", 0.0)
    message = r"the exported graph differs from torch by .* in a probability, expected at most 0.0"
    with pytest.raises(CompactError, match=message) as caught:
        export_model(folder, check=recordings)
    assert (caught.value.code, caught.value.exit_code) == ("no-parity", 1)


def test_other_weights_are_noticed(folder, tmp_path, recordings):
    save_model(tmp_path, CONFIG, make_network(seed=1))
    content, _ = export_model(tmp_path, check=recordings)
    assert compare_with_torch(content, folder, recordings, frontend=True).max_difference > 0.01


def test_numbers_that_are_none_are_no_parity(folder, recordings, monkeypatch):
    monkeypatch.setattr(export, "event_probabilities", lambda logits, calibration: np.full_like(logits, np.nan))
    with pytest.raises(CompactError, match="differs from torch by nan in a probability"):
        export_model(folder, check=recordings)


def test_altered_folders_are_refused(folder, tmp_path, recordings):
    save_model(tmp_path, CONFIG, make_network())
    (tmp_path / WEIGHTS).write_bytes(b"")
    with pytest.raises(ModelError, match=r"model.safetensors' has sha256"):
        export_model(tmp_path, check=recordings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16", "check": [0]}, "precision 'fp16' is unknown, expected one of fp32, int8"),
        ({"check": []}, "no recordings to compare the graph with torch on, expected at least one"),
        ({"precision": "int8", "check": [0]}, "precision int8 came with 0 recordings that show ranges, expected at"),
        ({"check": [0], "ranges": [0]}, "precision fp32 came with 1 recordings that show ranges, expected none"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        export_model(folder, **options)


def test_the_example_hears_what_compact_hears(tmp_path):
    path, recording = tmp_path / "model.onnx", ROOT / "sample_audio" / "speech.wav"
    samples = np.zeros(16000, np.float32)
    path.write_bytes(export_model(find_model(DEFAULT_MODEL), check=[samples])[0])
    blocked = "import sys; sys.modules.update(compactcli=None, torch=None, onnx=None, soundfile=None)\n"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocked + EXAMPLE, path, recording],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, "")
    scene, *events = result.stdout.splitlines()
    record = compactcli.detect(recording, device="cpu")
    label, score = record.scenes[0]
    assert scene == f"{label} {score:.2f}"
    # compact smooths and joins besides, so only what lasts is the same
    longest = max(record.events, key=lambda event: event.duration_s)
    found = [line.split() for line in events]
    heard_s = sum(float(offset) - float(onset) for onset, offset, name, _ in found if name == longest.label)
    assert heard_s > 0.6 * longest.duration_s
    assert {name for _, _, name, _ in found} <= set(json.loads(describe(CONFIG)["events"])) | set(
        compactcli.load_model(device="cpu").config.events
    )


def test_the_example_refuses_other_recordings(tmp_path, folder, recordings):
    path = tmp_path / "model.onnx"
    path.write_bytes(export_model(folder, check=recordings)[0])
    result = subprocess.run(
        [sys.executable, "-c", EXAMPLE, path, ROOT / "sample_audio" / "stream.wav"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "is not 16-bit, mono and 16000 Hz" in result.stderr


def test_the_readme_shows_the_example():
    assert EXAMPLE in (ROOT / "README.md").read_text(encoding="utf-8")
