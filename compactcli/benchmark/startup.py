"""How long commands take to start: each runs in a process of its own, in rounds."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from compactcli.benchmark.processes import ProcessRun, RunProcess, run_process
from compactcli.benchmark.report import YARDSTICK, Startup
from compactcli.benchmark.timing import Timing
from compactcli.packages import is_installed

# seconds of audio that ``compact classify`` is given
CLASSIFY_S = 10


def startup_commands(
    folder: Path, recording: Path, *, engine: str, device: str, precision: str = "fp32"
) -> dict[str, list[str]]:
    """Commands whose start-up is worth knowing, by name.

    Args:
        folder: Model folder.
        recording: What ``compact classify`` is given.
        engine: As ``--engine`` takes it.
        device: As ``--device`` takes it.
        precision: As ``--precision`` takes it.
    """
    compact = [sys.executable, "-m", "compactcli"]
    choices = ["--model", str(folder), "--engine", engine, "--device", device, "--precision", precision]
    commands = {
        "compact --help": [*compact, "--help"],
        f"compact classify, {CLASSIFY_S} s": [*compact, "classify", str(recording), *choices, "--quiet"],
    }
    if is_installed("torch"):
        commands[YARDSTICK] = [sys.executable, "-c", "import torch"]
    return commands


def measure_startup(
    commands: Mapping[str, Sequence[str]],
    *,
    repeats: int,
    run: RunProcess = run_process,
    on_round: Callable[[], None] = lambda: None,
) -> tuple[Startup, ...]:
    """Run commands in rounds, each in a process of its own.

    Args:
        commands: Path of a program and its arguments, by name.
        repeats: Rounds that count, at least 1, after one that does not: it fills the disk's cache.
        run: What runs a command.
        on_round: Called after each round, the thrown one too.

    Raises:
        CompactError: A command failed.
    """
    runs: dict[str, list[ProcessRun]] = {name: [] for name in commands}
    for _ in range(repeats + 1):
        for name, words in commands.items():
            runs[name].append(run(words))
        on_round()
    return tuple(
        Startup(
            name=name,
            timing=Timing(seconds=tuple(item.seconds for item in found[1:])),
            peak_bytes=max((item.peak_bytes for item in found[1:] if item.peak_bytes is not None), default=None),
        )
        for name, found in runs.items()
    )
