"""``compact embed`` with an engine whose answers are known."""

import csv
import io
import json
from pathlib import Path

import pytest
from fake_engine import SURE, fake_embedder

from compactcli.cli.options import VectorFormat
from compactcli.formats import FORMATS

SAMPLES = Path(__file__).parents[1] / "sample_audio"


@pytest.fixture
def embed(run_compact, monkeypatch):
    monkeypatch.setattr("compactcli.inference.load_embedder", lambda model=None, *, device="auto": fake_embedder())
    return lambda *words: run_compact("embed", *words)


def test_a_table_with_a_vector_for_each_recording(embed, write_tone):
    code, out, err = embed(write_tone("a.wav"), "none.wav", write_tone("b.wav", duration_s=2.0))
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert "none.wav does not exist" in err
    assert [(row["path"].rpartition("/")[2], row["status"]) for row in rows] == [
        ("a.wav", "ok"),
        ("none.wav", "error"),
        ("b.wav", "ok"),
    ]
    assert [rows[2][name] for name in ("start", "stop", "v1", "v2", "v3")] == [
        "0.000",
        "2.000",
        "4.00000",
        "-4.00000",
        "4.00000",
    ]


def test_stretches_and_records(embed, write_tone, tmp_path):
    path = write_tone("a.wav", duration_s=3.0)
    code, _, _ = embed(path, "--every", 1.5, "--output", tmp_path / "out.jsonl")
    record = json.loads((tmp_path / "out.jsonl").read_text())
    assert code == 0
    assert record["vectors"] == [
        {"start": start, "stop": start + 1.5, "values": [SURE, -SURE, SURE]} for start in (0.0, 1.5)
    ]
    assert "scenes" not in record


def test_a_folder_of_tables(embed, write_tone, tmp_path):
    write_tone("in/a.wav")
    write_tone("in/sub/b.wav")
    words = [tmp_path / "in", "--output-dir", tmp_path / "out", "--quiet"]
    assert embed(*words, "--format", "csv", "--format", "json")[0] == 0
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*v*")) == [
        "a.wav.csv",
        "a.wav.json",
        "sub/b.wav.csv",
        "sub/b.wav.json",
    ]
    before = (tmp_path / "out/a.wav.json").stat().st_mtime_ns
    assert embed(*words, "--format", "json", "--skip-existing")[0] == 0
    assert (tmp_path / "out/a.wav.json").stat().st_mtime_ns == before


def test_the_formats_are_those_that_can_be_written():
    assert [str(name) for name in VectorFormat] == list(FORMATS["embed"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--every", 0.5], "0.5 is not in the range x>=1.0"),
        (["--every", "nan"], "every is nan, expected 1 to 1,000,000,000 seconds"),
        (["--format", "npy"], "'npy' is not one of 'csv', 'json', 'jsonl'"),
        (["--resume"], "No such option"),
    ],
)
def test_requests_that_make_no_sense(words, expected, embed, write_tone):
    code, out, err = embed(write_tone(), *words)
    assert (code, out) == (2, "")
    assert expected in err


@pytest.mark.parametrize("package", ["safetensors", "onnx"])
def test_a_package_that_is_missing_is_named(package, embed, write_tone, monkeypatch):
    from compactcli import packages

    real = packages.is_installed
    monkeypatch.setattr("compactcli.packages.is_installed", lambda name: name != package and real(name))
    code, _, err = embed(write_tone())
    assert code == 2
    assert f"compact embed needs the package {package}, which is not installed here" in err


def test_the_real_network(run_compact):
    code, out, _ = run_compact("embed", SAMPLES / "stream.wav", "--every", 5, "--format", "json")
    [record] = json.loads(out)
    assert (code, record["model"]) == (0, "compactnet")
    assert [len(vector["values"]) for vector in record["vectors"]] == [256, 256]
