"""Recordings made in code, and the mark of tests that need a GPU."""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from fake_engine import FakeEngine
from hypothesis import settings

RATE = 16000
ENCODINGS = {".opus": ("OGG", "OPUS"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", None)}

# No deadline: a busy machine is no failure. The same cases wherever a change is judged; new ones at every other run.
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")

# tests send it to commands of their own, which would inherit that nohup ignores it
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu"):
        import torch  # slow to import, so only where a test asks for a GPU

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


def make_tone(
    duration_s: float = 1.0, *, sample_rate: int = RATE, frequency_hz: float = 440.0, level: float = 0.5
) -> npt.NDArray[np.float32]:
    seconds = np.arange(round(duration_s * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency_hz * seconds)).astype(np.float32)


def make_noise(duration_s: float = 1.0, *, sample_rate: int = RATE, level: float = 0.1) -> npt.NDArray[np.float32]:
    generator = np.random.default_rng(0)
    return (level * generator.standard_normal(round(duration_s * sample_rate))).astype(np.float32)


@pytest.fixture(autouse=True, scope="session")
def interrupts():
    """Ctrl-C works in the tests and in what they start, though a shell ignores it for jobs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stop_at(monkeypatch):
    """Make ``classify`` and ``detect`` stop, as Ctrl-C stops them, when they come to a recording of this name."""
    from compactcli import inference

    def stopping(analyse, name):
        def analyse_or_stop(path, *arguments, **options):
            if path.name == name:
                raise KeyboardInterrupt
            return analyse(path, *arguments, **options)

        return analyse_or_stop

    real = {command: getattr(inference, f"{command}_recording") for command in ("classify", "detect")}

    def set_name(name):
        for command, analyse in real.items():
            monkeypatch.setattr(f"compactcli.inference.{command}_recording", stopping(analyse, name))

    return set_name


@pytest.fixture
def tone():
    return make_tone


@pytest.fixture
def noise():
    return make_noise


@pytest.fixture
def write_recording(tmp_path) -> Callable[..., Path]:
    """Write samples under ``tmp_path`` in the format that the name's suffix says."""

    def write(
        name: str, waveform: npt.NDArray[np.float32], *, sample_rate: int = RATE, subtype: str | None = None
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        container, encoding = ENCODINGS.get(path.suffix, (None, subtype))
        soundfile.write(path, waveform, sample_rate, format=container, subtype=encoding)
        return path

    return write


@pytest.fixture
def write_tone(write_recording) -> Callable[..., Path]:
    """Write a tone of 440 Hz under ``tmp_path``."""

    def write(name: str = "tone.wav", duration_s: float = 1.0, *, level: float = 0.5) -> Path:
        return write_recording(name, make_tone(duration_s, level=level))

    return write


@pytest.fixture
def run_compact(monkeypatch, capsys):
    """Run one command with the fake engine: its exit code, standard output and standard error."""
    from compactcli.cli.app import main

    def load(model=None, *, device="auto", engine="auto", batch_size=None, precision="fp32"):
        return FakeEngine()

    monkeypatch.setattr("compactcli.inference.load_model", load)

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def give_stdin(monkeypatch):
    """Put bytes on standard input."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


@pytest.fixture
def on_terminal(monkeypatch):
    """Both standard streams pretend to be a terminal without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")

    def pretend() -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    return pretend


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Model folder with random weights, for tests that do not write into it."""
    from tiny_model import CONFIG, make_network

    from compactcli.checkpoint import save_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, CONFIG, make_network())
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> Path:
    """A corpus of a few seconds with the layout of the real one; tests do not write into it."""
    from tiny_corpus import make_corpus

    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory) -> Path:
    """Log-mels of the tiny corpus, made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_recipe():
    """A recipe for the tiny corpus with a network that trains in no time."""
    import tomllib

    from tiny_corpus import RECIPE

    from compactcli.plainjson import from_json
    from compactcli.recipe import Recipe

    return from_json(Recipe, tomllib.loads(RECIPE), where="tiny", partial=True)


@pytest.fixture(scope="session")
def tiny_bank(tiny_corpus, tiny_recipe, tiny_cache):
    """Log-mels of all recordings of the tiny corpus that are not dropped."""
    from compactcli.training import load_training_data

    return load_training_data(tiny_corpus, tiny_recipe, cache=tiny_cache)[0]


@pytest.fixture(scope="session")
def tiny_model(tiny_corpus, tiny_cache, tmp_path_factory) -> Path:
    """The folder that ``compact train`` writes for the tiny recipe, calibrated on few soundscapes."""
    from tiny_corpus import RECIPE

    from compactcli.cli.app import main

    folder = tmp_path_factory.mktemp("model")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compactcli.tuning.N_SOUNDSCAPES", 6)
        patch.setattr("compactcli.heldout.SIMULATED_PER_SCENE", 3)
        words = ["train", recipe, "--corpus", tiny_corpus, "--cache", tiny_cache, "--device", "cpu", "--quiet"]
        code = main([str(word) for word in [*words, "--output", folder / "model"]])
    assert code == 0
    return folder / "model"
