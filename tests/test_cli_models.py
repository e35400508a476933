import json
import re

import pytest
from fake_engine import CONFIG, with_detection

from compactcli.config import ModelConfig
from compactcli.errors import ModelError
from compactcli.plainjson import from_json


@pytest.fixture
def installed(monkeypatch, tmp_path):
    configs = {tmp_path / "fake": CONFIG, tmp_path / "[odd]": with_detection(class_thresholds={"loud": 0.25})}

    def find(name):
        if name != "fake":
            raise ModelError(f"{name} is not a model", hint="see compact models")
        return tmp_path / "fake"

    monkeypatch.setattr("compactcli.checkpoint.list_models", lambda: list(configs))
    monkeypatch.setattr("compactcli.checkpoint.find_model", find)
    monkeypatch.setattr("compactcli.checkpoint.read_config", configs.__getitem__)
    return configs


def without_folder(values):
    return {name: value for name, value in values.items() if name != "folder"}


def test_list_as_json_in_a_pipe(run_compact, installed):
    code, out, err = run_compact("models")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [values["folder"] for values in found] == [str(folder) for folder in installed]
    read = [from_json(ModelConfig, without_folder(values), where="model") for values in found]
    assert read == list(installed.values())


def test_list_as_a_table(run_compact, installed):
    _, out, _ = run_compact("models", "--format", "table")
    assert [line.split() for line in out.splitlines()] == [
        ["model", "version", "scenes", "events", "folder"],
        *(["fake", "1", "3", "3", str(folder)] for folder in installed),
    ]


def test_no_models_is_an_empty_list(run_compact, monkeypatch):
    monkeypatch.setattr("compactcli.checkpoint.list_models", list)
    assert run_compact("models") == (0, "[]\n", "")


def test_info(run_compact, installed, on_terminal):
    code, out, _ = run_compact("models", "info", "fake")
    assert code == 0
    assert from_json(ModelConfig, without_folder(json.loads(out)), where="model") == CONFIG
    on_terminal()
    _, out, _ = run_compact("models", "info", "fake")
    lines = re.sub(r"\x1b\[\d*m", "", out).splitlines()
    facts = dict(line.rstrip().split("  ", 1) for line in lines if not line.startswith(" "))
    assert facts["scenes"].strip() == "silence, hum, din"
    assert facts["hysteresis"].strip() == f"{CONFIG.detection.hysteresis:g}"
    assert facts["events"].strip() == "loud, faint, any"
    assert facts["output frame"].strip() == "40 ms"
    assert facts["sample rate"].strip() == "16000 Hz"


def test_info_names_what_has_a_part_in_events(run_compact, installed, monkeypatch):
    monkeypatch.setattr("compactcli.checkpoint.read_config", lambda folder: with_detection(step_s=0.64))
    _, out, _ = run_compact("models", "info", "fake", "--format", "table")
    facts = dict(line.rstrip().split("  ", 1) for line in out.splitlines() if not line.startswith(" "))
    assert (facts["step"].strip(), facts["merged at"].strip()) == ("0.64 s", "0.25 of the score")
    assert {"median", "hysteresis"}.isdisjoint(facts)


def test_info_names_the_thresholds_of_single_classes(run_compact, installed, monkeypatch):
    monkeypatch.setattr(
        "compactcli.checkpoint.read_config", lambda folder: with_detection(class_thresholds={"loud": 0.25})
    )
    _, out, _ = run_compact("models", "info", "fake", "--format", "table")
    assert "0.5, loud 0.25" in out


def test_unknown_model(run_compact, installed):
    assert run_compact("models", "info", "none") == (2, "", "error: none is not a model\nhint: see compact models\n")
