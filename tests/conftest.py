"""Recordings made in code, and the mark of tests that need a GPU."""

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

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


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

    monkeypatch.setattr("compactcli.inference.load_model", lambda model=None, *, device="auto": FakeEngine())

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


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
